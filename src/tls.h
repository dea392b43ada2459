// The server's certificate and key, and sessions that use them. What a session
// has for its peer is written by somebody else.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <openssl/ssl.h>

#include "bytes.h"

namespace wschat {

struct SslDeleter {
    void operator()(SSL* ssl) const { SSL_free(ssl); }
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
    void operator()(BIO_METHOD* method) const { BIO_meth_free(method); }
};

/// The server's side of a session on a connected socket, from its handshake on.
/// It reads from the socket, and never writes to it.
class TlsSession {
public:
    using Session = std::unique_ptr<SSL, SslDeleter>;

    explicit TlsSession(Session session) : session_(std::move(session)) {}
    TlsSession(const TlsSession&) = delete;
    TlsSession& operator=(const TlsSession&) = delete;

    bool in_handshake() const { return SSL_in_init(session_.get()); }

    /// What one record holds, or records until the buffer has no place for one
    /// more. Until the handshake is over there is nothing to read.
    Transfer read(char* data, size_t size);

    /// Makes records of the bytes. False if that fails.
    bool seal(std::string_view bytes);

    /// Makes the record that tells the peer that no more will come, once.
    void seal_end();

    /// The records that are to be sent to the peer, in their order.
    std::string sealed;

private:
    Transfer read_record(char* data, size_t size);

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
    std::unique_ptr<BIO_METHOD, SslDeleter> collector_;
    Context context_;
};

}  // namespace wschat
