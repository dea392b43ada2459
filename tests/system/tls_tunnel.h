// TLS for peers: a thread that carries bytes between a Peer, which knows
// nothing of it, and the daemon. And certificates.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <thread>

#include <openssl/ssl.h>

#include "peer.h"

namespace wschat::test {

struct SslFree {
    void operator()(SSL* ssl) const { SSL_free(ssl); }
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
    void operator()(SSL_SESSION* session) const { SSL_SESSION_free(session); }
};

using Session = std::unique_ptr<SSL_SESSION, SslFree>;

/// A key, and a certificate of its own that has this name; both in PEM.
struct Certificate {
    explicit Certificate(const std::string& name);

    std::string certificate;
    std::string key;
    std::string encrypted_key;
};

/// A certificate in files of a directory of its own.
class CertificateFiles {
public:
    explicit CertificateFiles(const std::string& name = "first") {
        replace(Certificate(name));
    }

    void replace(const Certificate& certificate) {
        write_file(certificate_path(), certificate.certificate);
        write_file(key_path(), certificate.key);
    }

    std::string certificate_path() const { return scratch_ / "cert.pem"; }
    std::string key_path() const { return scratch_ / "key.pem"; }

    /// The two options, and more.
    Options options(const Options& more = {}) const;

private:
    ScratchDirectory scratch_;
};

/// What a client wants of TLS.
struct Wish {
    int version = 0;              // the only one; 0: any
    std::string alpn{};           // protocols as they are on the wire
    SSL_SESSION* resume = nullptr;
    bool byte_by_byte = false;    // the connection gets single bytes
    bool small_records = false;   // of one byte each
    bool last_words = false;      // a close_notify goes with the first bytes
};

/// A connection over TLS whose other end is peer(). Fails if the handshake
/// does.
class TlsTunnel {
public:
    explicit TlsTunnel(const Daemon& daemon, const Wish& wish = {},
                       Where at = {});
    ~TlsTunnel();
    TlsTunnel(const TlsTunnel&) = delete;
    TlsTunnel& operator=(const TlsTunnel&) = delete;

    Peer& peer() { return peer_; }

    // Of the handshake.
    std::string version() const { return SSL_get_version(ssl_.get()); }
    std::string alpn() const;
    std::string certificate_name() const;
    bool resumed() const { return SSL_session_reused(ssl_.get()); }

    /// Whether the daemon has said that it will send no more. Meaningful once
    /// the peer has heard the end.
    bool heard_close_notify() const { return close_notify_; }

    /// Ends the connection. The session, for another one to resume.
    Session session();

private:
    void shake_hands(Where at);
    void end();
    void carry();
    bool carry_out(const std::string& bytes);
    bool carry_in();
    bool flush();
    bool receive();

    Wish wish_;
    std::unique_ptr<SSL_CTX, SslFree> context_;
    std::unique_ptr<SSL, SslFree> ssl_;
    Fd network_;
    Fd inner_;
    Peer peer_;
    Fd wake_;  // closing its other end ends the thread
    Fd woken_;
    std::atomic<bool> close_notify_{false};
    std::thread thread_;
};

/// The first bytes of a client of TLS.
std::string client_hello();

/// Whether TLS of this version alone gets through the handshake.
bool speaks(const Daemon& daemon, int version);

}  // namespace wschat::test
