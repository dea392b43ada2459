#include "net/tls.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <new>
#include <stdexcept>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <sys/socket.h>

#include "util/file_error.h"

namespace wschat {

namespace {

constexpr size_t kRecord = 16 << 10;  // bytes, at most, that a record holds

/// The one protocol that is spoken here (RFC 7301), as ALPN has it on the wire.
constexpr unsigned char kAlpn[] = "\x08http/1.1";

struct FileCloser {
    void operator()(FILE* file) const { std::fclose(file); }
};

struct KeyDeleter {
    void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
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

/// OpenSSL would ask the terminal for a password. Takes note that it wanted to.
int note_password(char*, int, int, void* asked) {
    *static_cast<bool*>(asked) = true;
    return -1;
}

void use_key(SSL_CTX* context, const std::string& path) {
    const auto file = open_file(path);
    bool encrypted = false;
    std::unique_ptr<EVP_PKEY, KeyDeleter> key(
        PEM_read_PrivateKey(file.get(), nullptr, note_password, &encrypted));
    if (encrypted) fail(path, "the key is encrypted");
    if (!key) fail(path, "no private key in PEM");
    if (SSL_CTX_use_PrivateKey(context, key.get()) != 1 ||
        SSL_CTX_check_private_key(context) != 1)
        fail(path, "not the key of the certificate");
}

/// What OpenSSL has to say about the last failure, in a few words.
std::string tls_error() {
    const unsigned long code = ERR_get_error();
    ERR_clear_error();
    const char* reason = code ? ERR_reason_error_string(code) : nullptr;
    return reason ? reason : "unknown TLS error";
}

/// A client that offers other protocols alone gets none: then it is HTTP.
int choose_protocol(SSL*, const unsigned char** out, unsigned char* size,
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

}  // namespace

/// What a session reads from and writes to: itself.
struct SessionBio {
    static TlsSession& of(BIO* bio) {
        return *static_cast<TlsSession*>(BIO_get_data(bio));
    }

    static int read(BIO* bio, char* data, int size) {
        BIO_clear_retry_flags(bio);
        const ssize_t n = of(bio).receive(data, static_cast<size_t>(size));
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            BIO_set_retry_read(bio);
        return static_cast<int>(n);
    }

    static int write(BIO* bio, const char* bytes, int size) {
        of(bio).sealed.append(bytes, static_cast<size_t>(size));
        return size;
    }

    static long control(BIO* bio, int command, long, void*) {
        if (command == BIO_CTRL_EOF) return of(bio).ended_;
        return command == BIO_CTRL_FLUSH;
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
      context_(load()) {}

void TlsContext::reload() { context_ = load(); }

TlsContext::Context TlsContext::load() const {
    Context context(SSL_CTX_new(TLS_server_method()));
    if (!context) fail(certificate_, tls_error());
    SSL_CTX* raw = context.get();
    SSL_CTX_set_min_proto_version(raw, TLS1_2_VERSION);
    SSL_CTX_set_options(raw, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_session_cache_mode(raw, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(raw, SSL_MODE_RELEASE_BUFFERS |
                              SSL_MODE_ENABLE_PARTIAL_WRITE);
    SSL_CTX_set_alpn_select_cb(raw, choose_protocol, nullptr);
    // It only says that something was wrong with a file, not what.
    open_file(certificate_);
    bool encrypted = false;
    SSL_CTX_set_default_passwd_cb(raw, note_password);
    SSL_CTX_set_default_passwd_cb_userdata(raw, &encrypted);
    if (SSL_CTX_use_certificate_chain_file(raw, certificate_.c_str()) != 1)
        fail(certificate_, encrypted ? "it is encrypted" : tls_error());
    SSL_CTX_set_default_passwd_cb(raw, nullptr);
    SSL_CTX_set_default_passwd_cb_userdata(raw, nullptr);
    use_key(raw, key_);
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

IoResult TlsSession::read(char* data, size_t size) {
    if (more_) return *std::exchange(more_, std::nullopt);
    allowance_ = size;
    IoResult all = read_record(data, size);
    // What a peer has written in small pieces is served in one turn.
    while (all.state == IoResult::State::Done && size - all.size >= kRecord) {
        IoResult more = read_record(data + all.size, size - all.size);
        if (more.state == IoResult::State::Blocked) break;
        if (more.state != IoResult::State::Done) {
            more_ = std::move(more);
            break;
        }
        all.size += more.size;
    }
    return all;
}

/// OpenSSL goes on by itself over records that hold nothing for us, such as
/// those that want another handshake: a peer that sends them without end would
/// keep it there if the socket were not empty at some time.
ssize_t TlsSession::receive(char* data, size_t size) {
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
    if (result == 1) return {IoResult::State::Done, n};
    const int error = errno;
    switch (SSL_get_error(session_.get(), result)) {
        case SSL_ERROR_WANT_READ: return {IoResult::State::Blocked};
        case SSL_ERROR_ZERO_RETURN: return {IoResult::State::Eof};
        case SSL_ERROR_SYSCALL:
            return {IoResult::State::Failed, 0, std::strerror(error)};
        default: break;
    }
    // Whoever leaves without a close_notify has left all the same: messages
    // have lengths of their own, so nothing can be cut off unnoticed.
    if (ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
        return {IoResult::State::Eof};
    return {IoResult::State::Failed, 0, "TLS: " + tls_error()};
}

bool TlsSession::seal(std::string_view bytes) {
    while (!bytes.empty()) {
        ERR_clear_error();
        size_t n = 0;
        if (SSL_write_ex(session_.get(), bytes.data(), bytes.size(), &n) != 1)
            return false;
        bytes.remove_prefix(n);
    }
    return true;
}

void TlsSession::seal_end() {
    if (in_handshake() || SSL_get_shutdown(session_.get()) & SSL_SENT_SHUTDOWN)
        return;
    ERR_clear_error();
    SSL_shutdown(session_.get());
}

}  // namespace wschat
