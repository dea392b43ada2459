// Where it listens: IPv4, IPv6 and unix sockets, and nowhere else.
#include <filesystem>
#include <fstream>
#include <set>

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

// Only a message through the daemon shows that a connection is served.
void check_chat(const SocketAddress& address) {
    Peer peer = join(address);
    peer.say("[1]");
    peer.hears("[1]");
}

std::string unix_option(const std::string& path, const std::string& more = "") {
    return "--bind=unix:" + path + more;
}

void check_in_use(const std::string& path) {
    const Outcome outcome = run(command({unix_option(path), "localhost", "0"}));
    INFO("it said: " << outcome.err);
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

// A group that the process may give a file to: for root any, for others one
// of theirs, another than the usual one if there is one.
gid_t some_other_group() {
    if (geteuid() == 0) return 1;
    gid_t groups[64];
    const int n = getgroups(64, groups);
    for (int i = 0; i < n; ++i)
        if (groups[i] != getegid()) return groups[i];
    return getegid();
}

}  // namespace

TEST_CASE("an address as the host is the address it listens at") {
    Daemon v4({}, "127.0.0.1");
    CHECK(listens_at(v4.pid()) == Addresses{at_port("127.0.0.1", v4)});
    check_chat(SocketAddress::v4(v4.port()));

    Daemon v6({}, "::1");
    CHECK(listens_at(v6.pid()) == Addresses{at_port("[::1]", v6)});
    check_chat(SocketAddress::v6(v6.port()));

    Daemon other({}, "127.0.0.2");
    CHECK(listens_at(other.pid()) == Addresses{at_port("127.0.0.2", other)});
    check_chat(SocketAddress::v4(other.port(), "127.0.0.2"));
}

TEST_CASE("localhost is both loopback addresses at one port") {
    Daemon daemon({}, "localhost");
    CHECK(listens_at(daemon.pid()) ==
          Addresses{at_port("127.0.0.1", daemon), at_port("[::1]", daemon)});
    Peer ann = join(SocketAddress::v4(daemon.port()));
    Peer bob = join(SocketAddress::v6(daemon.port()));
    ann.say("[4]");
    bob.hears("[4]");
    bob.say("[6]");
    ann.hears("[4]");
    ann.hears("[6]");
}

TEST_CASE("a name as the host listens at every address") {
    Daemon daemon({"--announce=address"}, "chat.example.org");
    CHECK(listens_at(daemon.pid()) ==
          Addresses{at_port("0.0.0.0", daemon), at_port("[::]", daemon)});
    Peer ann = join(SocketAddress::v4(daemon.port()));
    ann.hears(kConnected);
    Peer bob = join(SocketAddress::v6(daemon.port()));
    ann.hears(R"({"type":"system","message":"::1 connected"})");
}

TEST_CASE("--bind says where to listen, whatever the host") {
    Daemon one({"--bind=127.0.0.1"}, "chat.example.org");
    CHECK(listens_at(one.pid()) == Addresses{at_port("127.0.0.1", one)});

    Daemon both({"--bind=localhost"}, "chat.example.org");
    CHECK(listens_at(both.pid()) ==
          Addresses{at_port("127.0.0.1", both), at_port("[::1]", both)});
}

TEST_CASE("--bind may be repeated, and all its addresses are one room") {
    ScratchDirectory scratch;
    Daemon daemon({"--bind=127.0.0.1", "--bind=::1", "--bind=127.0.0.3",
                   unix_option(scratch / "a"), unix_option(scratch / "b")},
                  "chat.example.org");
    CHECK(listens_at(daemon.pid()) == Addresses{at_port("127.0.0.1", daemon),
                                                at_port("[::1]", daemon),
                                                at_port("127.0.0.3", daemon)});
    std::vector<Peer> peers;
    peers.push_back(join(SocketAddress::v4(daemon.port())));
    peers.push_back(join(SocketAddress::v6(daemon.port())));
    peers.push_back(join(SocketAddress::v4(daemon.port(), "127.0.0.3")));
    peers.push_back(join(SocketAddress::unix_socket(scratch / "a")));
    peers.push_back(join(SocketAddress::unix_socket(scratch / "b")));
    peers.back().say("[1]");
    for (Peer& peer : peers) peer.hears("[1]");
}

TEST_CASE("a unix socket alone opens no port") {
    ScratchDirectory scratch;
    Daemon daemon({unix_option(scratch / "chat"), "--announce=address"});
    CHECK(listens_at(daemon.pid()).empty());
    CHECK(daemon.log().find("unix:" + scratch / "chat") != std::string::npos);
    Peer ann = join(SocketAddress::unix_socket(scratch / "chat"));
    ann.hears(R"({"type":"system","message":"unix connected"})");
    daemon.wait_log("wschat: unix joined");
}

TEST_CASE("a unix socket has the mode and the group that it is given") {
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

TEST_CASE("a group that does not exist is one line") {
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
        daemon.wait_exit();
        CHECK(!std::filesystem::exists(scratch / "chat"));
    }
}

TEST_CASE("a stale unix socket is replaced") {
    ScratchDirectory scratch;
    bound_socket(scratch / "chat", SOCK_STREAM);
    REQUIRE(std::filesystem::exists(scratch / "chat"));
    Daemon daemon({unix_option(scratch / "chat")});
    check_chat(SocketAddress::unix_socket(scratch / "chat"));
}

TEST_CASE("a unix socket left by a killed daemon is replaced") {
    ScratchDirectory scratch;
    {
        Process killed(command({unix_option(scratch / "chat"), "x.org", "0"}));
        killed.wait_err("listening on");
    }
    REQUIRE(std::filesystem::exists(scratch / "chat"));
    Daemon daemon({unix_option(scratch / "chat")});
    check_chat(SocketAddress::unix_socket(scratch / "chat"));
}

TEST_CASE("a live unix socket is in use, and stays its owner's") {
    ScratchDirectory scratch;
    Daemon daemon({unix_option(scratch / "chat")});
    check_in_use(scratch / "chat");
    check_chat(SocketAddress::unix_socket(scratch / "chat"));
}

TEST_CASE("a unix socket is live though its owner accepts nobody now") {
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

TEST_CASE("a path that cannot be a unix socket is one line") {
    ScratchDirectory scratch;
    std::ofstream(scratch / "file") << "precious";
    for (const std::string& path :
         {scratch / "file", scratch / "none/chat", scratch / "",
          scratch / std::string(120, 'x')}) {
        const Outcome outcome =
            run(command({unix_option(path), "localhost", "0"}));
        INFO("it said: " << outcome.err);
        CHECK((outcome.status == 1 || outcome.status == 2));
        CHECK(outcome.err.find(path) != std::string::npos);
    }
    CHECK(std::filesystem::file_size(scratch / "file") == 8);
}

TEST_CASE("a start that fails leaves no unix socket behind") {
    ScratchDirectory scratch;
    Daemon daemon;
    const Outcome outcome =
        run(command({unix_option(scratch / "chat"), "--bind=127.0.0.1",
                     "localhost", std::to_string(daemon.port())}));
    CHECK(outcome.status == 1);
    CHECK(!std::filesystem::exists(scratch / "chat"));
}

TEST_CASE("the line that it listens tells where, and what to open") {
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

TEST_CASE("where only a proxy can connect, there is nothing to open") {
    Daemon daemon({"--bind=127.0.0.1"}, "example.com");
    CHECK(daemon.log() ==
          "wschat: listening on " + at_port("127.0.0.1", daemon) + "\n");
}
