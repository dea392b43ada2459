#include "net/socket.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <system_error>

#include <arpa/inet.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace wschat {

namespace {

// Connections that may wait for accept. After a restart all clients return at
// once. The kernel limits it to net.core.somaxconn.
constexpr int kMaxPending = 4096;

constexpr int kSocketFlags = SOCK_NONBLOCK | SOCK_CLOEXEC;

constexpr int kUnsentLowWater = 128 << 10;  // bytes

/// A socket address of any family, with its length.
struct SocketAddress {
    union {
        sockaddr any;
        sockaddr_in v4;
        sockaddr_in6 v6;
        sockaddr_un local;
    };
    socklen_t size = 0;

    SocketAddress() { std::memset(&local, 0, sizeof local); }
};

[[noreturn]] void fail(const Endpoint& endpoint, const std::string& why) {
    throw std::runtime_error("cannot listen on " + endpoint.to_string() + ": " +
                             why);
}

/// Throws for errno. `what` is added if it is not the endpoint that failed but
/// another file, or if it helps.
[[noreturn]] void fail_by_system(const Endpoint& endpoint,
                                 const std::string& what = "") {
    throw std::system_error(errno, std::generic_category(),
                            "cannot listen on " + endpoint.to_string() +
                                (what.empty() ? "" : ": " + what));
}

void check(int result, const Endpoint& endpoint) {
    if (result < 0) fail_by_system(endpoint);
}

Fd open_socket(const Endpoint& endpoint, int family) {
    Fd fd(::socket(family, SOCK_STREAM | kSocketFlags, 0));
    check(fd.get(), endpoint);
    return fd;
}

/// Sets an option. Ignores failure: all of them only improve the service, and
/// some kernels don't have all of them.
void set_option(int fd, int level, int option, int value) {
    setsockopt(fd, level, option, &value, sizeof value);
}

void set_tcp_options(int fd, const Endpoint& endpoint) {
    // A restarted daemon can listen while connections of its predecessor are
    // still in TIME_WAIT.
    set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    // Messages are small and each turn sends all that there are. Nagle's
    // algorithm would delay them until the previous ones are acknowledged.
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    // Bytes that a slow peer has not been sent stay in the shared log instead
    // of the kernel. With this a peer that never reads takes 0.3 MB of the
    // kernel's memory, without it over 4 MB.
    set_option(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, kUnsentLowWater);
    set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, endpoint.unacked_timeout_ms);
}

SocketAddress tcp_address(const Endpoint& endpoint) {
    SocketAddress address;
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

SocketAddress unix_address(const Endpoint& endpoint) {
    SocketAddress address;
    const std::string& path = endpoint.address;
    if (path.empty() || path.size() >= sizeof address.local.sun_path)
        fail(endpoint, "expected a path of 1 to 107 bytes");
    address.local.sun_family = AF_UNIX;
    std::memcpy(address.local.sun_path, path.data(), path.size());
    address.size = sizeof address.local;
    return address;
}

/// Returns the port that the socket is bound to; 0 if that fails.
int port_of(int fd) {
    SocketAddress address;
    address.size = sizeof address.local;
    if (getsockname(fd, &address.any, &address.size) < 0) return 0;
    // sin_port and sin6_port lie at the same place.
    return ntohs(address.v4.sin_port);
}

std::string lock_path(const Endpoint& endpoint) {
    return endpoint.address + ".lock";
}

/// True if the path names this open file, and not a link to it.
bool is_file_at(const std::string& path, int fd) {
    struct stat opened, named;
    return fstat(fd, &opened) == 0 && lstat(path.c_str(), &named) == 0 &&
           opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

/// Creates and locks the lock file. Fails if another process has locked it. The
/// socket itself can't be opened, and a lock on its directory could be taken by
/// every user who can read that.
Fd take_lock(const Endpoint& endpoint) {
    const std::string path = lock_path(endpoint);
    for (;;) {
        Fd fd(open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC,
                   0600));
        if (fd.get() < 0) fail_by_system(endpoint, path);
        if (flock(fd.get(), LOCK_EX | LOCK_NB) < 0) {
            if (errno != EWOULDBLOCK) fail_by_system(endpoint, path);
            errno = EADDRINUSE;
            fail_by_system(endpoint);
        }
        // Between open() and flock() its former owner may have removed it. Then
        // this lock excludes no process that creates a new file of this name.
        if (is_file_at(path, fd.get())) return fd;
    }
}

/// Removes the socket file of a process that ended without removing it. bind()
/// fails if the file exists. Only connecting tells whether a process still
/// listens there, since other programs take no lock: it is refused if none
/// does. EAGAIN is not a refusal but a full backlog, so there is one.
/// REQUIRES: the lock. Otherwise another process may have replaced the stale
/// file meanwhile, and its new file would be removed.
void remove_stale(const Endpoint& endpoint, const SocketAddress& address) {
    struct stat file;
    if (lstat(endpoint.address.c_str(), &file) < 0) return;
    if (!S_ISSOCK(file.st_mode)) fail(endpoint, "exists and is no socket");
    const Fd probe = open_socket(endpoint, AF_UNIX);
    if (connect(probe.get(), &address.any, address.size) == 0 ||
        errno == EAGAIN) {
        errno = EADDRINUSE;
        fail_by_system(endpoint);
    }
    if (errno == ECONNREFUSED) unlink(endpoint.address.c_str());
}

/// Binds so that the file has its mode from the start: chmod() would follow a
/// symbolic link that another process has put in the place of the file.
void bind_with_mode(int fd, const Endpoint& endpoint,
                    const SocketAddress& address) {
    const mode_t before = umask(0777 & ~endpoint.mode);
    const int result = bind(fd, &address.any, address.size);
    const int error = errno;
    umask(before);
    errno = error;
    check(result, endpoint);
}

void set_group(const Endpoint& endpoint) {
    if (endpoint.group.empty()) return;
    const group* entry = getgrnam(endpoint.group.c_str());
    if (!entry) fail(endpoint, "no group " + endpoint.group);
    if (lchown(endpoint.address.c_str(), static_cast<uid_t>(-1),
               entry->gr_gid) < 0)
        fail_by_system(endpoint, "only root and members may give it to group " +
                                     endpoint.group);
}

Address address_of(const SocketAddress& peer) {
    std::array<uint8_t, 16> bytes{};
    if (peer.any.sa_family == AF_INET6) {
        std::memcpy(bytes.data(), &peer.v6.sin6_addr, bytes.size());
        return Address(bytes);
    }
    if (peer.any.sa_family != AF_INET) return {};
    std::memcpy(bytes.data(), &peer.v4.sin_addr, 4);
    return Address::from_ipv4(bytes.data());
}

/// Returns true if the machine does not have the address, or no IPv6 at all.
bool is_address_missing(const std::system_error& error) {
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

// Delegates to the default constructor so that, if this body throws, the
// destructor still runs and removes the file of a unix socket.
Listener::Listener(const Endpoint& endpoint) : Listener() {
    endpoint_ = endpoint;
    if (endpoint.is_unix)
        listen_unix();
    else
        listen_tcp();
    check(listen(fd(), kMaxPending), endpoint_);
}

void Listener::listen_tcp() {
    const SocketAddress address = tcp_address(endpoint_);
    fd_ = open_socket(endpoint_, address.any.sa_family);
    set_tcp_options(fd(), endpoint_);
    // Else [::] would accept IPv4 too, and 0.0.0.0 with the same port would be
    // in use.
    if (address.any.sa_family == AF_INET6)
        set_option(fd(), IPPROTO_IPV6, IPV6_V6ONLY, 1);
    if (bind(fd(), &address.any, address.size) < 0)
        fail_by_system(endpoint_,
                       errno == EACCES && endpoint_.port < 1024
                           ? "ports below 1024 need CAP_NET_BIND_SERVICE"
                           : "");
    endpoint_.port = port_of(fd());
}

void Listener::listen_unix() {
    const SocketAddress address = unix_address(endpoint_);
    lock_ = take_lock(endpoint_);
    remove_stale(endpoint_, address);
    fd_ = open_socket(endpoint_, AF_UNIX);
    bind_with_mode(fd(), endpoint_, address);
    struct stat file;
    check(lstat(endpoint_.address.c_str(), &file), endpoint_);
    device_ = file.st_dev;
    inode_ = file.st_ino;
    // No peer can connect before listen(), so none profits from the group that
    // the file has until now.
    set_group(endpoint_);
}

Listener::~Listener() {
    if (lock_.get() < 0) return;
    struct stat file;
    const char* path = endpoint_.address.c_str();
    if (lstat(path, &file) == 0 && file.st_dev == device_ &&
        file.st_ino == inode_)
        unlink(path);
    // Last, and before the descriptor is closed: until then no other process
    // can put its own file there.
    const std::string lock = lock_path(endpoint_);
    if (is_file_at(lock, lock_.get())) unlink(lock.c_str());
}

std::vector<Listener> listen_at(const std::vector<Endpoint>& endpoints) {
    std::vector<Listener> listeners;
    int port = 0;
    for (size_t i = 0; i < endpoints.size(); ++i) {
        Endpoint endpoint = endpoints[i];
        const bool last = i + 1 == endpoints.size();
        // One port for all addresses: clients reach "localhost:PORT" by IPv4
        // and by IPv6.
        if (endpoint.port == 0) endpoint.port = port;
        try {
            listeners.emplace_back(endpoint);
        } catch (const std::system_error& error) {
            const bool needed = last && listeners.empty();
            if (!endpoint.optional || needed || !is_address_missing(error))
                throw;
            continue;
        }
        if (!endpoint.is_unix) port = listeners.back().endpoint().port;
    }
    return listeners;
}

Accepted accept_from(const Listener& listener) {
    Accepted accepted;
    SocketAddress peer;
    for (;;) {
        peer.size = sizeof peer.local;
        const int fd =
            accept4(listener.fd(), &peer.any, &peer.size, kSocketFlags);
        if (fd >= 0) {
            accepted.fd = Fd(fd);
            accepted.state = Accepted::State::Peer;
            accepted.peer = address_of(peer);
            return accepted;
        }
        // The peer of an aborted connection is gone, but others may wait.
        if (errno == EINTR || errno == ECONNABORTED) continue;
        if (is_out_of_descriptors(errno))
            accepted.state = Accepted::State::OutOfDescriptors;
        return accepted;
    }
}

size_t raise_descriptor_limit() {
    rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return 1024;
    const rlim_t soft = std::exchange(limit.rlim_cur, limit.rlim_max);
    return setrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_max : soft;
}

bool is_out_of_descriptors() {
    const Fd copy(dup(STDERR_FILENO));
    return copy.get() < 0 && is_out_of_descriptors(errno);
}

}  // namespace wschat
