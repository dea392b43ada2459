// Routes a complete request head to the handshake, to publishing or to a page.
// No sockets, no clock.
#pragma once

#include <cstdint>
#include <string>
#include <variant>

#include "http/forwarded.h"
#include "http/handshake.h"
#include "http/origin.h"
#include "http/publish_keys.h"
#include "http/publish_request.h"
#include "http/target.h"

namespace wschat {

/// What the options say about requests. The owner may change it between two
/// requests, as with a reload of the keys.
struct RouterConfig {
    Site site;                    // how handshake responses name the server
    OriginConfig origins;         // whose pages may connect
    AddressSet trusted_proxies;   // whose X-Forwarded-For is believed
    PublishKeys keys{};           // of publishers; none: no publishing
    uint64_t max_body = 1 << 20;  // bytes in the body of a POST
    bool rooms = false;           // the path names the room; else it is "/"
    bool page = true;             // serve the chat page
    bool deflate = true;          // messages may be compressed
};

/// The connection is a WebSocket from now on. It is sent `response` before
/// anything else.
struct Upgrade {
    std::string response;
    std::string room;
    Agreement agreement;
    Resume resume{};  // of a client that speaks wschat.v1
};

/// The request is answered at once, without reading the rest of it, such as a
/// body that is too large. The connection closes after this response.
struct Respond {
    Response response;
};

/// What to do for a request.
struct Route {
    ClientAddress client;
    std::variant<Respond, Upgrade, ExpectBody> action;

    // The method and the path for the log, cut at 200 bytes. Without the query,
    // which may be secret. Empty if the head is no request.
    std::string request{};
};

/// Decides what to do for the head that a HeadReader has collected, in any
/// state but NeedMore. In this order: a head that is too large gets a 431, a
/// malformed one a 400; a malformed X-Forwarded-For of a trusted proxy a 400; a
/// path that names no room a 400, or, if the page is requested and only a slash
/// at the end is wrong, a redirect; a request that means to be a handshake is
/// checked as one; POST is publishing, without `rooms` at "/" only; all else is
/// for the page. The response to HEAD has no body. Takes any bytes: none of
/// them make it throw. It throws std::runtime_error only if OpenSSL fails to
/// compute a SHA-1.
/// REQUIRES: prepare_handshakes() was called, and did not throw.
Route route(const HeadReader& head, const Address& peer,
            const RouterConfig& config);

}  // namespace wschat
