#include "net/socket.h"

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <system_error>

#include <arpa/inet.h>
#include <grp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace wschat {

namespace {

constexpr int kBacklog = 4096;
// With it a peer that never reads ties up 0.3 MB of the kernel's memory;
// without, over 4 MB.
constexpr int kUnsentLowWater = 128 << 10;
constexpr int kUnackedTimeoutMs = 30'000;

/// Any socket address, with its length.
struct Address {
    union {
        sockaddr any;
        sockaddr_in v4;
        sockaddr_in6 v6;
        sockaddr_un local;
    };
    socklen_t size = 0;

    Address() { std::memset(&local, 0, sizeof local); }
};

[[noreturn]] void fail(const Endpoint& endpoint, const std::string& why) {
    throw std::runtime_error("cannot listen on " + endpoint.to_string() + ": " +
                             why);
}

[[noreturn]] void fail(const Endpoint& endpoint) {
    throw std::system_error(
        errno, std::generic_category(),
        "cannot listen on " + endpoint.to_string());
}

void check(int result, const Endpoint& endpoint) {
    if (result < 0) fail(endpoint);
}

void set(int fd, int level, int option, int value) {
    // A kernel without the option serves as well, if less well.
    setsockopt(fd, level, option, &value, sizeof value);
}

Address tcp_address(const Endpoint& endpoint) {
    Address address;
    const auto port = htons(static_cast<uint16_t>(endpoint.port));
    const char* text = endpoint.address.c_str();
    if (inet_pton(AF_INET, text, &address.v4.sin_addr) == 1) {
        address.v4.sin_family = AF_INET;
        address.v4.sin_port = port;
        address.size = sizeof address.v4;
        return address;
    }
    if (inet_pton(AF_INET6, text, &address.v6.sin6_addr) != 1)
        fail(endpoint, "not an IP address");
    address.v6.sin6_family = AF_INET6;
    address.v6.sin6_port = port;
    address.size = sizeof address.v6;
    return address;
}

Address unix_address(const Endpoint& endpoint) {
    Address address;
    const std::string& path = endpoint.address;
    if (path.empty() || path.size() >= sizeof address.local.sun_path)
        fail(endpoint, "a path of 1 to 107 bytes is needed");
    address.local.sun_family = AF_UNIX;
    std::memcpy(address.local.sun_path, path.data(), path.size());
    address.size = sizeof address.local;
    return address;
}

int port_of(int fd) {
    Address address;
    address.size = sizeof address.local;
    if (getsockname(fd, &address.any, &address.size) < 0) return 0;
    // The port is at the same place in both families.
    return ntohs(address.v4.sin_port);
}

/// Removes a socket file that no process listens on any more.
void remove_stale(const Endpoint& endpoint, const Address& address) {
    struct stat file;
    if (lstat(endpoint.address.c_str(), &file) < 0) return;
    if (!S_ISSOCK(file.st_mode)) fail(endpoint, "exists and is no socket");
    Fd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    check(probe.get(), endpoint);
    if (connect(probe.get(), &address.any, address.size) == 0 ||
        errno == EAGAIN) {
        errno = EADDRINUSE;
        fail(endpoint);
    }
    if (errno == ECONNREFUSED) unlink(endpoint.address.c_str());
}

void set_owner_and_mode(const Endpoint& endpoint) {
    const char* path = endpoint.address.c_str();
    if (!endpoint.group.empty()) {
        const group* entry = getgrnam(endpoint.group.c_str());
        if (!entry) fail(endpoint, "no group " + endpoint.group);
        check(chown(path, static_cast<uid_t>(-1), entry->gr_gid), endpoint);
    }
    check(chmod(path, endpoint.mode), endpoint);
}

std::string ip_text(int family, const void* address) {
    char text[INET6_ADDRSTRLEN];
    return inet_ntop(family, address, text, sizeof text) ? text : "?";
}

Peer describe(const Address& address) {
    switch (address.any.sa_family) {
        case AF_INET:
            return {ip_text(AF_INET, &address.v4.sin_addr),
                    ntohl(address.v4.sin_addr.s_addr) >> 24 == 127};
        case AF_INET6:
            return {ip_text(AF_INET6, &address.v6.sin6_addr),
                    bool(IN6_IS_ADDR_LOOPBACK(&address.v6.sin6_addr))};
        default: return {kUnixAddress, true};
    }
}

bool is_absent(const std::system_error& error) {
    const int code = error.code().value();
    return code == EADDRNOTAVAIL || code == EAFNOSUPPORT;
}

bool is_out_of_descriptors(int error) {
    return error == EMFILE || error == ENFILE || error == ENOBUFS ||
           error == ENOMEM;
}

}  // namespace

Fd::~Fd() {
    if (fd_ >= 0) close(fd_);
}

std::string Endpoint::to_string() const {
    if (is_unix) return "unix:" + address;
    return host_in_url(address) + ":" + std::to_string(port);
}

// With the other constructor done, a throw from here runs the destructor.
Listener::Listener(const Endpoint& endpoint) : Listener() {
    endpoint_ = endpoint;
    if (endpoint.is_unix)
        listen_unix();
    else
        listen_tcp();
    check(listen(fd(), kBacklog), endpoint_);
}

void Listener::listen_tcp() {
    const Address address = tcp_address(endpoint_);
    const int type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
    fd_ = Fd(::socket(address.any.sa_family, type, 0));
    check(fd(), endpoint_);
    set(fd(), SOL_SOCKET, SO_REUSEADDR, 1);
    set(fd(), IPPROTO_TCP, TCP_NODELAY, 1);
    set(fd(), IPPROTO_TCP, TCP_NOTSENT_LOWAT, kUnsentLowWater);
    set(fd(), IPPROTO_TCP, TCP_USER_TIMEOUT, kUnackedTimeoutMs);
    if (address.any.sa_family == AF_INET6)
        set(fd(), IPPROTO_IPV6, IPV6_V6ONLY, 1);
    check(bind(fd(), &address.any, address.size), endpoint_);
    endpoint_.port = port_of(fd());
}

void Listener::listen_unix() {
    const Address address = unix_address(endpoint_);
    remove_stale(endpoint_, address);
    fd_ = Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    check(fd(), endpoint_);
    check(bind(fd(), &address.any, address.size), endpoint_);
    struct stat file;
    check(lstat(endpoint_.address.c_str(), &file), endpoint_);
    device_ = file.st_dev;
    inode_ = file.st_ino;
    // Nobody can connect before listen(), so the mode is never wider.
    set_owner_and_mode(endpoint_);
}

Listener::~Listener() {
    struct stat file;
    if (fd() < 0 || !endpoint_.is_unix) return;
    const char* path = endpoint_.address.c_str();
    if (lstat(path, &file) == 0 && file.st_dev == device_ &&
        file.st_ino == inode_)
        unlink(path);
}

std::vector<Listener> listen_at(const std::vector<Endpoint>& endpoints) {
    std::vector<Listener> listeners;
    int port = 0;
    for (size_t i = 0; i < endpoints.size(); ++i) {
        Endpoint endpoint = endpoints[i];
        const bool last = i + 1 == endpoints.size();
        if (endpoint.port == 0) endpoint.port = port;
        try {
            listeners.emplace_back(endpoint);
        } catch (const std::system_error& error) {
            const bool needed = last && listeners.empty();
            if (!endpoint.optional || needed || !is_absent(error)) throw;
            continue;
        }
        if (!endpoint.is_unix) port = listeners.back().endpoint().port;
    }
    return listeners;
}

Accepted accept_from(const Listener& listener) {
    Accepted accepted;
    Address peer;
    for (;;) {
        peer.size = sizeof peer.local;
        const int fd = accept4(listener.fd(), &peer.any, &peer.size,
                               SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            accepted.fd = Fd(fd);
            accepted.state = Accepted::State::Peer;
            accepted.peer = describe(peer);
            return accepted;
        }
        if (errno == EINTR || errno == ECONNABORTED) continue;
        if (is_out_of_descriptors(errno))
            accepted.state = Accepted::State::OutOfDescriptors;
        return accepted;
    }
}

void raise_descriptor_limit() {
    rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace wschat
