// Opens listening sockets, TCP over IPv4 or IPv6 and unix sockets, and accepts
// connections. The only unit that knows the addresses of the system (sockaddr).
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include <sys/types.h>

#include "net/endpoint.h"
#include "util/address.h"

namespace wschat {

/// Owns a file descriptor and closes it when destroyed. -1 is none.
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

/// A listening, non-blocking socket. Its options are set before it listens,
/// because the connections that it accepts inherit them: no system call per
/// connection is needed. The file of a unix socket is removed with its
/// listener, unless another process has replaced it. So is PATH.lock, which is
/// locked as long as the listener lives: of several processes that start to
/// listen at the same path, only one can take the place of a stale file.
class Listener {
public:
    /// Binds and listens. Throws std::runtime_error with one line that names
    /// the endpoint and the cause, such as an address that is in use, not
    /// permitted or not one of this machine (std::system_error if the system
    /// refused it).
    explicit Listener(const Endpoint& endpoint);
    Listener(Listener&&) noexcept = default;
    ~Listener();

    int fd() const { return fd_.get(); }

    /// Returns the endpoint. If its port was 0, it has the port that the kernel
    /// chose.
    const Endpoint& endpoint() const { return endpoint_; }

private:
    Listener() = default;

    void listen_tcp();
    void listen_unix();

    Endpoint endpoint_;
    Fd lock_;  // of a unix socket, else none
    Fd fd_;
    dev_t device_ = 0;  // with inode_: identifies the file of a unix socket
    ino_t inode_ = 0;
};

/// Listens at all endpoints. An optional one is skipped if this machine does
/// not have its address, but not if all would be skipped. A TCP endpoint with
/// port 0 gets the port of the TCP endpoint before it. Throws as Listener does.
std::vector<Listener> listen_at(const std::vector<Endpoint>& endpoints);

/// The result of accept_from().
struct Accepted {
    enum class State {
        Peer,             // a connection: `fd` and `peer` are set
        None,             // no connection waits
        OutOfDescriptors  // one waits, but descriptors or memory ran out
    };
    State state = State::None;
    Fd fd;  // non-blocking
    Address peer;
};

/// Accepts one connection if one waits. Never blocks. Skips connections that
/// their peer aborted before they were accepted.
Accepted accept_from(const Listener& listener);

/// Raises the process's soft limit of descriptors to its hard limit. Returns
/// it.
size_t raise_descriptor_limit();

/// True if the process can open no descriptor at this moment.
bool is_out_of_descriptors();

}  // namespace wschat
