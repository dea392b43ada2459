// The server's certificate and key, and sessions that use them. Which bytes go
// through a session is not known here.
#pragma once

#include <memory>
#include <string>

#include <openssl/ssl.h>

namespace wschat {

struct SslDeleter {
    void operator()(SSL* ssl) const { SSL_free(ssl); }
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};

using TlsSession = std::unique_ptr<SSL, SslDeleter>;

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

    /// A session of the server's side on a connected socket, which it doesn't
    /// own. Null if there is no memory.
    TlsSession accept(int fd) const;

private:
    using Context = std::unique_ptr<SSL_CTX, SslDeleter>;

    Context load() const;

    std::string certificate_;
    std::string key_;
    Context context_;
};

/// What OpenSSL has to say about the last failure, in a few words. Forgets it.
std::string tls_error();

}  // namespace wschat
