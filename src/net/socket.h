// Descriptors that close themselves, listening and accepting: TCP over IPv4
// and IPv6, and unix sockets. The only unit that knows socket addresses.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "net/endpoint.h"
#include "util/address.h"

namespace wschat {

/// A file descriptor that is closed with its owner. -1 is none.
class Fd {
public:
    explicit Fd(int fd = -1) : fd_(fd) {}
    Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    Fd& operator=(Fd&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    ~Fd();

    int get() const { return fd_; }

private:
    int fd_;
};

/// A listening, non-blocking socket. The socket options are those that every
/// accepted connection inherits. A unix socket is removed with its listener,
/// unless another process has replaced it.
class Listener {
public:
    /// Throws std::runtime_error with one line that says what is wrong: the
    /// address is in use, not allowed, not of this machine.
    explicit Listener(const Endpoint& endpoint);
    Listener(Listener&&) noexcept = default;
    ~Listener();

    int fd() const { return fd_.get(); }

    /// With the real port where 0 was asked for.
    const Endpoint& endpoint() const { return endpoint_; }

private:
    Listener() = default;

    void listen_tcp();
    void listen_unix();

    Endpoint endpoint_;
    Fd fd_;
    dev_t device_ = 0;  // of the unix socket's file
    ino_t inode_ = 0;
};

/// Listens at all of them, but for optional addresses that this machine does
/// not have, and at one at least. Those after the first that ask for port 0
/// get the port of the first. Throws as Listener does.
std::vector<Listener> listen_at(const std::vector<Endpoint>& endpoints);

/// What accept_from() came to.
struct Accepted {
    enum class State { Peer, None, OutOfDescriptors };
    State state = State::None;
    Fd fd;  // non-blocking
    Peer peer;
};

/// Accepts one connection if there is one. Never blocks; a connection that
/// was aborted meanwhile is passed over.
Accepted accept_from(const Listener& listener);

/// Raises the soft limit of descriptors to the hard one.
void raise_descriptor_limit();

}  // namespace wschat
