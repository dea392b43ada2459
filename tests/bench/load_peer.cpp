#include "load_peer.h"

#include <array>
#include <cerrno>
#include <stdexcept>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

namespace wschat::bench {

namespace {

constexpr int kTimeoutMs = 10'000;

// The example of RFC 6455, section 1.3.
constexpr char kKey[] = "dGhlIHNhbXBsZSBub25jZQ==";
constexpr char kAccept[] =
    "\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";

constexpr char kExtension[] =
    "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover;"
    " client_no_context_takeover\r\n";

void require(bool good, const char* what) {
    if (!good) throw std::runtime_error(what);
}

Fd connect_to(int port) {
    Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    require(fd.get() >= 0, "out of descriptors");
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    require(connect(fd.get(), reinterpret_cast<sockaddr*>(&address),
                    sizeof address) == 0,
            "the server accepts no connection");
    const int on = 1;
    setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    // For the handshakes: a server that does not answer ends the run.
    const timeval timeout{kTimeoutMs / 1000, 0};
    setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    return fd;
}

TlsSession::Session shake_hands(SSL_CTX* context, int fd) {
    TlsSession::Session session(SSL_new(context));
    SSL_set_fd(session.get(), fd);
    require(SSL_connect(session.get()) == 1, "the TLS handshake failed");
    return session;
}

std::string request(const std::string& path, bool deflate) {
    return "GET " + path + " HTTP/1.1\r\nHost: 127.0.0.1\r\n" +
           "Upgrade: websocket\r\nConnection: Upgrade\r\n" +
           "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + kKey + "\r\n" +
           (deflate ? kExtension : "") + "\r\n";
}

}  // namespace

Peer::Peer(const ConnectOptions& options, const std::string& path)
    : socket_(connect_to(options.port)), deflate_(options.deflate) {
    if (options.tls) session_ = shake_hands(options.tls, fd());
    write(request(path, deflate_));
}

void Peer::read_response() {
    std::string head;
    std::array<char, 1024> buffer;
    while (head.size() < 4 || head.substr(head.size() - 4) != "\r\n\r\n") {
        const ssize_t n = receive(buffer.data(), buffer.size());
        require(n > 0, "no complete response to a handshake");
        head.append(buffer.data(), static_cast<size_t>(n));
    }
    require(
        head.rfind("HTTP/1.1 101 ", 0) == 0 && head.find(kAccept) != head.npos,
        "a handshake was refused");
    require(!deflate_ || head.find("permessage-deflate") != head.npos,
            "the server does not accept deflate");
    fcntl(fd(), F_SETFL, O_NONBLOCK);
}

std::string_view Peer::read(std::vector<char>& buffer) {
    size_t size = 0;
    while (size < buffer.size()) {
        const ssize_t n = receive(&buffer[size], buffer.size() - size);
        require(n >= 0, "the server dropped a client");
        size += static_cast<size_t>(n);
        // epoll reports bytes that are left in a plain socket, but not bytes
        // that are left in a TLS session.
        if (n == 0 || !session_) break;
    }
    return {buffer.data(), size};
}

void Peer::write(std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t n = send(bytes);
        if (n > 0) {
            bytes.remove_prefix(static_cast<size_t>(n));
            continue;
        }
        pollfd entry{fd(), POLLOUT, 0};
        require(poll(&entry, 1, kTimeoutMs) == 1 && entry.revents == POLLOUT,
                "the server reads no more");
    }
}

/// Returns the number of bytes; 0 if there are none now, -1 at EOF or on an
/// error.
ssize_t Peer::receive(char* data, size_t size) {
    if (!session_) {
        const ssize_t n = recv(fd(), data, size, 0);
        if (n > 0) return n;
        return n < 0 && errno == EAGAIN ? 0 : -1;
    }
    const int n = SSL_read(session_.get(), data, static_cast<int>(size));
    if (n > 0) return n;
    const int error = SSL_get_error(session_.get(), n);
    return error == SSL_ERROR_WANT_READ ? 0 : -1;
}

ssize_t Peer::send(std::string_view bytes) {
    if (session_)
        return SSL_write(session_.get(), bytes.data(),
                         static_cast<int>(bytes.size()));
    return ::send(fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
}

}  // namespace wschat::bench
