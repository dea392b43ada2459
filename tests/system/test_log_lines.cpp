// What the daemon says on standard error, and that saying it never hurts.
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

// Waits until the last of so many lines is there, and looks at it.
void check_line(Daemon& daemon, size_t number, const std::string& form) {
    daemon.wait_log("\n", number);
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
    // A descriptor of our own: O_NONBLOCK must not reach the daemon's.
    const std::string path = "/proc/self/fd/" + std::to_string(fd);
    const wschat::Fd mine(open(path.c_str(), O_WRONLY | O_NONBLOCK));
    REQUIRE(mine.get() >= 0);
    while (write(mine.get(), "x", 1) == 1) continue;
}

// A unix socket comes into being a moment before it is listened to.
void wait_for(const std::string& path) {
    const TimeLimit deadline;
    while (!accepts(SocketAddress::unix_socket(path))) {
        REQUIRE(!deadline.over());
        sched_yield();
    }
}

void check_crowd_chats(const std::string& path) {
    for (int i = 0; i < 200; ++i) {
        Peer ann = join(SocketAddress::unix_socket(path));
        ann.say("[1]");
        ann.hears("[1]");
    }
}

}  // namespace

TEST_CASE("who joins, leaves, is refused or dropped is one line each") {
    Daemon daemon({"--max-message=64K", "--max-backlog=256K"});
    Peer ann = join(daemon);
    check_line(daemon, 2, "wschat: 127.0.0.1 joined \\(1 client\\)");
    Peer bob = join(daemon);
    check_line(daemon, 3, "wschat: 127.0.0.1 joined \\(2 clients\\)");
    bob.send(close_frame(1000));
    bob.is_closed(1000);
    check_line(daemon, 4, "wschat: 127.0.0.1 left: .+ \\(1 client\\)");
    Peer stranger(daemon);
    stranger.send("GET / HTTP/1.0\r\n\r\n");
    stranger.is_refused(400);
    check_line(daemon, 5, "wschat: 127.0.0.1 refused: 400 .+");
    Peer stalled = join(SocketAddress::v4(daemon.port()), 4096);
    check_line(daemon, 6, "wschat: 127.0.0.1 joined \\(2 clients\\)");
    for (int i = 0; i < 60; ++i) {
        ann.say(json_string(20000));
        ann.hears(json_string(20000));
    }
    check_line(daemon, 7, "wschat: 127.0.0.1 dropped: .+ \\(1 client\\)");
}

TEST_CASE("the log says why a client left") {
    Daemon daemon;
    Peer closes = join(daemon);
    closes.send(close_frame(4321));
    closes.is_closed(4321);
    daemon.wait_log("4321");
    Peer errs = join(daemon);
    errs.send(bytes({0x83}));
    errs.is_closed(1002);
    daemon.wait_log("127.0.0.1 closed: protocol error 1002: ");
    Peer resets = join(daemon);
    resets.reset();
    daemon.wait_log("127.0.0.1 left: ", 2);
}

TEST_CASE("-q logs nothing but errors") {
    for (const char* option : {"-q", "--quiet"}) {
        ScratchDirectory scratch;
        const std::string path = scratch / "chat";
        Process process(
            command({option, "--bind=unix:" + path, "localhost", "0"}));
        wait_for(path);
        {
            Peer ann = join(SocketAddress::unix_socket(path));
            ann.hears(R"({"type":"system","message":"unix connected"})");
            Peer stranger(SocketAddress::unix_socket(path));
            stranger.send("nonsense\r\n\r\n");
            stranger.is_refused(400);
        }
        process.signal(SIGTERM);
        CHECK(process.wait_exit() == 0);
        CHECK(process.err() == "");
        CHECK(process.out() == "");
    }
}

TEST_CASE("-q still tells what is wrong") {
    Daemon daemon;
    const Outcome outcome =
        run(command({"-q", "127.0.0.1", std::to_string(daemon.port())}));
    CHECK(outcome.status == 1);
    CHECK(count(outcome.err, "\n") == 1);
}

TEST_CASE("-v tells more of each handshake, but no query") {
    for (const char* option : {"-v", "--verbose"}) {
        Daemon usual;
        Daemon verbose({option});
        const std::string request =
            handshake("/chat?token=secret", "X-Secret: secret\r\n");
        Peer ann(usual);
        Peer bob(verbose);
        for (Peer* peer : {&ann, &bob}) {
            peer->send(request);
            CHECK(peer->answer().status == 101);
        }
        usual.wait_log("joined");
        verbose.wait_log("joined");
        CHECK(count(verbose.log(), "\n") > count(usual.log(), "\n"));
        CHECK(count(verbose.log(), "secret") == 0);
    }
}

// The fixture looks at each line at its end: none is forged, and none holds a
// control byte.
TEST_CASE("-v tells how messages are sent") {
    Daemon usual({"-v"});
    usual.wait_log("send method: ");
    Daemon plain({"-v", "--no-uring"});
    plain.wait_log("send method: send()\n");
}

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
        peer.is_gone();
    }
    Peer ann = join(daemon);
    ann.say(escapes);
    ann.hears_notice("");
    ann.send(close_frame(1000, escapes));
    ann.hears_close(1000);
    ann.hears_end();
    Peer publisher(daemon);
    publisher.send("{\"type\":\"" + escapes + "\"}\x1b[31m");
    publisher.is_gone();
    daemon.wait_log("left");
}

TEST_CASE("under systemd lines begin with a priority") {
    Launch launch = command({"127.0.0.1", "0"});
    launch.under_journal = true;
    Daemon daemon(launch);
    Peer ann = join(daemon);
    daemon.wait_log("joined");
    check_line(daemon, 1, "<6>listening on .+");
    check_line(daemon, 2, "<6>127.0.0.1 joined \\(1 client\\)");
    CHECK(daemon.log().find("wschat: ") == std::string::npos);

    Launch busy = command({"127.0.0.1", std::to_string(daemon.port())});
    busy.under_journal = true;
    CHECK(std::regex_match(run(busy).err, std::regex("<3>[^\n]+\n")));
}

TEST_CASE("a JOURNAL_STREAM of something else is not believed") {
    for (const char* value : {"", ":", "0:0", "1:2:3", "x"}) {
        Launch launch = command({"127.0.0.1", "0"});
        launch.environment = {std::string("JOURNAL_STREAM=") + value};
        Daemon daemon(launch);
        CHECK(daemon.log().rfind("wschat: listening on ", 0) == 0);
    }
}

TEST_CASE("a log that nobody reads does not stop the chat") {
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
    check_crowd_chats(path);
    process.signal(SIGTERM);
    CHECK(process.wait_exit() == 0);
}

TEST_CASE("a log whose reader has gone does not stop the chat") {
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
    check_crowd_chats(path);
    process.signal(SIGTERM);
    CHECK(process.wait_exit() == 0);
}

TEST_CASE("with no standard descriptors at all, no client gets the log") {
    ScratchDirectory scratch;
    Launch launch =
        command({"-v", "--announce=none", "--bind=127.0.0.1",
                 "--bind=unix:" + scratch / "chat", "localhost", "0"});
    launch.no_descriptors = true;
    Process process(launch);
    wait_for(scratch / "chat");
    std::vector<Peer> peers;
    for (int i = 0; i < 5; ++i)
        peers.push_back(join(SocketAddress::unix_socket(scratch / "chat")));
    peers.back().hang_up();
    peers.pop_back();
    for (Peer& peer : peers) peer.sync();
    peers[0].say("[1]");
    for (Peer& peer : peers) peer.hears("[1]");
}
