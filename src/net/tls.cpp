#include "net/tls.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <new>
#include <stdexcept>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <sys/socket.h>

#include "util/file_error.h"

namespace wschat {

namespace {

// The only ALPN protocol of the server (RFC 7301), with its length in front.
constexpr unsigned char kAlpn[] = "\x08http/1.1";

// Records in a row without application data. A client has no use for more than
// one or two: a KeyUpdate (RFC 8446, section 4.6.3), an alert. Each KeyUpdate
// costs the server the derivation of new keys, which is more than a message
// costs, and no limit of messages or of bytes would ever be reached.
constexpr uint8_t kMaxRecordsWithoutData = 32;

struct FileCloser {
    void operator()(FILE* file) const { std::fclose(file); }
};

struct KeyDeleter {
    void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};

struct CertificateDeleter {
    void operator()(X509* certificate) const { X509_free(certificate); }
};

[[noreturn]] void fail(const std::string& file, const std::string& why) {
    ERR_clear_error();
    throw_file_error(file, why);
}

std::unique_ptr<FILE, FileCloser> open_file(const std::string& path) {
    std::unique_ptr<FILE, FileCloser> file(std::fopen(path.c_str(), "re"));
    if (!file) fail(path, std::strerror(errno));
    return file;
}

/// Refuses to give OpenSSL a password, for which it would ask the terminal, and
/// notes in `encrypted` that the file needs one.
int refuse_password(char*, int, int, void* encrypted) {
    *static_cast<bool*>(encrypted) = true;
    return -1;
}

/// Returns OpenSSL's reason for the last failure, in a few words.
std::string tls_error() {
    const unsigned long code = ERR_get_error();
    ERR_clear_error();
    const char* reason = code ? ERR_reason_error_string(code) : nullptr;
    return reason ? reason : "unknown TLS error";
}

/// Returns why a file is no certificate chain in PEM.
std::string describe_bad_certificate(const std::string& path) {
    const std::string reason = tls_error();
    std::ifstream file(path);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    if (text.find("-----BEGIN CERTIFICATE") != text.npos) return reason;
    if (text.find("PRIVATE KEY-----") != text.npos)
        return "that is a key: expected the certificate chain";
    return "no certificate in PEM";
}

void use_certificate(SSL_CTX* context, const std::string& path) {
    // OpenSSL tells that it can't read the file, but not why.
    open_file(path);
    bool encrypted = false;
    SSL_CTX_set_default_passwd_cb(context, refuse_password);
    SSL_CTX_set_default_passwd_cb_userdata(context, &encrypted);
    if (SSL_CTX_use_certificate_chain_file(context, path.c_str()) != 1)
        fail(path,
             encrypted ? "it is encrypted" : describe_bad_certificate(path));
    SSL_CTX_set_default_passwd_cb(context, nullptr);
    SSL_CTX_set_default_passwd_cb_userdata(context, nullptr);
}

void use_key(SSL_CTX* context, const std::string& path) {
    const auto file = open_file(path);
    bool encrypted = false;
    std::unique_ptr<EVP_PKEY, KeyDeleter> key(
        PEM_read_PrivateKey(file.get(), nullptr, refuse_password, &encrypted));
    if (encrypted) fail(path, "the key is encrypted");
    if (!key) {
        std::rewind(file.get());
        const std::unique_ptr<X509, CertificateDeleter> certificate(
            PEM_read_X509(file.get(), nullptr, nullptr, nullptr));
        fail(path, certificate ? "that is a certificate: expected its key"
                               : "no private key in PEM");
    }
    if (SSL_CTX_use_PrivateKey(context, key.get()) != 1 ||
        SSL_CTX_check_private_key(context) != 1)
        fail(path, "not the key of the certificate");
}

/// Selects http/1.1 if the client offers it. A client that offers only other
/// protocols continues without ALPN: it may speak HTTP/1.1 all the same, and if
/// it does not it is refused as any malformed request is.
int select_protocol(SSL*, const unsigned char** out, unsigned char* size,
                    const unsigned char* offered, unsigned int offered_size,
                    void*) {
    unsigned char* chosen = nullptr;
    const int result =
        SSL_select_next_proto(&chosen, size, kAlpn, sizeof kAlpn - 1, offered,
                              offered_size);
    *out = chosen;
    return result == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK
                                            : SSL_TLSEXT_ERR_NOACK;
}

/// Called by OpenSSL to encrypt or to decrypt a session ticket.
int prepare_ticket(SSL* ssl, unsigned char* key_name, unsigned char* iv,
                   EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac, int encrypt) {
    const void* keys = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    return static_cast<const TicketKeys*>(keys)->prepare(key_name, iv, cipher,
                                                         mac, encrypt);
}

void set_options(SSL_CTX* context) {
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    // Of TLS 1.2. Without ECDHE, whoever gets the key of the certificate could
    // read recorded sessions; CBC has had too many attacks. All browsers that
    // have WebSockets and TLS 1.2 have these too.
    SSL_CTX_set_cipher_list(context, "ECDHE+AESGCM:ECDHE+CHACHA20");
    // By renegotiation a client could make the server compute without end; with
    // compression an observer could guess secrets by their length (CRIME).
    SSL_CTX_set_options(context,
                        SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    // Clients resume sessions by tickets, which they store themselves. A cache
    // would store thousands of sessions here and hardly ever be asked.
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    // An idle connection then holds no buffers, which would be some 34 KB.
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS |
                                  SSL_MODE_ENABLE_PARTIAL_WRITE);
    SSL_CTX_set_alpn_select_cb(context, select_protocol, nullptr);
}

}  // namespace

/// The BIO by which OpenSSL reads and writes. It reads from the socket, but
/// only appends what OpenSSL writes to the pending records. OpenSSL's own
/// socket BIO would send the records of each client by a system call of its
/// own; these are sent with those of all other clients in one batch.
struct SessionBio {
    static TlsSession& of(BIO* bio) {
        return *static_cast<TlsSession*>(BIO_get_data(bio));
    }

    static int read(BIO* bio, char* data, int size) {
        BIO_clear_retry_flags(bio);
        const ssize_t n = of(bio).receive(data, static_cast<size_t>(size));
        // Else OpenSSL would take the lack of bytes for a failure.
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            BIO_set_retry_read(bio);
        return static_cast<int>(n);
    }

    static int write(BIO* bio, const char* bytes, int size) {
        of(bio).pending_records_.append(bytes, static_cast<size_t>(size));
        return size;
    }

    static long control(BIO* bio, int command, long, void*) {
        // By this OpenSSL tells the end of the connection from a failure.
        if (command == BIO_CTRL_EOF) return of(bio).ended_;
        return command == BIO_CTRL_FLUSH;
    }

    /// Counts what arrives after the handshake. OpenSSL calls it for the header
    /// of each record, and for other things. The type of a record would not
    /// tell whether it has data: TLS 1.3 hides it, and data may be empty.
    static void count_record(int is_written, int, int type, const void*, size_t,
                             SSL* ssl, void*) {
        TlsSession& session = of(SSL_get_rbio(ssl));
        if (!is_written && type == SSL3_RT_HEADER && !session.in_handshake())
            ++session.records_since_data_;
    }

    static BIO_METHOD* method() {
        BIO_METHOD* method = BIO_meth_new(
            BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "session");
        if (!method) throw std::bad_alloc();
        BIO_meth_set_read(method, read);
        BIO_meth_set_write(method, write);
        BIO_meth_set_ctrl(method, control);
        return method;
    }
};

TlsContext::TlsContext(const std::string& certificate, const std::string& key)
    : certificate_(certificate),
      key_(key),
      method_(SessionBio::method()),
      ticket_keys_(std::make_unique<TicketKeys>()),
      context_(load()) {}

void TlsContext::reload() {
    context_ = load();
    // As a restart would do: an operator who replaces a certificate that can't
    // be trusted any more expects no session from its time to go on.
    ticket_keys_->replace();
}

TlsContext::Context TlsContext::load() const {
    Context context(SSL_CTX_new(TLS_server_method()));
    if (!context) fail(certificate_, tls_error());
    set_options(context.get());
    SSL_CTX_set_msg_callback(context.get(), SessionBio::count_record);
    SSL_CTX_set_app_data(context.get(), ticket_keys_.get());
    SSL_CTX_set_tlsext_ticket_key_evp_cb(context.get(), prepare_ticket);
    use_certificate(context.get(), certificate_);
    use_key(context.get(), key_);
    return context;
}

std::unique_ptr<TlsSession> TlsContext::accept(int fd) const {
    TlsSession::Session ssl(SSL_new(context_.get()));
    BIO* bio = BIO_new(method_.get());
    if (!ssl || !bio) throw std::bad_alloc();
    SSL_set_bio(ssl.get(), bio, bio);
    SSL_set_accept_state(ssl.get());
    auto session = std::make_unique<TlsSession>(std::move(ssl), fd);
    BIO_set_data(bio, session.get());
    BIO_set_init(bio, 1);
    return session;
}

bool TlsSession::has_too_many_records() const {
    return records_since_data_ > kMaxRecordsWithoutData;
}

IoResult TlsSession::read(char* data, size_t size) {
    if (next_result_) return *std::exchange(next_result_, std::nullopt);
    allowance_ = size;
    IoResult all = read_record(data, size);
    // A peer may write many small records. Reading them together costs one turn
    // of the loop instead of one for each.
    while (all.state == IoResult::State::Done &&
           size - all.size >= kMaxPlaintext) {
        IoResult next = read_record(data + all.size, size - all.size);
        if (next.state == IoResult::State::Blocked) break;
        if (next.state != IoResult::State::Done) {
            next_result_ = std::move(next);
            break;
        }
        all.size += next.size;
    }
    return all;
}

/// Receives for OpenSSL, within the allowance of read(). One SSL_read() skips
/// all records without application data, such as KeyUpdate and requests for
/// renegotiation. A peer that sends those as fast as they are read would
/// otherwise keep the loop in that call for ever.
ssize_t TlsSession::receive(char* data, size_t size) {
    // OpenSSL gives up without reading the record, for which it only has the
    // header: so the count, which begins again with data, never overflows.
    if (has_too_many_records()) {
        errno = EPROTO;
        return -1;
    }
    size = std::min(size, allowance_);
    if (size == 0) {
        errno = EAGAIN;
        return -1;
    }
    const ssize_t n = recv(fd_, data, size, 0);
    ended_ = n == 0;
    if (n > 0) allowance_ -= static_cast<size_t>(n);
    return n;
}

IoResult TlsSession::read_record(char* data, size_t size) {
    ERR_clear_error();
    size_t n = 0;
    const int result = SSL_read_ex(session_.get(), data, size, &n);
    if (result == 1) {
        records_since_data_ = 0;
        return {IoResult::State::Done, n};
    }
    const int error = errno;
    if (has_too_many_records())
        return {IoResult::State::Failed, 0,
                "TLS: too many records without data"};
    switch (SSL_get_error(session_.get(), result)) {
        case SSL_ERROR_WANT_READ: return {IoResult::State::Blocked};
        case SSL_ERROR_ZERO_RETURN: return {IoResult::State::Eof};
        case SSL_ERROR_SYSCALL:
            return {IoResult::State::Failed, 0, std::strerror(error)};
        default: break;
    }
    // A peer that ends the connection without close_notify counts as one that
    // ended it properly. An attacker who cuts a connection gains nothing by it:
    // every message tells its own length, so a part of one is never accepted.
    if (ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
        return {IoResult::State::Eof};
    return {IoResult::State::Failed, 0, "TLS: " + tls_error()};
}

bool TlsSession::encrypt(std::string_view bytes) {
    while (!bytes.empty()) {
        ERR_clear_error();
        size_t n = 0;
        if (SSL_write_ex(session_.get(), bytes.data(), bytes.size(), &n) != 1)
            return false;
        bytes.remove_prefix(n);
    }
    return true;
}

void TlsSession::consume_records(size_t n) {
    pending_records_.erase(0, n);
    // An idle connection holds no memory for records.
    if (pending_records_.empty()) release(pending_records_);
}

void TlsSession::add_close_notify() {
    if (in_handshake() || SSL_get_shutdown(session_.get()) & SSL_SENT_SHUTDOWN)
        return;
    ERR_clear_error();
    SSL_shutdown(session_.get());
}

}  // namespace wschat
