#include "tls.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <stdexcept>

#include <openssl/err.h>
#include <openssl/pem.h>

namespace wschat {

namespace {

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
    throw std::runtime_error("cannot use " + file + ": " + why);
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

TlsContext::TlsContext(const std::string& certificate, const std::string& key)
    : certificate_(certificate), key_(key), context_(load()) {}

void TlsContext::reload() { context_ = load(); }

TlsContext::Context TlsContext::load() const {
    Context context(SSL_CTX_new(TLS_server_method()));
    if (!context) fail(certificate_, tls_error());
    SSL_CTX* raw = context.get();
    SSL_CTX_set_min_proto_version(raw, TLS1_2_VERSION);
    SSL_CTX_set_options(raw, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_session_cache_mode(raw, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(raw, SSL_MODE_RELEASE_BUFFERS |
                              SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
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

TlsSession TlsContext::accept(int fd) const {
    TlsSession session(SSL_new(context_.get()));
    if (!session || SSL_set_fd(session.get(), fd) != 1) return nullptr;
    SSL_set_accept_state(session.get());
    return session;
}

std::string tls_error() {
    const unsigned long code = ERR_peek_error();
    ERR_clear_error();
    const char* reason = code ? ERR_reason_error_string(code) : nullptr;
    return reason ? reason : "unknown TLS error";
}

}  // namespace wschat
