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

/// What the options say about requests.
struct RouterConfig {
    Site site;
    OriginConfig origins;
    AddressSet trusted_proxies;  // whose X-Forwarded-For is believed
    bool page = true;            // serve the chat page
    bool deflate = true;         // messages may be compressed
    bool rooms = false;          // the path names the room
    PublishKeys keys{};          // of those who may publish
    uint64_t max_body = 1 << 20;  // bytes
};

/// The connection becomes a WebSocket once `response` is sent.
struct Upgrade {
    std::string response;
    std::string room;
    Agreement agreement;
    Resume resume{};  // of a client that speaks wschat.v1
};

/// The request is complete: the connection closes after this response.
struct Respond {
    Response response;
};

/// What to do for a request.
struct Route {
    ClientAddress client;
    std::variant<Respond, Upgrade, ExpectBody> action;
};

/// Decides what to do for the head that a HeadReader has collected, in any
/// state but NeedMore. Takes any bytes, never throws.
Route route(const HeadReader& head, const Address& peer,
            const RouterConfig& config);

}  // namespace wschat
