// A WebSocket client of the load generator, plain or over TLS.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "net/socket.h"
#include "net/tls.h"

namespace wschat::bench {

/// The server's port, and how to connect to it.
struct ConnectOptions {
    int port = 0;            // on 127.0.0.1
    SSL_CTX* tls = nullptr;  // null: plain
    bool deflate = false;    // ask for permessage-deflate
};

/// A client. An error of the server throws std::runtime_error.
class Peer {
public:
    /// Connects and sends the request; read_response() must be called next. The
    /// two are separate so that many handshakes can run at a time.
    Peer(const ConnectOptions& options, const std::string& path);

    /// Waits for the response. It must be a correct 101, and accept deflate if
    /// that was offered. REQUIRES: no client sends messages meanwhile.
    void read_response();

    int fd() const { return socket_.get(); }

    /// Returns the bytes that have arrived, in the buffer; may be empty.
    std::string_view read(std::vector<char>& buffer);

    /// Sends all bytes.
    void write(std::string_view bytes);

private:
    ssize_t receive(char* data, size_t size);
    ssize_t send(std::string_view bytes);

    Fd socket_;
    TlsSession::Session session_;
    bool deflate_;
};

}  // namespace wschat::bench
