// TLS for peers: a thread encrypts and decrypts the bytes between a plain Peer
// and the daemon. Also makes certificates.
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

enum class KeyType { Ec, Rsa };

/// A key and its self-signed certificate for this common name, both in PEM.
struct Certificate {
    explicit Certificate(const std::string& name, KeyType type = KeyType::Ec);

    std::string certificate;
    std::string key;
    std::string encrypted_key;
};

/// A certificate and its key in files.
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

    /// Returns --tls-cert and --tls-key with these files, and `more`.
    Options options(const Options& more = {}) const;

private:
    ScratchDirectory scratch_;
};

/// The TLS settings of a client.
struct TlsOptions {
    int version = 0;     // the only version; 0: any
    // Allows old ones, so that the daemon must refuse them. Of TLS 1.2 only.
    std::string ciphers = "ALL:@SECLEVEL=0";
    std::string alpn{};  // list of protocols in wire format
    SSL_SESSION* resume = nullptr;
    bool tickets = true;  // of TLS 1.2
    bool byte_by_byte = false;   // one send() for each byte
    bool small_records = false;  // one record for each byte
    // A close_notify is sent directly behind the first bytes.
    bool close_notify_after_data = false;
    int key_updates_after_data = 0;  // so many, behind each piece of data
};

/// A TLS connection to the daemon. The test sends and receives plain bytes with
/// peer(). Fails the test if the TLS handshake fails.
class TlsTunnel {
public:
    explicit TlsTunnel(const Daemon& daemon, const TlsOptions& tls_options = {},
                       SourceLine at = {});
    ~TlsTunnel();
    TlsTunnel(const TlsTunnel&) = delete;
    TlsTunnel& operator=(const TlsTunnel&) = delete;

    Peer& peer() { return peer_; }

    // Results of the handshake
    std::string version() const { return SSL_get_version(ssl_.get()); }
    std::string alpn() const;
    std::string certificate_name() const;
    bool resumed() const { return SSL_session_reused(ssl_.get()); }

    /// Returns true if the daemon has sent a close_notify. Valid after the peer
    /// has received EOF.
    bool received_close_notify() const { return close_notify_; }

    /// Ends the connection. Returns its session, for another one to resume.
    Session session();

private:
    void do_handshake(SourceLine at);
    void end();
    void run();
    bool send_encrypted(const std::string& bytes);
    bool receive_decrypted();
    bool flush();
    bool receive();

    TlsOptions options_;
    std::unique_ptr<SSL_CTX, SslFree> context_;
    std::unique_ptr<SSL, SslFree> ssl_;
    Fd network_;
    Fd plain_end_;
    Peer peer_;
    Fd stop_writer_;  // closing its other end ends the thread
    Fd stop_reader_;
    std::atomic<bool> close_notify_{false};
    std::thread thread_;
};

/// Returns the context of a client: its version and protocols.
std::unique_ptr<SSL_CTX, SslFree> make_context(const TlsOptions& tls_options);

/// Returns a ClientHello record.
std::string client_hello();

/// Returns true if a handshake with these options succeeds.
bool accepts_tls(const Daemon& daemon, const TlsOptions& tls_options);

/// Returns true if a client with TLS 1.2 gets a second handshake.
bool accepts_renegotiation(const Daemon& daemon);

}  // namespace wschat::test
