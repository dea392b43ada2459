// The log on standard error. A blocked or closed log must affect no client.
#include <regex>
#include <sstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include "daemon.h"
#include "peer.h"

using namespace wschat::test;

namespace {

// Waits for the line with this number, and checks it.
void check_line(Daemon& daemon, size_t number, const std::string& form) {
    daemon.wait_for_log("\n", number);
    std::istringstream lines(daemon.log());
    std::string line;
    for (size_t i = 0; i < number; ++i) std::getline(lines, line);
    CHECK_MESSAGE(std::regex_match(line, std::regex(form)), line);
}

constexpr char kEscapes[] = "\x1b[31m\nwschat: forged\r\x07\x7f";

struct Pipe {
    wschat::Fd read, write;
};

Pipe small_pipe() {
    int ends[2];
    REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
    fcntl(ends[1], F_SETPIPE_SZ, 4096);
    return {wschat::Fd(ends[0]), wschat::Fd(ends[1])};
}

void fill(int fd) {
    // A new open file description: O_NONBLOCK must not apply to the daemon's.
    const std::string path = "/proc/self/fd/" + std::to_string(fd);
    const wschat::Fd copy(open(path.c_str(), O_WRONLY | O_NONBLOCK));
    REQUIRE(copy.get() >= 0);
    while (write(copy.get(), "x", 1) == 1) continue;
}

// Waits until the daemon listens. The file of a unix socket exists a moment
// before connect() succeeds.
void wait_until_connectable(const std::string& path) {
    const TimeLimit deadline;
    while (!can_connect(SocketAddress::unix_socket(path))) {
        REQUIRE(!deadline.is_over());
        sched_yield();
    }
}

void check_clients_are_served(const std::string& path) {
    for (int i = 0; i < 200; ++i) {
        Peer ann = join(SocketAddress::unix_socket(path));
        ann.send_message("[1]");
        ann.expect_message("[1]");
    }
}

}  // namespace

TEST_CASE("each join, leave, refusal and drop is one line") {
    Daemon daemon({"--max-message=64K", "--max-backlog=256K"});
    Peer ann = join(daemon);
    check_line(daemon, 2, "wschat: 127.0.0.1 #\\d+ joined \\(1 client\\)");
    Peer bob = join(daemon);
    check_line(daemon, 3, "wschat: 127.0.0.1 #\\d+ joined \\(2 clients\\)");
    bob.send(close_frame(1000));
    bob.expect_closed(1000);
    check_line(daemon, 4, "wschat: 127.0.0.1 #\\d+ left: .+ \\(1 client\\)");
    Peer refused(daemon);
    refused.send("GET / HTTP/1.0\r\n\r\n");
    refused.expect_refused(400);
    check_line(daemon, 5, "wschat: 127.0.0.1 #\\d+ refused: 400 .+");
    Peer stalled = join(SocketAddress::v4(daemon.port()), 4096);
    check_line(daemon, 6, "wschat: 127.0.0.1 #\\d+ joined \\(2 clients\\)");
    for (int i = 0; i < 60; ++i) {
        ann.send_message(json_string(20000));
        ann.expect_message(json_string(20000));
    }
    check_line(daemon, 7, "wschat: 127.0.0.1 #\\d+ dropped: .+ \\(1 client\\)");
}

TEST_CASE("the log names the reason of a leave") {
    Daemon daemon;
    Peer closing = join(daemon);
    closing.send(close_frame(4321));
    closing.expect_closed(4321);
    daemon.wait_for_log("4321");
    Peer failing = join(daemon);
    failing.send(bytes({0x83}));
    failing.expect_closed(1002);
    daemon.wait_for_log("127.0.0.1 closed: protocol error 1002: ");
    Peer resetting = join(daemon);
    resetting.reset();
    daemon.wait_for_log("127.0.0.1 left: ", 2);
}

TEST_CASE("more lines of a kind in a second than 20 are counted") {
    // Nothing else wakes it up at the end of the second.
    Daemon daemon({timed("--close-timeout", 600), "--ping-interval=0"});
    // Stopped meanwhile, it finds all of them at once.
    daemon.signal(SIGSTOP);
    std::vector<Peer> peers;
    for (int i = 0; i < 50; ++i) {
        peers.emplace_back(daemon);
        peers.back().send(handshake());
    }
    daemon.signal(SIGCONT);
    for (Peer& peer : peers) CHECK(peer.read_response().status == 101);
    daemon.wait_for_log(" more \"joined\" in 1 s\n");
    CHECK(count(daemon.log(), " joined (") >= 20);
    CHECK(count(daemon.log(), " joined (") < 50);
}

TEST_CASE("a page that is refused again and again is logged once") {
    Daemon daemon;
    for (const char* path : {"/", "/", "/nothing", "/", "/nothing"}) {
        Peer page(daemon);
        page.send("GET " + std::string(path) +
                  " HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n");
        page.expect_refused(400);
    }
    Peer last(daemon);
    last.send("nonsense\r\n\r\n");
    last.expect_refused(400);
    daemon.wait_for_log("malformed");
    CHECK(count(daemon.log(), " refused: 400 ") == 3);
    CHECK(count(daemon.log(), "(GET /)\n") == 1);
    CHECK(count(daemon.log(), "(GET /nothing)\n") == 1);
}

TEST_CASE("-v logs requests and what is not relayed") {
    Daemon daemon({"-v"});
    Peer page(daemon);
    page.send("GET /?secret HTTP/1.1\r\nHost: localhost\r\n\r\n");
    CHECK(page.read_response().status == 200);
    daemon.wait_for_log("wschat: 127.0.0.1 GET / 200\n");
    Peer ann = join(daemon);
    ann.send_message("{\"type\":\"system\"}");
    daemon.wait_for_log("127.0.0.1 not relayed: ");
    ann.send_message("0");
    daemon.wait_for_log("127.0.0.1 not relayed: it is falsy in PHP\n");
    CHECK(count(daemon.log(), "#2 not relayed") == 2);
}

TEST_CASE("--log-time puts the time in front of each line") {
    ScratchDirectory scratch;
    Process process(command({"--log-time", "--bind=unix:" + (scratch / "chat"),
                             "localhost", "0"}));
    process.wait_for_stderr("\n");
    CHECK(std::regex_search(
        process.err(),
        std::regex("^20[0-9T:.-]{21}Z wschat: listening on ")));
    process.signal(SIGTERM);
    CHECK(process.wait_for_exit() == 0);
}

TEST_CASE("-q logs nothing but errors") {
    for (const char* option : {"-q", "--quiet"}) {
        ScratchDirectory scratch;
        const std::string path = scratch / "chat";
        Process process(
            command({option, "--bind=unix:" + path, "localhost", "0"}));
        wait_until_connectable(path);
        {
            Peer ann = join(SocketAddress::unix_socket(path));
            ann.expect_message(
                R"({"type":"system","message":"unix connected"})");
            Peer refused(SocketAddress::unix_socket(path));
            refused.send("nonsense\r\n\r\n");
            refused.expect_refused(400);
        }
        process.signal(SIGTERM);
        CHECK(process.wait_for_exit() == 0);
        CHECK(process.err() == "");
        CHECK(process.out() == "");
    }
}

TEST_CASE("-q still logs errors") {
    Daemon daemon;
    const Outcome outcome =
        run(command({"-q", "127.0.0.1", std::to_string(daemon.port())}));
    CHECK(outcome.status == 1);
    CHECK(count(outcome.err, "\n") == 1);
}

TEST_CASE("-v logs more of each handshake, but no query") {
    for (const char* option : {"-v", "--verbose"}) {
        Daemon usual;
        Daemon verbose({option});
        const std::string request =
            handshake("/chat?token=secret", "X-Secret: secret\r\n");
        Peer ann(usual);
        Peer bob(verbose);
        for (Peer* peer : {&ann, &bob}) {
            peer->send(request);
            CHECK(peer->read_response().status == 101);
        }
        usual.wait_for_log("joined");
        verbose.wait_for_log("joined");
        CHECK(count(verbose.log(), "\n") > count(usual.log(), "\n"));
        CHECK(count(verbose.log(), "secret") == 0);
    }
}

TEST_CASE("-v logs the send method") {
    Daemon usual({"-v"});
    usual.wait_for_log("send method: ");
    Daemon plain({"-v", "--no-uring"});
    plain.wait_for_log("send method: send()\n");
}

// ~Daemon() checks each line of the log: none is forged, and none has a control
// byte.
TEST_CASE("control bytes from peers are escaped") {
    Daemon daemon({"-v"});
    const std::string escapes = kEscapes;
    const std::string no_lines = "\x1b[31m\x07\x7f";
    for (const std::string& request :
         {"GET /" + no_lines + " HTTP/1.1\r\nHost: a\r\n\r\n",
          no_lines + " / HTTP/1.1\r\nHost: a\r\n\r\n",
          "GET / " + no_lines + "\r\nHost: a\r\n\r\n",
          handshake("/" + no_lines),
          handshake("/", "User-Agent: " + no_lines + "\r\n"),
          handshake("/", "Origin: " + no_lines + "\r\n"),
          handshake("/", no_lines + ": x\r\n"), escapes + "\r\n\r\n"}) {
        Peer peer(daemon);
        peer.send(request);
        peer.half_close();
        peer.expect_gone();
    }
    Peer ann = join(daemon);
    ann.send_message(escapes);
    ann.expect_notice("");
    ann.send(close_frame(1000, escapes));
    ann.expect_close_frame(1000);
    ann.expect_eof();
    Peer publisher(daemon);
    publisher.send("{\"type\":\"" + escapes + "\"}\x1b[31m");
    publisher.expect_gone();
    daemon.wait_for_log("left");
}

TEST_CASE("in the journal lines begin with a priority") {
    Launch launch = command({"127.0.0.1", "0"});
    launch.under_journal = true;
    Daemon daemon(launch);
    Peer ann = join(daemon);
    daemon.wait_for_log("joined");
    check_line(daemon, 1, "<6>listening on .+");
    check_line(daemon, 2, "<6>announcing .+");
    check_line(daemon, 3, "<6>127.0.0.1 #\\d+ joined \\(1 client\\)");
    CHECK(daemon.log().find("wschat: ") == std::string::npos);

    Launch busy = command({"127.0.0.1", std::to_string(daemon.port())});
    busy.under_journal = true;
    CHECK(std::regex_match(run(busy).err, std::regex("<3>[^\n]+\n")));
}

TEST_CASE("a JOURNAL_STREAM that is not standard error is ignored") {
    for (const char* value : {"", ":", "0:0", "1:2:3", "x"}) {
        Launch launch = command({"127.0.0.1", "0"});
        launch.environment = {std::string("JOURNAL_STREAM=") + value};
        Daemon daemon(launch);
        CHECK(daemon.log().rfind("wschat: listening on ", 0) == 0);
    }
}

TEST_CASE("a log whose reader does not read blocks no client") {
    ScratchDirectory scratch;
    const std::string path = scratch / "chat";
    const Pipe pipe = small_pipe();
    Launch launch = command(
        {"-v", "--announce=none", "--bind=unix:" + path, "localhost", "0"});
    launch.stderr_fd = pipe.write.get();
    Process process(launch);
    char first;
    REQUIRE(read(pipe.read.get(), &first, 1) == 1);
    fill(pipe.write.get());
    check_clients_are_served(path);
    process.signal(SIGTERM);
    CHECK(process.wait_for_exit() == 0);
}

TEST_CASE("a log whose reader has closed its end blocks no client") {
    ScratchDirectory scratch;
    const std::string path = scratch / "chat";
    Pipe pipe = small_pipe();
    Launch launch = command(
        {"-v", "--announce=none", "--bind=unix:" + path, "localhost", "0"});
    launch.stderr_fd = pipe.write.get();
    Process process(launch);
    char first;
    REQUIRE(read(pipe.read.get(), &first, 1) == 1);
    pipe.write = wschat::Fd();
    pipe.read = wschat::Fd();
    check_clients_are_served(path);
    process.signal(SIGTERM);
    CHECK(process.wait_for_exit() == 0);
}

TEST_CASE("without standard descriptors no client's socket becomes the log") {
    ScratchDirectory scratch;
    Launch launch =
        command({"-v", "--announce=none", "--bind=127.0.0.1",
                 "--bind=unix:" + scratch / "chat", "localhost", "0"});
    launch.no_descriptors = true;
    Process process(launch);
    wait_until_connectable(scratch / "chat");
    std::vector<Peer> peers;
    for (int i = 0; i < 5; ++i)
        peers.push_back(join(SocketAddress::unix_socket(scratch / "chat")));
    peers.back().close_socket();
    peers.pop_back();
    for (Peer& peer : peers) peer.sync();
    peers[0].send_message("[1]");
    for (Peer& peer : peers) peer.expect_message("[1]");
}
