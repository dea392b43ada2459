// The negotiation of permessage-deflate (RFC 7692, section 7.1): the offers of
// a request in, the accepted parameters out. Knows no zlib.
#pragma once

#include <string>

#include "http/http.h"

namespace wschat {

/// The outcome of a negotiation. Neither side uses context takeover: each
/// message is compressed on its own, so that all clients can be sent the same
/// bytes.
struct DeflateAgreement {
    bool client_may_deflate = false;  // it may send compressed messages

    /// The server may send compressed messages. False if the client can't
    /// inflate those that were compressed with a window of 2^15 bytes.
    bool server_may_deflate = false;

    /// For the header Sec-WebSocket-Extensions of the response; empty if no
    /// offer was accepted.
    std::string response_value{};
};

/// Accepts the first offer of permessage-deflate that is well-formed and whose
/// parameters are known, have valid values and are not repeated. RFC 7692,
/// section 7.1, requires a server to decline all others.
DeflateAgreement negotiate_deflate(const Request& request);

}  // namespace wschat
