// TLS: wss and https on all TCP ports, with --tls-cert and --tls-key.
#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <doctest/doctest.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "daemon.h"
#include "peer.h"
#include "proc.h"
#include "net/stream.h"
#include "tls_tunnel.h"

using namespace wschat::test;
using namespace std::chrono_literals;

namespace {

using State = wschat::IoResult::State;
using Tunnels = std::vector<std::unique_ptr<TlsTunnel>>;

/// Joins over TLS.
std::unique_ptr<TlsTunnel> join_tls(const Daemon& daemon,
                                    const TlsOptions& tls_options = {},
                                    SourceLine at = {}) {
    auto tunnel = std::make_unique<TlsTunnel>(daemon, tls_options, at);
    tunnel->peer().do_handshake(at);
    return tunnel;
}

TlsOptions tls_version(int version) {
    TlsOptions tls_options;
    tls_options.version = version;
    return tls_options;
}

/// A TLS client on one end of a socket pair, with a Stream on the other. Its
/// handshake is complete.
class RawClient {
public:
    explicit RawClient(const wschat::TlsContext& context,
                       const TlsOptions& tls_options = {})
        : RawClient(context, tls_options, socket_pair()) {}

    // OpenSSL never resumes a session whose connection was not shut down.
    ~RawClient() { SSL_shutdown(ssl_.get()); }

    bool resumed() const { return SSL_session_reused(ssl_.get()); }

    /// Returns the session, for another client to resume.
    Session session() {
        // The tickets of TLS 1.3 arrive behind the handshake.
        char byte;
        SSL_read(ssl_.get(), &byte, 1);
        return Session(SSL_get1_session(ssl_.get()));
    }

    /// Sends n KeyUpdate records, which carry no application data, in one call.
    /// Returns their size in bytes.
    size_t send_key_updates(int n) {
        return send_records([this, n] {
            for (int i = 0; i < n; ++i) {
                SSL_key_update(ssl_.get(), SSL_KEY_UPDATE_NOT_REQUESTED);
                SSL_do_handshake(ssl_.get());
            }
        });
    }

    void send_data(std::string_view data) {
        send_records([this, data] {
            SSL_write(ssl_.get(), data.data(), static_cast<int>(data.size()));
        });
    }

    /// Pads each record to this size.
    void pad_records(size_t size) { SSL_set_block_padding(ssl_.get(), size); }

    /// Lets the stream read once.
    wschat::IoResult read(size_t size = 64 << 10) {
        std::vector<char> buffer(size);
        return stream_.read(buffer.data(), buffer.size());
    }

    /// Returns how many bytes the stream has not read.
    size_t unread() const {
        int n = 0;
        ioctl(stream_.fd(), FIONREAD, &n);
        return static_cast<size_t>(n);
    }

private:
    using Ends = std::pair<wschat::Fd, wschat::Fd>;

    static Ends socket_pair() {
        int fds[2] = {-1, -1};
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds);
        return {wschat::Fd(fds[0]), wschat::Fd(fds[1])};
    }

    RawClient(const wschat::TlsContext& context, const TlsOptions& tls_options,
              Ends ends)
        : context_(make_context(tls_options)),
          ssl_(SSL_new(context_.get())),
          own_(std::move(ends.first)),
          stream_(std::move(ends.second), &context) {
        SSL_set_fd(ssl_.get(), own_.get());
        SSL_set_connect_state(ssl_.get());
        if (tls_options.resume) SSL_set_session(ssl_.get(), tls_options.resume);
        do SSL_do_handshake(ssl_.get());
        while (read().state == wschat::IoResult::State::Blocked &&
               !(stream_.is_ready() && SSL_is_init_finished(ssl_.get())));
    }

    /// Calls `write` and sends the records that it makes, in one call. Returns
    /// their size in bytes.
    template <typename Write>
    size_t send_records(Write write) {
        BIO* memory = BIO_new(BIO_s_mem());
        SSL_set0_wbio(ssl_.get(), memory);
        write();
        char* bytes = nullptr;
        const long size = BIO_get_mem_data(memory, &bytes);
        const ssize_t sent = send(own_.get(), bytes,
                                  static_cast<size_t>(size), MSG_NOSIGNAL);
        return sent < 0 ? 0 : static_cast<size_t>(sent);
    }

    std::unique_ptr<SSL_CTX, SslFree> context_;
    std::unique_ptr<SSL, SslFree> ssl_;
    wschat::Fd own_;
    wschat::Stream stream_;
};

void check_cannot_start(const Options& options, int status,
                        const std::string& part) {
    Options all = options;
    all.insert(all.end(), {"127.0.0.1", "0"});
    const Outcome outcome = run(command(all));
    CAPTURE(outcome.err);
    CHECK(outcome.status == status);
    CHECK(outcome.err.find(part) != std::string::npos);
    CHECK(count(outcome.err, "\n") == (status == 1 ? 1 : 2));
    CHECK(count(outcome.err, "listening") == 0);
}

}  // namespace

TEST_CASE("clients exchange messages over TLS 1.2 and 1.3") {
    CertificateFiles files;
    Daemon daemon(files.options());
    const auto ann = join_tls(daemon, tls_version(TLS1_2_VERSION));
    const auto bob = join_tls(daemon, tls_version(TLS1_3_VERSION));
    CHECK(ann->version() == "TLSv1.2");
    CHECK(bob->version() == "TLSv1.3");
    ann->peer().send_message("[1]");
    bob->peer().expect_message("[1]");
    ann->peer().expect_message("[1]");
    bob->peer().send_message("[2]");
    ann->peer().expect_message("[2]");
}

TEST_CASE("TLS before 1.2 is refused") {
    CertificateFiles files;
    Daemon daemon(files.options());
    CHECK(accepts_tls(daemon, tls_version(TLS1_2_VERSION)));
    CHECK_FALSE(accepts_tls(daemon, tls_version(TLS1_1_VERSION)));
    CHECK_FALSE(accepts_tls(daemon, tls_version(TLS1_VERSION)));
}

TEST_CASE("TLS 1.2 without ECDHE and AEAD is refused") {
    for (KeyType type : {KeyType::Ec, KeyType::Rsa}) {
        CertificateFiles files;
        files.replace(Certificate("first", type));
        Daemon daemon(files.options());
        const std::string ecdhe = type == KeyType::Ec ? "ECDHE-ECDSA-"
                                                      : "ECDHE-RSA-";
        TlsOptions tls_options = tls_version(TLS1_2_VERSION);
        for (std::string name : {"AES128-GCM-SHA256", "AES256-GCM-SHA384",
                                 "CHACHA20-POLY1305"}) {
            CAPTURE(name);
            tls_options.ciphers = ecdhe + name;
            CHECK(accepts_tls(daemon, tls_options));
        }
        for (std::string name : {ecdhe + "AES128-SHA", ecdhe + "AES256-SHA384",
                                 std::string("AES128-SHA"),
                                 std::string("AES128-GCM-SHA256")}) {
            CAPTURE(name);
            tls_options.ciphers = name;
            CHECK_FALSE(accepts_tls(daemon, tls_options));
        }
    }
}

TEST_CASE("renegotiation is refused and disturbs no client") {
    CertificateFiles files;
    Daemon daemon(files.options());
    const auto ann = join_tls(daemon, tls_version(TLS1_2_VERSION));
    for (int i = 0; i < 5; ++i) {
        CHECK_FALSE(accepts_renegotiation(daemon));
        ann->peer().send_message("[1]");
        ann->peer().expect_message("[1]");
    }
}

TEST_CASE("ALPN selects http/1.1") {
    CertificateFiles files;
    Daemon daemon(files.options());
    TlsOptions tls_options;
    tls_options.alpn = "\x02h2\x08http/1.1";
    CHECK(TlsTunnel(daemon, tls_options).alpn() == "http/1.1");
    tls_options.alpn = "\x02h2";
    CHECK(TlsTunnel(daemon, tls_options).alpn() == "");
    CHECK(TlsTunnel(daemon).alpn() == "");
}

TEST_CASE("a session is resumed by its ticket") {
    CertificateFiles files;
    Daemon daemon(files.options());
    for (int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
        TlsOptions tls_options = tls_version(version);
        auto first = join_tls(daemon, tls_options);
        first->peer().sync();
        CHECK_FALSE(first->resumed());
        const Session session = first->session();
        tls_options.resume = session.get();
        const auto second = join_tls(daemon, tls_options);
        CHECK(second->resumed());
        second->peer().send_message("[1]");
        second->peer().expect_message("[1]");
    }
}

TEST_CASE("no session is stored for a client without tickets") {
    CertificateFiles files;
    Daemon daemon(files.options());
    TlsOptions tls_options = tls_version(TLS1_2_VERSION);
    tls_options.tickets = false;
    auto first = join_tls(daemon, tls_options);
    // Without a close_notify, OpenSSL would not store it anyway.
    first->peer().send(close_frame(1000));
    first->peer().expect_closed(1000);
    const Session session = first->session();
    tls_options.resume = session.get();
    CHECK_FALSE(join_tls(daemon, tls_options)->resumed());
}

TEST_CASE("the key of tickets changes daily, and the former one is accepted") {
    for (int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
        CertificateFiles files;
        wschat::TlsContext context(files.certificate_path(), files.key_path());
        const wschat::Time start{};
        context.begin_turn(start + 1h);
        TlsOptions tls_options = tls_version(version);
        const Session session = RawClient(context, tls_options).session();
        tls_options.resume = session.get();
        const auto resumes_at = [&](wschat::Time now) {
            context.begin_turn(now);
            return RawClient(context, tls_options).resumed();
        };
        CHECK(context.next_event() == start + 25h);
        CHECK(resumes_at(start + 24h));
        CHECK(context.next_event() == start + 25h);
        CHECK(resumes_at(start + 25h));
        CHECK(context.next_event() == start + 49h);
        CHECK(resumes_at(start + 48h));
        // A new ticket came with the resumption, and is of the new key.
        RawClient resumed(context, tls_options);
        const Session renewed = resumed.session();
        CHECK_FALSE(resumes_at(start + 49h));
        tls_options.resume = renewed.get();
        CHECK(resumes_at(start + 49h));
    }
}

TEST_CASE("SIGHUP forgets the keys of tickets") {
    CertificateFiles files;
    wschat::TlsContext context(files.certificate_path(), files.key_path());
    TlsOptions tls_options = tls_version(TLS1_3_VERSION);
    const Session session = RawClient(context, tls_options).session();
    tls_options.resume = session.get();
    CHECK(RawClient(context, tls_options).resumed());
    context.reload();
    CHECK_FALSE(RawClient(context, tls_options).resumed());
}

TEST_CASE(
    "the page is served over https, and the URLs begin with https and wss") {
    CertificateFiles files;
    Daemon daemon(files.options(), "localhost");
    daemon.wait_for_log("open https://localhost:");
    TlsTunnel page(daemon);
    page.peer().send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    CHECK(page.peer().read_response().status == 200);
    page.peer().expect_eof();
    CHECK(page.received_close_notify());
    TlsTunnel tunnel(daemon);
    tunnel.peer().send(handshake());
    CHECK(tunnel.peer().read_response().header("WebSocket-Location") ==
          "wss://localhost:" + std::to_string(daemon.port()) +
              "/websocket.php");
}

TEST_CASE("plain HTTP on a TLS port is refused, local raw JSON is accepted") {
    CertificateFiles files;
    Daemon daemon(files.options());
    const auto ann = join_tls(daemon);
    for (std::string start : {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "G", "\x80",
                              "\r\n"}) {
        Peer peer(daemon);
        peer.send(start);
        peer.expect_refused(400);
    }
    Peer plain(daemon);
    plain.send(handshake());
    CHECK(plain.read_response().body.find("https") != std::string::npos);
    Peer publisher(daemon);
    publisher.send("{\"a\":1}");
    ann->peer().expect_message("{\"a\":1}");
    publisher.half_close();
    publisher.expect_eof();
}

TEST_CASE("with --no-raw raw JSON on a TLS port is refused") {
    CertificateFiles files;
    Daemon daemon(files.options({"--no-raw"}));
    Peer peer(daemon);
    peer.send("{\"a\":1}");
    peer.expect_refused(400);
}

TEST_CASE("unix sockets do not use TLS") {
    CertificateFiles files;
    ScratchDirectory scratch;
    const std::string path = scratch / "chat";
    Daemon daemon(
        files.options({"--bind=unix:" + path, "--bind=127.0.0.1"}));
    Peer ann = join(SocketAddress::unix_socket(path));
    const auto bob = join_tls(daemon);
    ann.send_message("[1]");
    bob->peer().expect_message("[1]");
}

TEST_CASE("an incomplete TLS handshake is ended in time and delays no client") {
    CertificateFiles files;
    Daemon daemon(files.options({timed("--handshake-timeout", 0.5), "-v"}));
    const std::string hello = client_hello();
    std::vector<Peer> halves;
    for (size_t size : {size_t{0}, size_t{1}, size_t{5}, hello.size() / 2}) {
        halves.emplace_back(daemon);
        halves.back().send(hello.substr(0, size));
    }
    const auto ann = join_tls(daemon);
    ann->peer().send_message("[1]");
    ann->peer().expect_message("[1]");
    for (Peer& half : halves) half.expect_gone();
    daemon.wait_for_log("127.0.0.1 refused: TLS handshake not complete in time",
                        4);
    ann->peer().sync();
}

TEST_CASE(
    "a peer that waits during or after its TLS handshake is ended in time") {
    CertificateFiles files;
    Daemon daemon(files.options({timed("--handshake-timeout", 0.5)}));
    Peer incomplete(daemon);
    incomplete.send(client_hello());
    incomplete.expect_gone();
    TlsTunnel silent(daemon);
    silent.peer().expect_refused(408);
}

TEST_CASE("bytes that begin like TLS but are malformed end the connection") {
    CertificateFiles files;
    Daemon daemon(files.options({"-v"}));
    Peer garbage(daemon);
    garbage.send("\x16" + std::string(1000, 'x'));
    garbage.expect_gone();
    daemon.wait_for_log("127.0.0.1 left: TLS: ");
    join_tls(daemon)->peer().sync();
}

TEST_CASE("TLS may arrive byte by byte, and in records of one byte") {
    CertificateFiles files;
    Daemon daemon(files.options());
    TlsOptions bytes;
    bytes.byte_by_byte = true;
    TlsOptions records;
    records.small_records = true;
    for (const TlsOptions& tls_options : {bytes, records}) {
        const auto ann = join_tls(daemon, tls_options);
        ann->peer().send_message(json_string(2000));
        ann->peer().expect_message(json_string(2000));
        ann->peer().send(close_frame(1000));
        ann->peer().expect_closed(1000);
    }
}

TEST_CASE("messages of 1,000,000 bytes are relayed over TLS") {
    CertificateFiles files;
    Daemon daemon(files.options());
    const auto ann = join_tls(daemon);
    const auto bob = join_tls(daemon);
    for (int i = 0; i < 3; ++i) {
        ann->peer().send_message(json_string(1000000));
        ann->peer().expect_message(json_string(1000000));
        bob->peer().expect_message(json_string(1000000));
    }
}

TEST_CASE("a client that stops reading under TLS is dropped, others are not") {
    CertificateFiles files;
    Daemon daemon(files.options({"--max-backlog=1M"}));
    const auto stalled = join_tls(daemon);
    const auto ann = join_tls(daemon);
    const std::string message = json_string(200000);
    const TimeLimit deadline;
    while (count(daemon.log(), " dropped: ") == 0 && !deadline.is_over()) {
        ann->peer().send_message(message);
        ann->peer().expect_message(message);
    }
    CHECK_FALSE(deadline.is_over());
    ann->peer().sync();
}

TEST_CASE("a slow reader under TLS gets all messages in order") {
    CertificateFiles files;
    Daemon daemon(files.options({"--max-backlog=64M"}));
    const auto slow = join_tls(daemon);
    const auto ann = join_tls(daemon);
    for (int i = 0; i < 100; ++i) {
        const std::string message =
            json_string(100000 + static_cast<size_t>(i));
        ann->peer().send_message(message);
        ann->peer().expect_message(message);
    }
    slow->peer().send(ping_frame("p"));
    bool pong = false;
    for (int i = 0; i < 100;) {
        const Frame frame = slow->peer().next_frame();
        pong = pong || frame.opcode == kPong;
        if (frame.opcode != kText) continue;
        CHECK(frame.payload.size() == 100000 + static_cast<size_t>(i));
        ++i;
    }
    if (!pong) slow->peer().expect_pong("p");
}

TEST_CASE("a close under TLS ends with a close_notify") {
    CertificateFiles files;
    Daemon daemon(files.options());
    const auto ann = join_tls(daemon);
    ann->peer().send(close_frame(4000, "bye"));
    ann->peer().expect_closed(4000);
    CHECK(ann->received_close_notify());
    const auto bob = join_tls(daemon);
    daemon.signal(SIGTERM);
    bob->peer().expect_closed(1001);
    CHECK(bob->received_close_notify());
}

TEST_CASE("a close_notify directly behind a message ends the connection") {
    CertificateFiles files;
    Daemon daemon(files.options());
    const auto ann = join_tls(daemon);
    TlsOptions tls_options;
    tls_options.close_notify_after_data = true;
    TlsTunnel publisher(daemon, tls_options);
    publisher.peer().send("{\"a\":1}");
    ann->peer().expect_message("{\"a\":1}");
    publisher.peer().expect_eof();
}

TEST_CASE("one read of a TLS stream reads at most the size of its buffer") {
    CertificateFiles files;
    const wschat::TlsContext context(files.certificate_path(),
                                     files.key_path());
    RawClient client(context);
    client.pad_records(16 << 10);
    const size_t size = 32 << 10;
    const size_t sent = client.send_key_updates(6);
    REQUIRE(sent > size);
    client.read(size);
    CHECK(client.unread() >= sent - size);
}

TEST_CASE("a session with many records in a row without data fails") {
    CertificateFiles files;
    const wschat::TlsContext context(files.certificate_path(),
                                     files.key_path());
    RawClient client(context);
    // Data in between begins the count anew.
    for (int i = 0; i < 3; ++i) {
        client.send_key_updates(31);
        client.send_data("x");
        CHECK(client.read().state == State::Done);
    }
    client.send_key_updates(32);
    CHECK(client.read().state == State::Blocked);
    client.send_key_updates(1);
    const wschat::IoResult result = client.read();
    CHECK(result.state == State::Failed);
    CHECK(result.error == "TLS: too many records without data");
}

TEST_CASE("a client that sends nothing but KeyUpdates is dropped") {
    CertificateFiles files;
    Daemon daemon(files.options());
    const auto ann = join_tls(daemon);
    TlsOptions tls_options = tls_version(TLS1_3_VERSION);
    tls_options.key_updates_after_data = 40;
    TlsTunnel flood(daemon, tls_options);
    flood.peer().send(handshake());
    flood.peer().expect_gone();
    daemon.wait_for_log(
        "127.0.0.1 left: TLS: too many records without data (1 client)");
    ann->peer().sync();
}

TEST_CASE("a peer that disconnects without a close_notify has left") {
    CertificateFiles files;
    Daemon daemon(files.options());
    join_tls(daemon);
    daemon.wait_for_log("127.0.0.1 left: connection ended");
}

TEST_CASE("SIGHUP reloads the certificate, and clients stay connected") {
    CertificateFiles files("first");
    Daemon daemon(files.options());
    const auto ann = join_tls(daemon);
    CHECK(ann->certificate_name() == "first");
    Tunnels tunnels;
    for (int i = 0; i < 5; ++i) {
        const std::string name = "number " + std::to_string(i);
        files.replace(Certificate(name));
        ann->peer().send_message("[1]");
        daemon.signal(SIGHUP);
        daemon.wait_for_log("SIGHUP: reloaded the certificate",
                            static_cast<size_t>(i) + 1);
        tunnels.push_back(join_tls(daemon));
        CHECK(tunnels.back()->certificate_name() == name);
        ann->peer().expect_message("[1]");
    }
    ann->peer().send_message("[2]");
    ann->peer().expect_message("[2]");
    for (const auto& tunnel : tunnels) tunnel->peer().sync();
    CHECK(count(daemon.log(), " left") == 0);
}

TEST_CASE("a certificate that can't be loaded leaves the former one in use") {
    CertificateFiles files("first");
    Daemon daemon(files.options());
    const auto ann = join_tls(daemon);
    const Certificate second("second");
    write_file(files.key_path(), second.key);
    daemon.signal(SIGHUP);
    daemon.wait_for_log("; keeping the former certificate");
    CHECK(join_tls(daemon)->certificate_name() == "first");
    write_file(files.certificate_path(), "nonsense");
    daemon.signal(SIGHUP);
    daemon.wait_for_log("; keeping the former certificate", 2);
    CHECK(join_tls(daemon)->certificate_name() == "first");
    ann->peer().sync();
    files.replace(second);
    daemon.signal(SIGHUP);
    daemon.wait_for_log("SIGHUP: reloaded the certificate");
    CHECK(join_tls(daemon)->certificate_name() == "second");
}

TEST_CASE("without TLS there is nothing to reload") {
    Daemon daemon;
    daemon.signal(SIGHUP);
    daemon.wait_for_log("SIGHUP: nothing to reload");
}

TEST_CASE("the error names a file that can't be used, in one line") {
    CertificateFiles files;
    const Certificate other("other");
    ScratchDirectory scratch;
    const std::string cert = "--tls-cert=" + files.certificate_path();
    const std::string key = "--tls-key=" + files.key_path();
    write_file(scratch / "other", other.key);
    write_file(scratch / "encrypted", other.encrypted_key);
    write_file(scratch / "nonsense", "nonsense\n");
    write_file(scratch / "empty", "");
    const auto at = [&scratch](const std::string& name) {
        return scratch / name;
    };
    check_cannot_start({cert, "--tls-key=" + at("none")}, 1,
                       at("none") + ": No such file");
    check_cannot_start({"--tls-cert=" + at("none"), key}, 1,
                       at("none") + ": No such file");
    check_cannot_start({cert, "--tls-key=" + at("other")}, 1,
                       at("other") + ": not the key of the certificate");
    check_cannot_start({cert, "--tls-key=" + at("encrypted")}, 1,
                       at("encrypted") + ": the key is encrypted");
    check_cannot_start({cert, "--tls-key=" + at("nonsense")}, 1,
                       at("nonsense"));
    check_cannot_start({cert, "--tls-key=" + at("empty")}, 1, at("empty"));
    check_cannot_start({"--tls-cert=" + at("nonsense"), key}, 1,
                       at("nonsense"));
    check_cannot_start({"--tls-cert=" + at("empty"), key}, 1,
                       at("empty") + ": no certificate in PEM");
    check_cannot_start({"--tls-cert=" + files.key_path(), key}, 1,
                       "that is a key: expected the certificate chain");
    check_cannot_start({cert, "--tls-key=" + files.certificate_path()}, 1,
                       "that is a certificate: expected its key");
    check_cannot_start({cert}, 2, "--tls-cert and --tls-key go together");
    check_cannot_start({key}, 2, "--tls-cert and --tls-key go together");
}

TEST_CASE("an idle TLS connection needs less than 20 KB") {
    CertificateFiles files;
    Daemon daemon(files.options());
    if (is_instrumented(daemon.pid())) return;
    const auto ann = join_tls(daemon);
    ann->peer().sync();
    const long before = resident_kib(daemon.pid());
    const int number = std::min(300, spare_descriptors() / 6);
    Tunnels tunnels;
    for (int i = 0; i < number; ++i) tunnels.push_back(join_tls(daemon));
    ann->peer().send_message("[1]");
    for (const auto& tunnel : tunnels) tunnel->peer().expect_message("[1]");
    const long each = (resident_kib(daemon.pid()) - before) * 1024 / number;
    CHECK(each < 20000);
}
