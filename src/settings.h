// What the command line decides: plain values with their defaults. Knows no
// option by name.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

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

struct Settings {
    std::string host;                 // the name that clients use
    int port = 0;                     // 0: the kernel picks a free one
    std::vector<Endpoint> endpoints;  // where to listen

    Announce announce = Announce::Address;
    bool relay_system = false;  // clients may send messages of type "system"
    ReaderConfig reader_config;
    bool rooms = false;  // the path of a request names its room
    RoomsConfig rooms_config;
    std::string publish_key;  // file with keys; empty: no publishing over HTTP
    AddressSet trusted_proxies;
    std::vector<std::string> origins;  // admitted pages, from parse_origin()
    bool page = true;                  // serve the chat page
    std::string tls_certificate;       // PEM files: both are set or neither is
    std::string tls_key;
    bool deflate = true;             // compress for clients that offer it
    bool uring = true;               // send by io_uring, if the kernel permits
    uint64_t max_backlog = 4 << 20;  // bytes that a client may be behind

    Seconds handshake_timeout{10};
    Seconds stall_timeout{30};
    Seconds close_timeout{5};
    Seconds ping_interval{25};  // 0: no pings
};

}  // namespace wschat
