// The addresses that the daemon listens on: IPv4, IPv6 and unix sockets.
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <vector>

#include <doctest/doctest.h>
#include <grp.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon.h"
#include "peer.h"
#include "proc.h"

using namespace wschat::test;

namespace {

using Addresses = std::set<std::string>;

std::string at_port(const std::string& address, const Daemon& daemon) {
    return address + ":" + std::to_string(daemon.port());
}

// The kernel completes a connect() by itself; a message shows that the daemon
// serves the connection.
void check_is_served(const SocketAddress& address) {
    Peer peer = join(address);
    peer.send_message("[1]");
    peer.expect_message("[1]");
}

std::string unix_option(const std::string& path, const std::string& more = "") {
    return "--bind=unix:" + path + more;
}

void check_in_use(const std::string& path) {
    const Outcome outcome = run(command({unix_option(path), "localhost", "0"}));
    INFO("stderr: " << outcome.err);
    CHECK(outcome.status == 1);
    CHECK(count(outcome.err, "\n") == 1);
    CHECK(outcome.err.find(path) != std::string::npos);
    CHECK(outcome.err.find("in use") != std::string::npos);
}

wschat::Fd bound_socket(const std::string& path, int type) {
    wschat::Fd fd(socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
    const SocketAddress address = SocketAddress::unix_socket(path);
    REQUIRE(bind(fd.get(), address.get(), address.size()) == 0);
    return fd;
}

mode_t mode_of(const std::string& path) {
    struct stat file;
    REQUIRE(stat(path.c_str(), &file) == 0);
    return file.st_mode & 0777;
}

// Returns a group that the process may give a file to, and not its own one if
// there is another: root may use any group, others only the groups they are in.
gid_t some_other_group() {
    if (geteuid() == 0) return 1;
    gid_t groups[64];
    const int n = getgroups(64, groups);
    for (int i = 0; i < n; ++i)
        if (groups[i] != getegid()) return groups[i];
    return getegid();
}

}  // namespace

TEST_CASE("an IP address as the host is the address to listen on") {
    Daemon v4({}, "127.0.0.1");
    CHECK(listening_addresses(v4.pid()) == Addresses{at_port("127.0.0.1", v4)});
    check_is_served(SocketAddress::v4(v4.port()));

    Daemon v6({}, "::1");
    CHECK(listening_addresses(v6.pid()) == Addresses{at_port("[::1]", v6)});
    check_is_served(SocketAddress::v6(v6.port()));

    Daemon other({}, "127.0.0.2");
    CHECK(listening_addresses(other.pid()) ==
          Addresses{at_port("127.0.0.2", other)});
    check_is_served(SocketAddress::v4(other.port(), "127.0.0.2"));
}

TEST_CASE("localhost means both loopback addresses on the same port") {
    Daemon daemon({}, "localhost");
    CHECK(listening_addresses(daemon.pid()) ==
          Addresses{at_port("127.0.0.1", daemon), at_port("[::1]", daemon)});
    Peer ann = join(SocketAddress::v4(daemon.port()));
    Peer bob = join(SocketAddress::v6(daemon.port()));
    ann.send_message("[4]");
    bob.expect_message("[4]");
    bob.send_message("[6]");
    ann.expect_message("[4]");
    ann.expect_message("[6]");
}

TEST_CASE("any other host name means all addresses") {
    Daemon daemon({"--announce=address"}, "chat.example.org");
    CHECK(listening_addresses(daemon.pid()) ==
          Addresses{at_port("0.0.0.0", daemon), at_port("[::]", daemon)});
    Peer ann = join(SocketAddress::v4(daemon.port()));
    ann.expect_message(kConnected);
    Peer bob = join(SocketAddress::v6(daemon.port()));
    ann.expect_message(R"({"type":"system","message":"::1 connected"})");
}

TEST_CASE("--bind replaces the addresses of the host") {
    Daemon one({"--bind=127.0.0.1"}, "chat.example.org");
    CHECK(listening_addresses(one.pid()) ==
          Addresses{at_port("127.0.0.1", one)});

    Daemon both({"--bind=localhost"}, "chat.example.org");
    CHECK(listening_addresses(both.pid()) ==
          Addresses{at_port("127.0.0.1", both), at_port("[::1]", both)});
}

TEST_CASE("--bind may be repeated, and all addresses serve the same room") {
    ScratchDirectory scratch;
    Daemon daemon({"--bind=127.0.0.1", "--bind=::1", "--bind=127.0.0.3",
                   unix_option(scratch / "a"), unix_option(scratch / "b")},
                  "chat.example.org");
    CHECK(listening_addresses(daemon.pid()) ==
          Addresses{at_port("127.0.0.1", daemon), at_port("[::1]", daemon),
                    at_port("127.0.0.3", daemon)});
    std::vector<Peer> peers;
    peers.push_back(join(SocketAddress::v4(daemon.port())));
    peers.push_back(join(SocketAddress::v6(daemon.port())));
    peers.push_back(join(SocketAddress::v4(daemon.port(), "127.0.0.3")));
    peers.push_back(join(SocketAddress::unix_socket(scratch / "a")));
    peers.push_back(join(SocketAddress::unix_socket(scratch / "b")));
    peers.back().send_message("[1]");
    for (Peer& peer : peers) peer.expect_message("[1]");
}

TEST_CASE("with only a unix socket no TCP port is opened") {
    ScratchDirectory scratch;
    Daemon daemon({unix_option(scratch / "chat"), "--announce=address"});
    CHECK(listening_addresses(daemon.pid()).empty());
    CHECK(daemon.log().find("unix:" + scratch / "chat") != std::string::npos);
    Peer ann = join(SocketAddress::unix_socket(scratch / "chat"));
    ann.expect_message(R"({"type":"system","message":"unix connected"})");
    daemon.wait_for_log("wschat: unix joined");
}

TEST_CASE("a unix socket has the mode and the group of its option") {
    ScratchDirectory scratch;
    const gid_t gid = some_other_group();
    const std::string group = getgrgid(gid)->gr_name;
    Daemon daemon({unix_option(scratch / "a", ",mode=0600"),
                   unix_option(scratch / "b", ",mode=666"),
                   unix_option(scratch / "c", ",mode=0640,group=" + group)});
    CHECK(mode_of(scratch / "a") == 0600);
    CHECK(mode_of(scratch / "b") == 0666);
    CHECK(mode_of(scratch / "c") == 0640);
    struct stat file;
    REQUIRE(stat((scratch / "c").c_str(), &file) == 0);
    CHECK(file.st_gid == gid);
}

TEST_CASE("the error names a group that does not exist") {
    ScratchDirectory scratch;
    const Outcome outcome =
        run(command({unix_option(scratch / "a", ",group=no-such-group"),
                     "localhost", "0"}));
    CHECK((outcome.status == 1 || outcome.status == 2));
    CHECK(outcome.err.find("no-such-group") != std::string::npos);
    CHECK(!std::filesystem::exists(scratch / "a"));
}

TEST_CASE("a unix socket is removed at exit") {
    ScratchDirectory scratch;
    for (int number : {SIGTERM, SIGINT}) {
        Daemon daemon({unix_option(scratch / "chat")});
        CHECK(std::filesystem::exists(scratch / "chat"));
        daemon.signal(number);
        daemon.wait_for_exit();
        CHECK(!std::filesystem::exists(scratch / "chat"));
        CHECK(!std::filesystem::exists(scratch / "chat.lock"));
    }
}

TEST_CASE("a stale unix socket is replaced") {
    ScratchDirectory scratch;
    bound_socket(scratch / "chat", SOCK_STREAM);
    REQUIRE(std::filesystem::exists(scratch / "chat"));
    Daemon daemon({unix_option(scratch / "chat")});
    check_is_served(SocketAddress::unix_socket(scratch / "chat"));
}

TEST_CASE("a unix socket left by a killed daemon is replaced") {
    ScratchDirectory scratch;
    {
        Process killed(command({unix_option(scratch / "chat"), "x.org", "0"}));
        killed.wait_for_stderr("listening on");
    }
    REQUIRE(std::filesystem::exists(scratch / "chat"));
    Daemon daemon({unix_option(scratch / "chat")});
    check_is_served(SocketAddress::unix_socket(scratch / "chat"));
}

TEST_CASE("a unix socket of a running daemon is in use, and is not replaced") {
    ScratchDirectory scratch;
    Daemon daemon({unix_option(scratch / "chat")});
    check_in_use(scratch / "chat");
    check_is_served(SocketAddress::unix_socket(scratch / "chat"));
}

TEST_CASE("of daemons that start at once on a unix socket exactly one runs") {
    ScratchDirectory scratch;
    bound_socket(scratch / "chat", SOCK_STREAM);  // stale
    std::vector<std::unique_ptr<Process>> daemons;
    for (int i = 0; i < 8; ++i)
        daemons.push_back(std::make_unique<Process>(
            command({unix_option(scratch / "chat"), "--announce=none",
                     "localhost", "0"})));
    int listening = 0;
    for (const auto& daemon : daemons) {
        daemon->wait_for_stderr("\n");
        if (count(daemon->err(), "listening on") == 1) {
            ++listening;
            continue;
        }
        INFO("stderr: " << daemon->err());
        CHECK(daemon->wait_for_exit() == 1);
        CHECK(count(daemon->err(), "\n") == 1);
        CHECK(daemon->err().find("in use") != std::string::npos);
    }
    CHECK(listening == 1);
    check_is_served(SocketAddress::unix_socket(scratch / "chat"));
}

TEST_CASE(
    "a unix socket is in use even if its owner accepts no connection now") {
    ScratchDirectory scratch;
    const wschat::Fd owner = bound_socket(scratch / "full", SOCK_STREAM);
    listen(owner.get(), 0);
    const wschat::Fd waiting(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const SocketAddress address = SocketAddress::unix_socket(scratch / "full");
    REQUIRE(connect(waiting.get(), address.get(), address.size()) == 0);
    check_in_use(scratch / "full");
    CHECK(std::filesystem::exists(scratch / "full"));

    const wschat::Fd datagrams = bound_socket(scratch / "log", SOCK_DGRAM);
    check_in_use(scratch / "log");
    CHECK(std::filesystem::exists(scratch / "log"));
}

TEST_CASE("the error names a path that can't be a unix socket") {
    ScratchDirectory scratch;
    std::ofstream(scratch / "file") << "8 bytes.";
    for (const std::string& path :
         {scratch / "file", scratch / "none/chat", scratch / "",
          scratch / std::string(120, 'x')}) {
        const Outcome outcome =
            run(command({unix_option(path), "localhost", "0"}));
        INFO("stderr: " << outcome.err);
        CHECK((outcome.status == 1 || outcome.status == 2));
        CHECK(outcome.err.find(path) != std::string::npos);
    }
    CHECK(std::filesystem::file_size(scratch / "file") == 8);
}

TEST_CASE("a start that fails removes its unix socket") {
    ScratchDirectory scratch;
    Daemon daemon;
    const Outcome outcome =
        run(command({unix_option(scratch / "chat"), "--bind=127.0.0.1",
                     "localhost", std::to_string(daemon.port())}));
    CHECK(outcome.status == 1);
    CHECK(!std::filesystem::exists(scratch / "chat"));
}

TEST_CASE("the log names the addresses and the URL to open") {
    Daemon v4({}, "127.0.0.1");
    CHECK(v4.log() == "wschat: listening on " + at_port("127.0.0.1", v4) +
                          ", open http://" + at_port("127.0.0.1", v4) + "/\n");
    Daemon v6({}, "::1");
    CHECK(v6.log() == "wschat: listening on " + at_port("[::1]", v6) +
                          ", open http://" + at_port("[::1]", v6) + "/\n");
    Daemon both({"--no-page"}, "localhost");
    CHECK(both.log() == "wschat: listening on " + at_port("127.0.0.1", both) +
                            " and " + at_port("[::1]", both) + ", open ws://" +
                            at_port("localhost", both) + "/\n");
}

TEST_CASE("the log names no URL if only a proxy can connect") {
    Daemon daemon({"--bind=127.0.0.1"}, "example.com");
    CHECK(daemon.log() ==
          "wschat: listening on " + at_port("127.0.0.1", daemon) + "\n");
}
