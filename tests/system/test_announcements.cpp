// Announcements of joins and leaves, for each value of --announce.
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "daemon.h"
#include "peer.h"
#include "room_clients.h"

using namespace wschat::test;

namespace {

Peer join_announced(const Daemon& daemon, SourceLine at = {}) {
    Peer peer = join(daemon, at);
    peer.expect_message(kConnected, at);
    return peer;
}

std::string online(int clients) {
    return R"({"type":"system","message":")" + std::to_string(clients) +
           " online\"}";
}

// Expects counts, each different from the last one, until `clients` is
// announced. Returns how many counts it received.
int expect_counts_until(Peer& peer, int clients, SourceLine at = {}) {
    std::string received;
    for (int counts = 1;; ++counts) {
        const std::string count = peer.next_text(at);
        if (count == received) fail(at, printable(count) + " received twice");
        if (count.find(" online\"") == std::string::npos)
            fail(at, printable(count) + " instead of a count");
        received = count;
        if (received == online(clients)) return counts;
    }
}

}  // namespace

TEST_CASE("by default a join is announced to all members, the new one too") {
    Daemon daemon(command({"127.0.0.1", "0"}));
    Peer ann = join(daemon);
    ann.expect_message(kConnected);
    Peer bob = join(daemon);
    bob.expect_message(kConnected);
    ann.expect_message(kConnected);
    bob.send_message("[1]");
    ann.expect_message("[1]");
    bob.expect_message("[1]");
}

TEST_CASE("by default a public host announces the number of clients") {
    Daemon daemon(command({"--bind=127.0.0.1", "chat.example.com", "0"}));
    Peer ann = join(daemon);
    ann.expect_message(online(1));
}

TEST_CASE("the log says at the start what is announced") {
    Daemon address(command({"127.0.0.1", "0"}));
    address.wait_for_log(
        "announcing the address of each client (--announce=address)");
    Daemon number(command({"--bind=127.0.0.1", "chat.example.com", "0"}));
    number.wait_for_log(
        "announcing the number of clients (--announce=count)");
    CHECK(Daemon().log().find("announcing") == std::string::npos);
}

TEST_CASE("a leave is announced to the other members, whatever its cause") {
    Daemon daemon({"--announce=address"});
    Peer ann = join_announced(daemon);
    const auto check_leave = [&](const char* cause, auto leave) {
        INFO("cause: " << cause);
        Peer bob = join_announced(daemon);
        ann.expect_message(kConnected);
        leave(bob);
        ann.expect_message(kDisconnected);
    };
    check_leave("by a close frame", [](Peer& bob) {
        bob.send(close_frame(1000));
        bob.expect_closed(1000);
    });
    check_leave("by closing the socket", [](Peer& bob) { bob.close_socket(); });
    check_leave("by a half-close", [](Peer& bob) { bob.half_close(); });
    check_leave("by a reset", [](Peer& bob) { bob.reset(); });
    check_leave("by a protocol error", [](Peer& bob) {
        bob.send(bytes({0x81, 0x00}));
        bob.expect_closed(1002);
    });
    check_leave("by a reset inside a message", [](Peer& bob) {
        bob.send(first_fragment("[1,") + frame_header(0x80, 100));
        bob.reset();
    });
    ann.send_message("[1]");
    ann.expect_message("[1]");
}

TEST_CASE("a leave is announced after the last message of that client") {
    Daemon daemon({"--announce=address"});
    Peer ann = join_announced(daemon);
    Peer bob = join_announced(daemon);
    ann.expect_message(kConnected);
    bob.send(text_frame("[1]") + text_frame("[2]"));
    bob.close_socket();
    ann.expect_message("[1]");
    ann.expect_message("[2]");
    ann.expect_message(kDisconnected);
}

TEST_CASE("a peer without a handshake is not announced") {
    Daemon daemon({"--announce=address"});
    Peer ann = join_announced(daemon);
    Peer refused(daemon);
    refused.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    refused.expect_refused(404);
    refused.close_socket();
    Peer publisher(daemon);
    publisher.send("{\"a\":1}");
    ann.expect_message("{\"a\":1}");
    publisher.half_close();
    publisher.expect_eof();
    ann.send_message("[1]");
    ann.expect_message("[1]");
}

TEST_CASE("a client is announced by its IP address, or as unix") {
    ScratchDirectory scratch;
    Daemon daemon({"--announce=address", "--bind=127.0.0.1", "--bind=::1",
                   "--bind=unix:" + scratch / "chat"});
    Peer ann = join_announced(daemon);
    Peer six = join(SocketAddress::v6(daemon.port()));
    ann.expect_message(R"({"type":"system","message":"::1 connected"})");
    Peer unix_peer = join(SocketAddress::unix_socket(scratch / "chat"));
    ann.expect_message(R"({"type":"system","message":"unix connected"})");
    six.close_socket();
    ann.expect_message(R"({"type":"system","message":"::1 disconnected"})");
    unix_peer.close_socket();
    ann.expect_message(R"({"type":"system","message":"unix disconnected"})");
}

TEST_CASE("with --announce=none joins and leaves are not announced") {
    Daemon daemon({"--announce=none"});
    Peer ann = join(daemon);
    Peer bob = join(daemon);
    bob.close_socket();
    daemon.wait_for_log("left");
    ann.send_message("[1]");
    ann.expect_message("[1]");
}

TEST_CASE("with --announce=count many joins at once cause few counts") {
    Daemon daemon({"--announce=count"});
    Peer ann = join(daemon);
    ann.expect_message(online(1));
    std::vector<Peer> peers = join(daemon, 300);
    CHECK(expect_counts_until(ann, 301) < 100);
    while (peers.size() > 100) peers.pop_back();
    CHECK(expect_counts_until(ann, 101) < 100);
    expect_nothing_else(ann);
}

TEST_CASE("each room gets only the count of its own clients") {
    Daemon daemon({"--announce=count", "--rooms"});
    Peer ann = join_room(daemon, "/a");
    ann.expect_message(online(1));
    Peer bob = join_room(daemon, "/b");
    Peer carl = join_room(daemon, "/b");
    expect_counts_until(bob, 2);
    expect_counts_until(carl, 2);
    bob.close_socket();
    expect_counts_until(carl, 1);
    expect_nothing_else(carl);
    expect_nothing_else(ann);
}

TEST_CASE("a count is a numbered message of the room") {
    Daemon daemon({"--announce=count"});
    Member ann = join_v1(daemon);
    CHECK(ann.hello.first == 1);
    ann.peer.expect_message(online(1));
    Member bob = join_v1(daemon);
    CHECK(bob.hello.last == 1);
    ann.peer.expect_message(online(2));
    Member back = join_v1(daemon, resume_target(ann.hello, 0));
    CHECK(back.hello.last == 2);
    back.peer.expect_message(online(1));
    back.peer.expect_message(online(2));
}
