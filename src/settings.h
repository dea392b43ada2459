// What the command line decides: plain values with their defaults.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "util/address.h"
#include "util/clock.h"
#include "ws/message_reader.h"
#include "room/rooms.h"
#include "net/socket.h"

namespace wschat {

/// What a room is told when somebody joins or leaves.
enum class Announce {
    None,
    Address,  // whose it is
    Count     // how many are there then
};

struct Settings {
    std::string host;                 // the name that clients use
    int port = 0;                     // 0: one that is free
    std::vector<Endpoint> endpoints;  // where to listen

    Announce announce = Announce::Address;
    bool relay_system = false;  // clients may send type "system"
    ReaderConfig rules;
    bool rooms = false;         // the path names the room
    RoomsConfig room_rules;
    std::string publish_key;    // file; empty: nobody publishes over HTTP
    AddressSet trusted_proxies;
    std::vector<std::string> origins;  // as parse_origin() has them
    bool page = true;                  // the chat page, for browsers
    std::string tls_certificate;       // PEM files; both or neither
    std::string tls_key;
    bool deflate = true;               // compress for those who take it
    bool uring = true;                 // send by io_uring, where permitted
    uint64_t max_backlog = 4 << 20;  // bytes that a client may be behind

    Seconds handshake_timeout{10};
    Seconds stall_timeout{30};
    Seconds close_timeout{5};
    Seconds ping_interval{25};  // 0: no pings
};

}  // namespace wschat
