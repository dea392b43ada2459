// What the command line decides: plain values with their defaults. Knows no
// option by name.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "limits_config.h"
#include "net/endpoint.h"
#include "room/room_config.h"
#include "util/address.h"
#include "util/clock.h"
#include "ws/reader_config.h"

namespace wschat {

/// What the members of a room are told when a client joins or leaves.
enum class Announce {
    None,
    Address,  // the address of the client
    Count     // how many members the room has now
};

/// Returns the value of --announce that means this.
constexpr const char* announce_name(Announce announce) {
    switch (announce) {
        case Announce::Address: return "address";
        case Announce::Count: return "count";
        case Announce::None: break;
    }
    return "none";
}

/// All that the options say. wschat(8) describes what each option does; the
/// defaults here are those of the manual.
struct Settings {
    // Where to listen. The host is the name that clients use; it also says
    // which pages are admitted.
    std::string host;
    int port = 0;  // 0: the kernel picks a free one
    std::vector<Endpoint> endpoints;
    std::string tls_certificate;  // PEM files: both are set or neither is
    std::string tls_key;

    // Who is admitted, and whose word is believed.
    AddressSet trusted_proxies;
    std::vector<std::string> origins;  // admitted pages, from parse_origin()
    std::string publish_key;  // file with keys; empty: no publishing over HTTP

    // Messages and rooms.
    Announce announce = Announce::Count;  // by default it depends on the host
    bool relay_system = false;  // clients may send messages of type "system"
    bool rooms = false;         // the path of a request names its room
    ReaderConfig reader_config;
    RoomsConfig rooms_config;

    bool page = true;     // serve the chat page
    bool deflate = true;  // compress for clients that offer it
    bool uring = true;    // send by io_uring, if the kernel permits

    // Limits. By default each is on: a peer from elsewhere must not hold memory
    // or a descriptor for ever by doing nothing.
    LimitsConfig limits;
    uint64_t max_backlog = 4 << 20;  // bytes that a client may be behind
    uint64_t max_logs = 256 << 20;   // bytes stored for clients that are behind
    Seconds handshake_timeout{10};   // until a request is complete
    Seconds message_timeout{60};     // until a message is complete; 0: none
    Seconds stall_timeout{30};       // for a socket to take more bytes
    Seconds close_timeout{5};        // for each step of closing
    Seconds ping_interval{25};       // 0: no pings
};

}  // namespace wschat
