// One WebSocket client of the server under load, plain or over TLS.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "net/socket.h"
#include "net/tls.h"

namespace wschat::bench {

/// How to connect.
struct Contact {
    int port = 0;            // on 127.0.0.1
    SSL_CTX* tls = nullptr;  // null: plain
    bool deflate = false;    // ask for permessage-deflate
};

/// Whatever the server does wrong throws std::runtime_error.
class Peer {
public:
    /// Connects and sends its request; take_answer() must come next. So a
    /// server can have many handshakes at a time.
    Peer(const Contact& contact, const std::string& path);

    /// Waits for the answer, which must be 101 and right, and agree to deflate
    /// if it was asked for. REQUIRES: nobody speaks meanwhile.
    void take_answer();

    int fd() const { return socket_.get(); }

    /// What has arrived, in the buffer; perhaps nothing.
    std::string_view read(std::vector<char>& buffer);

    /// Sends all.
    void write(std::string_view bytes);

private:
    ssize_t receive(char* data, size_t size);
    ssize_t send(std::string_view bytes);

    Fd socket_;
    TlsSession::Session session_;
    bool deflate_;
};

}  // namespace wschat::bench
