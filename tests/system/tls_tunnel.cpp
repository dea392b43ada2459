#include "tls_tunnel.h"

#include <array>
#include <utility>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace wschat::test {

namespace {

using Context = std::unique_ptr<SSL_CTX, SslFree>;

std::pair<Fd, Fd> socket_pair() {
    int fds[2] = {-1, -1};
    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds);
    return {Fd(fds[0]), Fd(fds[1])};
}

/// Returns and removes the bytes in a memory BIO.
std::string drain(BIO* bio) {
    std::string bytes(BIO_ctrl_pending(bio), '\0');
    if (!bytes.empty())
        BIO_read(bio, bytes.data(), static_cast<int>(bytes.size()));
    return bytes;
}

std::unique_ptr<SSL, SslFree> make_ssl(SSL_CTX* context) {
    std::unique_ptr<SSL, SslFree> ssl(SSL_new(context));
    SSL_set_bio(ssl.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_connect_state(ssl.get());
    return ssl;
}

/// Sends all bytes, one for each call if `byte_by_byte`. Returns false on an
/// error.
bool send_all(int fd, std::string_view bytes, bool byte_by_byte) {
    while (!bytes.empty()) {
        const size_t size = byte_by_byte ? 1 : bytes.size();
        const ssize_t n = ::send(fd, bytes.data(), size, MSG_NOSIGNAL);
        if (n <= 0) return false;
        bytes.remove_prefix(static_cast<size_t>(n));
    }
    return true;
}

}  // namespace

std::unique_ptr<SSL_CTX, SslFree> make_context(const TlsOptions& tls_options) {
    Context context(SSL_CTX_new(TLS_client_method()));
    SSL_CTX_set_cipher_list(context.get(), tls_options.ciphers.c_str());
    if (!tls_options.tickets)
        SSL_CTX_set_options(context.get(), SSL_OP_NO_TICKET);
    if (tls_options.version) {
        SSL_CTX_set_min_proto_version(context.get(), tls_options.version);
        SSL_CTX_set_max_proto_version(context.get(), tls_options.version);
    }
    SSL_CTX_set_alpn_protos(
        context.get(),
        reinterpret_cast<const unsigned char*>(tls_options.alpn.data()),
        static_cast<unsigned>(tls_options.alpn.size()));
    return context;
}

Certificate::Certificate(const std::string& name, KeyType type) {
    EVP_PKEY* pair = type == KeyType::Ec ? EVP_EC_gen("P-256")
                                         : EVP_RSA_gen(2048);
    X509* x509 = X509_new();
    X509_set_version(x509, 2);
    X509_gmtime_adj(X509_getm_notBefore(x509), 0);
    X509_gmtime_adj(X509_getm_notAfter(x509), 86400);
    X509_NAME* subject = X509_get_subject_name(x509);
    X509_NAME_add_entry_by_txt(
        subject, "CN", MBSTRING_ASC,
        reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
    X509_set_issuer_name(x509, subject);
    X509_set_pubkey(x509, pair);
    X509_sign(x509, pair, EVP_sha256());
    BIO* bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(bio, x509);
    certificate = drain(bio);
    PEM_write_bio_PrivateKey(bio, pair, nullptr, nullptr, 0, nullptr, nullptr);
    key = drain(bio);
    const unsigned char password[] = "secret";
    PEM_write_bio_PrivateKey(bio, pair, EVP_aes_128_cbc(), password, 6, nullptr,
                             nullptr);
    encrypted_key = drain(bio);
    BIO_free(bio);
    X509_free(x509);
    EVP_PKEY_free(pair);
}

Options CertificateFiles::options(const Options& more) const {
    Options options = {"--tls-cert=" + certificate_path(),
                       "--tls-key=" + key_path()};
    options.insert(options.end(), more.begin(), more.end());
    return options;
}

TlsTunnel::TlsTunnel(const Daemon& daemon, const TlsOptions& tls_options,
                     SourceLine at)
    : options_(tls_options),
      context_(make_context(tls_options)),
      ssl_(make_ssl(context_.get())),
      peer_(Fd()) {
    if (tls_options.resume) SSL_set_session(ssl_.get(), tls_options.resume);
    Peer connected(daemon, at);
    network_ = Fd(dup(connected.fd()));
    do_handshake(at);
    auto ends = socket_pair();
    plain_end_ = std::move(ends.first);
    peer_ = Peer(std::move(ends.second));
    auto pipe = socket_pair();
    stop_writer_ = std::move(pipe.first);
    stop_reader_ = std::move(pipe.second);
    thread_ = std::thread([this] { run(); });
}

TlsTunnel::~TlsTunnel() { end(); }

void TlsTunnel::end() {
    shutdown(stop_writer_.get(), SHUT_RDWR);
    // The thread may be blocked in sending to a peer that does not read.
    shutdown(peer_.fd(), SHUT_RDWR);
    if (thread_.joinable()) thread_.join();
}

Session TlsTunnel::session() {
    end();
    return Session(SSL_get1_session(ssl_.get()));
}

void TlsTunnel::do_handshake(SourceLine at) {
    for (;;) {
        const int result = SSL_do_handshake(ssl_.get());
        const bool sent = flush();
        if (result == 1) return;
        if (SSL_get_error(ssl_.get(), result) != SSL_ERROR_WANT_READ || !sent ||
            !receive())
            fail(at, "the TLS handshake failed");
    }
}

/// Sends the pending records.
bool TlsTunnel::flush() {
    return send_all(network_.get(), drain(SSL_get_wbio(ssl_.get())),
                    options_.byte_by_byte);
}

/// Waits for bytes and gives them to the TLS session. Returns false at EOF.
bool TlsTunnel::receive() {
    std::array<char, 16384> buffer;
    pollfd entry{network_.get(), POLLIN, 0};
    if (poll(&entry, 1, TimeLimit().remaining()) != 1) return false;
    const ssize_t n = recv(network_.get(), buffer.data(), buffer.size(), 0);
    if (n <= 0) return false;
    BIO_write(SSL_get_rbio(ssl_.get()), buffer.data(), static_cast<int>(n));
    return true;
}

void TlsTunnel::run() {
    std::array<char, 16384> buffer;
    bool input = true;
    bool open = receive_decrypted();
    while (open || input) {
        pollfd entries[] = {{stop_reader_.get(), POLLIN, 0},
                            {open ? network_.get() : -1, POLLIN, 0},
                            {input ? plain_end_.get() : -1, POLLIN, 0}};
        poll(entries, 3, -1);
        if (entries[0].revents) break;
        if (entries[1].revents) open = receive() && receive_decrypted();
        if (entries[2].revents) {
            const ssize_t n =
                recv(plain_end_.get(), buffer.data(), buffer.size(), 0);
            input = n > 0 &&
                    send_encrypted({buffer.data(), static_cast<size_t>(n)});
        }
        if (!open) shutdown(plain_end_.get(), SHUT_WR);
    }
    plain_end_ = Fd();
    network_ = Fd();
}

bool TlsTunnel::send_encrypted(const std::string& bytes) {
    const size_t step = options_.small_records ? 1 : bytes.size();
    for (size_t i = 0; i < bytes.size(); i += step)
        if (SSL_write(ssl_.get(), bytes.data() + i, static_cast<int>(step)) <=
            0)
            return false;
    for (int i = 0; i < options_.key_updates_after_data; ++i) {
        SSL_key_update(ssl_.get(), SSL_KEY_UPDATE_NOT_REQUESTED);
        SSL_do_handshake(ssl_.get());
    }
    if (options_.close_notify_after_data) SSL_shutdown(ssl_.get());
    return flush();
}

/// Passes the decrypted bytes to the peer. Returns false at EOF.
bool TlsTunnel::receive_decrypted() {
    std::array<char, 16384> buffer;
    for (;;) {
        const int n = SSL_read(ssl_.get(), buffer.data(), buffer.size());
        if (n > 0) {
            const auto size = static_cast<size_t>(n);
            if (!send_all(plain_end_.get(), {buffer.data(), size}, false))
                return false;
            continue;
        }
        close_notify_ = SSL_get_shutdown(ssl_.get()) & SSL_RECEIVED_SHUTDOWN;
        return flush() &&
               SSL_get_error(ssl_.get(), n) == SSL_ERROR_WANT_READ;
    }
}

std::string TlsTunnel::alpn() const {
    const unsigned char* chosen = nullptr;
    unsigned size = 0;
    SSL_get0_alpn_selected(ssl_.get(), &chosen, &size);
    return {reinterpret_cast<const char*>(chosen), size};
}

std::string TlsTunnel::certificate_name() const {
    std::array<char, 64> name{};
    X509_NAME_get_text_by_NID(
        X509_get_subject_name(SSL_get0_peer_certificate(ssl_.get())),
        NID_commonName, name.data(), name.size());
    return name.data();
}

std::string client_hello() {
    const Context context = make_context({});
    const auto ssl = make_ssl(context.get());
    SSL_do_handshake(ssl.get());
    return drain(SSL_get_wbio(ssl.get()));
}

bool accepts_tls(const Daemon& daemon, const TlsOptions& tls_options) {
    const Context context = make_context(tls_options);
    const auto ssl = make_ssl(context.get());
    Peer peer(daemon);
    SSL_set_fd(ssl.get(), peer.fd());
    const bool done = SSL_do_handshake(ssl.get()) == 1;
    ERR_clear_error();
    return done;
}

bool accepts_renegotiation(const Daemon& daemon) {
    TlsOptions tls_options;
    tls_options.version = TLS1_2_VERSION;
    const Context context = make_context(tls_options);
    const auto ssl = make_ssl(context.get());
    Peer peer(daemon);
    SSL_set_fd(ssl.get(), peer.fd());
    const bool done = SSL_do_handshake(ssl.get()) == 1 &&
                      SSL_renegotiate(ssl.get()) == 1 &&
                      SSL_do_handshake(ssl.get()) == 1;
    ERR_clear_error();
    return done;
}

}  // namespace wschat::test
