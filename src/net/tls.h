// The server's side of TLS: the certificate with its key, and the sessions that
// use them. A session reads from its socket, but never writes to it: it stores
// the records for its peer, and its owner sends them. No other unit calls
// OpenSSL's TLS.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <openssl/ssl.h>

#include "net/ticket_keys.h"
#include "util/buffer.h"
#include "util/clock.h"

namespace wschat {

struct SslDeleter {
    void operator()(SSL* ssl) const { SSL_free(ssl); }
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
    void operator()(BIO_METHOD* method) const { BIO_meth_free(method); }
};

/// The server's side of one TLS session, from its handshake on.
class TlsSession {
public:
    using Session = std::unique_ptr<SSL, SslDeleter>;

    /// The most bytes that one record holds (RFC 8446, section 5.1).
    static constexpr size_t kMaxPlaintext = 16 << 10;

    /// REQUIRES: the BIO of `session` is bound to this object, as
    /// TlsContext::accept() does. The socket is non-blocking and outlives it.
    TlsSession(Session session, int fd)
        : fd_(fd), session_(std::move(session)) {}
    TlsSession(const TlsSession&) = delete;
    TlsSession& operator=(const TlsSession&) = delete;

    bool in_handshake() const { return SSL_in_init(session_.get()); }

    /// Performs the handshake, then decrypts: reads records until the socket is
    /// empty or the buffer has no space for another whole record. Takes at most
    /// `size` bytes from the socket, whatever they are. May add records. Fails
    /// if after the handshake too many records in a row have no application
    /// data. REQUIRES: size >= kMaxPlaintext.
    IoResult read(char* data, size_t size);

    /// Returns true if read() has another result at once: an end or a failure
    /// that it found behind the bytes that it returned.
    bool has_more() const { return next_result_.has_value(); }

    /// Encrypts the bytes and adds the records. Returns false on failure.
    /// REQUIRES: the handshake is over.
    bool encrypt(std::string_view bytes);

    /// Adds the close_notify alert (RFC 8446, section 6.1), at the first call
    /// after the handshake only.
    void add_close_notify();

    /// The records that must be sent to the peer, in this order.
    const std::string& pending_records() const { return pending_records_; }

    /// Removes the first n bytes of the records, which were sent.
    void consume_records(size_t n);

private:
    friend struct SessionBio;

    bool has_too_many_records() const;
    IoResult read_record(char* data, size_t size);
    ssize_t receive(char* data, size_t size);

    std::string pending_records_;
    std::optional<IoResult> next_result_;  // of the next read(), if known
    size_t allowance_ = 0;  // bytes that read() may still take from the socket
    bool ended_ = false;    // the socket has reported its end
    uint8_t records_since_data_ = 0;  // the one that is being read included
    int fd_;
    Session session_;
};

/// The certificate and key, and the settings of all sessions: TLS 1.3 with the
/// ciphers that OpenSSL has by default, TLS 1.2 with ECDHE and AEAD only; ALPN
/// with http/1.1; tickets whose keys change.
class TlsContext {
public:
    /// Loads a PEM file with the certificate and its chain, and one with the
    /// private key. Throws std::runtime_error with one line that names the file
    /// and the cause: it can't be read, is not PEM or is encrypted, or the key
    /// does not belong to the certificate.
    TlsContext(const std::string& certificate, const std::string& key);

    /// Loads both files again, for sessions that begin later, which accept no
    /// earlier ticket. Throws as the constructor does, and then keeps what it
    /// had.
    void reload();

    /// Changes the key of session tickets if it is due.
    void begin_turn(Time now) { ticket_keys_->begin_turn(now); }

    /// When begin_turn() must be called even if there is no session.
    Time next_event() const { return ticket_keys_->next_change(); }

    /// Returns a session on this socket, which it does not close. Throws
    /// std::bad_alloc if there is no memory.
    /// REQUIRES: the context outlives the session.
    std::unique_ptr<TlsSession> accept(int fd) const;

private:
    using Context = std::unique_ptr<SSL_CTX, SslDeleter>;

    Context load() const;

    std::string certificate_;
    std::string key_;
    std::unique_ptr<BIO_METHOD, SslDeleter> method_;
    // On the heap, because each OpenSSL context refers to them.
    std::unique_ptr<TicketKeys> ticket_keys_;
    Context context_;
};

}  // namespace wschat
