// A client's connection to the daemon, plain or over TLS, from an address of
// its own. It never blocks. Knows no messages; the requests of clients are made
// here too.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "net/socket.h"
#include "net/tls.h"

namespace wschat::attack {

/// The settings of the TLS sessions of clients.
using ClientTls = std::unique_ptr<SSL_CTX, SslDeleter>;

/// Where the daemon listens on 127.0.0.1, and how clients connect to it.
struct Target {
    uint16_t port = 0;
    SSL_CTX* tls = nullptr;  // null: plain
};

/// Returns the address 127.0.block.number, from which a client connects.
constexpr uint32_t loopback(uint32_t block, uint32_t number) {
    return 0x7F000000 | block << 8 | number;
}

/// Returns the request of a WebSocket client for this path, with these header
/// lines besides the necessary ones.
std::string handshake(const std::string& path, const std::string& lines = {});

/// A line for handshake(): the client understands compressed messages.
constexpr char kDeflate[] =
    "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover;"
    " client_no_context_takeover\r\n";

class Connection {
public:
    /// Begins to connect from this address. A small receive buffer makes the
    /// daemon wait for a client that does not read after a few KiB.
    enum class Buffer { Usual, Small };
    Connection(const Target& target, uint32_t source,
               Buffer buffer = Buffer::Usual);

    int fd() const { return socket_.get(); }
    SSL* tls() const { return session_.get(); }

    /// Returns false when the daemon has ended the connection, or did not
    /// accept it.
    bool is_open() const { return open_; }
    void abandon() { open_ = false; }

    /// Sends the bytes now, or as soon as flush() can.
    void send(std::string_view bytes);
    bool has_unsent() const { return !unsent_.empty(); }
    void flush();

    /// Returns bytes that have arrived, in the buffer; may be empty.
    std::string_view receive(std::vector<char>& buffer);

    /// Return the bytes that the socket has taken, and that have arrived. Over
    /// TLS they are those of the records.
    size_t sent() const;
    size_t received() const;

    /// Makes the destructor reset the connection. Otherwise the kernel would
    /// reserve the port of each ended connection for a minute, and an attack
    /// would soon find none.
    void reset_at_end();

private:
    bool would_block(int result) const;

    Fd socket_;
    TlsSession::Session session_;
    std::string unsent_;
    size_t sent_ = 0;
    size_t received_ = 0;
    bool open_ = true;
};

}  // namespace wschat::attack
