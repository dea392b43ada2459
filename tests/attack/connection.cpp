#include "connection.h"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <stdexcept>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <sys/socket.h>

namespace wschat::attack {

namespace {

constexpr int kSmallBuffer = 4096;

sockaddr_in address_of(uint32_t host, uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(host);
    return address;
}

void set(int fd, int level, int option, int value) {
    setsockopt(fd, level, option, &value, sizeof value);
}

/// Returns a socket that is bound to this address. connect() picks its port.
Fd open_socket(uint32_t source) {
    Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (fd.get() < 0)
        throw std::runtime_error("out of descriptors: see ulimit -Hn");
    set(fd.get(), IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
    set(fd.get(), IPPROTO_TCP, TCP_NODELAY, 1);
    const sockaddr_in address = address_of(source, 0);
    if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address),
             sizeof address) != 0)
        throw std::runtime_error("cannot bind a client's address");
    return fd;
}

int int_size(size_t size) {
    return static_cast<int>(std::min<size_t>(size, INT_MAX));
}

}  // namespace

std::string handshake(const std::string& path, const std::string& lines) {
    return "GET " + path +
           " HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
           "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
           "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
           lines + "\r\n";
}

Connection::Connection(const Target& target, uint32_t source, Buffer buffer)
    : socket_(open_socket(source)) {
    if (buffer == Buffer::Small)
        set(fd(), SOL_SOCKET, SO_RCVBUF, kSmallBuffer);
    const sockaddr_in address = address_of(INADDR_LOOPBACK, target.port);
    open_ = connect(fd(), reinterpret_cast<const sockaddr*>(&address),
                    sizeof address) == 0 ||
            errno == EINPROGRESS;
    if (!target.tls) return;
    session_.reset(SSL_new(target.tls));
    SSL_set_fd(session_.get(), fd());
    SSL_set_connect_state(session_.get());
    SSL_set_mode(session_.get(), SSL_MODE_ENABLE_PARTIAL_WRITE |
                                     SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
}

void Connection::reset_at_end() {
    const linger reset{1, 0};
    setsockopt(fd(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
}

size_t Connection::sent() const {
    return session_ ? BIO_number_written(SSL_get_wbio(tls())) : sent_;
}

size_t Connection::received() const {
    return session_ ? BIO_number_read(SSL_get_rbio(tls())) : received_;
}

/// Returns true if a call with this result may succeed later.
bool Connection::would_block(int result) const {
    if (!session_) return errno == EAGAIN || errno == ENOTCONN;
    const int error = SSL_get_error(session_.get(), result);
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
}

void Connection::send(std::string_view bytes) {
    unsent_ += bytes;
    flush();
}

void Connection::flush() {
    size_t done = 0;
    while (open_ && done < unsent_.size()) {
        const char* next = unsent_.data() + done;
        const size_t size = unsent_.size() - done;
        ERR_clear_error();
        const int n =
            session_
                ? SSL_write(session_.get(), next, int_size(size))
                : static_cast<int>(::send(fd(), next, size, MSG_NOSIGNAL));
        if (n <= 0) {
            open_ = would_block(n);
            break;
        }
        done += static_cast<size_t>(n);
    }
    unsent_.erase(0, done);
    sent_ += done;
}

std::string_view Connection::receive(std::vector<char>& buffer) {
    size_t size = 0;
    while (open_ && size < buffer.size()) {
        char* next = buffer.data() + size;
        const size_t space = buffer.size() - size;
        ERR_clear_error();
        const int n =
            session_ ? SSL_read(session_.get(), next, int_size(space))
                     : static_cast<int>(recv(fd(), next, space, 0));
        if (n <= 0) {
            open_ = n < 0 && would_block(n);
            break;
        }
        size += static_cast<size_t>(n);
        // epoll reports bytes that are left in a plain socket, but not bytes
        // that are left in a TLS session.
        if (!session_) break;
    }
    received_ += size;
    return {buffer.data(), size};
}

}  // namespace wschat::attack
