// The opening handshake of a WebSocket (RFC 6455, section 4.2): a request in,
// the response out. No sockets, no clock.
#pragma once

#include <optional>
#include <string>

#include "http/deflate_offer.h"
#include "http/http.h"

namespace wschat {

/// The server as its handshake responses describe it.
struct Site {
    std::string host;      // for WebSocket-Origin
    std::string location;  // for WebSocket-Location
};

/// Returns the URL that the tutorial's server tells its clients: ws:// if the
/// host is a loopback one or contains "local.", in upper or lower case, else
/// wss://. With `tls` it is always wss://.
std::string websocket_location(const std::string& host, int port, bool tls);

/// True if the request is meant as a handshake, be it valid or not.
bool wants_websocket(const Request& request);

/// Loads OpenSSL's SHA-1 now; otherwise the first handshake takes milliseconds.
/// Throws std::runtime_error if OpenSSL has none, as when its settings forbid
/// it. To be called before handshake_response().
void prepare_handshakes();

/// What client and server agree on beyond RFC 6455 itself.
struct Agreement {
    bool v1 = false;  // the subprotocol wschat.v1
    DeflateAgreement compression;
};

/// Returns what the request offers and the server accepts. Without
/// `may_deflate` the server accepts no offer of compression, so messages are
/// compressed in neither direction.
Agreement negotiate(const Request& request, bool may_deflate);

/// Returns the response that refuses an invalid handshake, or nothing if it is
/// valid (RFC 6455, section 4.2.1; the 426 is from section 4.2.2).
/// REQUIRES: !request.error.
std::optional<Response> find_handshake_error(const Request& request);

/// Returns the head of the 101 response.
/// REQUIRES: find_handshake_error() has found none.
std::string handshake_response(const Request& request, const Site& site,
                               const Agreement& agreement);

}  // namespace wschat
