// The server's certificate and key, and sessions that use them. What a session
// has for its peer is written by somebody else.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <openssl/ssl.h>

#include "util/buffer.h"

namespace wschat {

struct SslDeleter {
    void operator()(SSL* ssl) const { SSL_free(ssl); }
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
    void operator()(BIO_METHOD* method) const { BIO_meth_free(method); }
};

/// The server's side of a session on a connected socket, from its handshake on.
/// It reads from the socket, and never writes to it: what it has for its peer
/// is in `sealed`.
class TlsSession {
public:
    using Session = std::unique_ptr<SSL, SslDeleter>;

    /// REQUIRES: what the session reads from and writes to is this object.
    TlsSession(Session session, int fd)
        : fd_(fd), session_(std::move(session)) {}
    TlsSession(const TlsSession&) = delete;
    TlsSession& operator=(const TlsSession&) = delete;

    bool in_handshake() const { return SSL_in_init(session_.get()); }

    /// What one record holds, or records until the buffer has no place for one
    /// more. Takes no more than `size` bytes from the socket, whatever they
    /// are. Until the handshake is over there is nothing to read.
    IoResult read(char* data, size_t size);

    /// Whether there is something to read of which poll() does not tell: an
    /// end, or a failure, that came right behind what was read.
    bool has_more() const { return more_.has_value(); }

    /// Makes records of the bytes. False if that fails.
    bool seal(std::string_view bytes);

    /// Makes the record that tells the peer that no more will come, once.
    void seal_end();

    /// The records that are to be sent to the peer, in their order.
    std::string sealed;

private:
    friend struct SessionBio;

    IoResult read_record(char* data, size_t size);
    ssize_t receive(char* data, size_t size);

    std::optional<IoResult> more_;
    size_t allowance_ = 0;  // bytes that read() may still take from the socket
    bool ended_ = false;    // the socket has said so
    int fd_;
    Session session_;
};

/// TLS 1.2 and up with OpenSSL's defaults, without a session cache (tickets
/// resume sessions), renegotiation or buffers for idle connections.
class TlsContext {
public:
    /// Loads a PEM certificate, with the chain behind it, and its key. Throws
    /// std::runtime_error with one line: which file is missing, is no PEM or is
    /// encrypted, or that the two don't belong together.
    TlsContext(const std::string& certificate, const std::string& key);

    /// Loads both files anew, for sessions to come. Throws as the constructor
    /// does, and then all stays as it was.
    void reload();

    /// A session on a socket that it doesn't own. Throws std::bad_alloc if
    /// there is no memory. REQUIRES: the context outlives it.
    std::unique_ptr<TlsSession> accept(int fd) const;

private:
    using Context = std::unique_ptr<SSL_CTX, SslDeleter>;

    Context load() const;

    std::string certificate_;
    std::string key_;
    std::unique_ptr<BIO_METHOD, SslDeleter> method_;
    Context context_;
};

}  // namespace wschat
