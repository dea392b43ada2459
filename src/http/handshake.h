// The opening handshake of a WebSocket: a request in, the answer out (RFC 6455,
// section 4.2). No sockets, no clock.
#pragma once

#include <optional>
#include <string>

#include "http/deflate_offer.h"
#include "http/http.h"

namespace wschat {

/// What the server is to its clients, as the answers tell it.
struct Site {
    std::string host;      // for WebSocket-Origin
    std::string location;  // for WebSocket-Location
};

/// The URL of the tutorial's server: wss if tls, or if the host is neither a
/// loopback one nor contains "local." in any case; else ws.
std::string websocket_location(const std::string& host, int port, bool tls);

/// Whether a request means to be a handshake, be it a good one or not.
bool wants_websocket(const Request& request);

/// Does what the first handshake would take some milliseconds for.
void prepare_handshakes();

/// What both sides agree on beyond the protocol itself.
struct Agreement {
    bool v1 = false;  // the subprotocol wschat.v1
    DeflateAgreement compression;
};

/// What a request offers of that, without compression if not `deflate`.
Agreement agree(const Request& request, bool deflate);

/// Returns the response that refuses a request that is no handshake as section
/// 4.2.1 has it; nothing if it is one. REQUIRES: !request.error.
std::optional<Response> find_handshake_error(const Request& request);

/// Returns the head of the 101 response. REQUIRES: find_handshake_error() has
/// found nothing.
std::string handshake_response(const Request& request, const Site& site,
                               const Agreement& agreement);

}  // namespace wschat
