// Where to listen: plain values, for the options too.
#pragma once

#include <string>

#include <sys/types.h>

namespace wschat {

/// What a port is for. There is one role now. Another protocol would get a role
/// and a port of its own, because the role is known before the first byte of a
/// peer; src/README.md says what else it needs.
enum class Role { Clients };

/// An IP address and a port, or a unix socket.
struct Endpoint {
    std::string address;    // numeric, or the path of a unix socket
    int port = 0;           // 0: the kernel picks a free one
    bool is_unix = false;
    mode_t mode = 0660;     // of a unix socket
    std::string group;      // of a unix socket; empty: that of the process
    Role role = Role::Clients;
    // After so long without an acknowledgement, or with a receive window of
    // zero, a TCP connection fails (TCP_USER_TIMEOUT). The kernel's own limit
    // for a peer that vanishes is about a quarter of an hour.
    int unacked_timeout_ms = 30'000;
    bool optional = false;  // skipped if this machine has no such address

    /// Returns "127.0.0.1:9600", "[::1]:9600" or "unix:/run/chat".
    std::string to_string() const;
};

}  // namespace wschat
