// System messages: who is told of joins and leaves, and when nobody is.
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "daemon.h"
#include "peer.h"
#include "room_clients.h"

using namespace wschat::test;

namespace {

Peer join_announced(const Daemon& daemon, Where at = {}) {
    Peer peer = join(daemon, at);
    peer.hears(kConnected, at);
    return peer;
}

std::string online(int clients) {
    return R"({"type":"system","message":")" + std::to_string(clients) +
           " online\"}";
}

// Hears counts, each another than the one before, until this one comes.
// Returns how many they were.
int hears_counts_until(Peer& peer, int clients, Where at = {}) {
    std::string heard;
    for (int counts = 1;; ++counts) {
        const std::string count = peer.next_text(at);
        if (count == heard) fail(at, shown(count) + " twice");
        if (count.find(" online\"") == std::string::npos)
            fail(at, shown(count) + " in place of a count");
        heard = count;
        if (heard == online(clients)) return counts;
    }
}

}  // namespace

TEST_CASE("a join is announced to everyone, the newcomer too, by default") {
    Daemon daemon(command({"127.0.0.1", "0"}));
    Peer ann = join(daemon);
    ann.hears(kConnected);
    Peer bob = join(daemon);
    bob.hears(kConnected);
    ann.hears(kConnected);
    bob.say("[1]");
    ann.hears("[1]");
    bob.hears("[1]");
}

TEST_CASE("a leave is announced to the rest, however it comes about") {
    Daemon daemon({"--announce=address"});
    Peer ann = join_announced(daemon);
    const auto leaves = [&](const char* how, auto leave) {
        INFO("how: " << how);
        Peer bob = join_announced(daemon);
        ann.hears(kConnected);
        leave(bob);
        ann.hears(kDisconnected);
    };
    leaves("with a close frame", [](Peer& bob) {
        bob.send(close_frame(1000));
        bob.is_closed(1000);
    });
    leaves("hanging up", [](Peer& bob) { bob.hang_up(); });
    leaves("half-closing", [](Peer& bob) { bob.half_close(); });
    leaves("with a reset", [](Peer& bob) { bob.reset(); });
    leaves("breaking the protocol", [](Peer& bob) {
        bob.send(bytes({0x81, 0x00}));
        bob.is_closed(1002);
    });
    leaves("inside a message", [](Peer& bob) {
        bob.send(first_fragment("[1,") + frame_header(0x80, 100));
        bob.reset();
    });
    ann.say("[1]");
    ann.hears("[1]");
}

TEST_CASE("a leave comes after the last message of who leaves") {
    Daemon daemon({"--announce=address"});
    Peer ann = join_announced(daemon);
    Peer bob = join_announced(daemon);
    ann.hears(kConnected);
    bob.send(text_frame("[1]") + text_frame("[2]"));
    bob.hang_up();
    ann.hears("[1]");
    ann.hears("[2]");
    ann.hears(kDisconnected);
}

TEST_CASE("who has not shaken hands is announced to nobody") {
    Daemon daemon({"--announce=address"});
    Peer ann = join_announced(daemon);
    Peer refused(daemon);
    refused.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    refused.is_refused(404);
    refused.hang_up();
    Peer publisher(daemon);
    publisher.send("{\"a\":1}");
    ann.hears("{\"a\":1}");
    publisher.half_close();
    publisher.hears_end();
    ann.say("[1]");
    ann.hears("[1]");
}

TEST_CASE("peers are announced by their address, or as unix") {
    ScratchDirectory scratch;
    Daemon daemon({"--announce=address", "--bind=127.0.0.1", "--bind=::1",
                   "--bind=unix:" + scratch / "chat"});
    Peer ann = join_announced(daemon);
    Peer six = join(SocketAddress::v6(daemon.port()));
    ann.hears(R"({"type":"system","message":"::1 connected"})");
    Peer unix_peer = join(SocketAddress::unix_socket(scratch / "chat"));
    ann.hears(R"({"type":"system","message":"unix connected"})");
    six.hang_up();
    ann.hears(R"({"type":"system","message":"::1 disconnected"})");
    unix_peer.hang_up();
    ann.hears(R"({"type":"system","message":"unix disconnected"})");
}

TEST_CASE("--announce=none tells nobody of joins and leaves") {
    Daemon daemon({"--announce=none"});
    Peer ann = join(daemon);
    Peer bob = join(daemon);
    bob.hang_up();
    daemon.wait_log("left");
    ann.say("[1]");
    ann.hears("[1]");
}

TEST_CASE("--announce=count tells how many there are, seldom in a storm") {
    Daemon daemon({"--announce=count"});
    Peer ann = join(daemon);
    ann.hears(online(1));
    std::vector<Peer> peers = join(daemon, 300);
    CHECK(hears_counts_until(ann, 301) < 100);
    while (peers.size() > 100) peers.pop_back();
    CHECK(hears_counts_until(ann, 101) < 100);
    hears_no_more(ann);
}

TEST_CASE("each room is told of its own number alone") {
    Daemon daemon({"--announce=count", "--rooms"});
    Peer ann = join_room(daemon, "/a");
    ann.hears(online(1));
    Peer bob = join_room(daemon, "/b");
    Peer carl = join_room(daemon, "/b");
    hears_counts_until(bob, 2);
    hears_counts_until(carl, 2);
    bob.hang_up();
    hears_counts_until(carl, 1);
    hears_no_more(carl);
    hears_no_more(ann);
}

TEST_CASE("a count is a message of the room, with a number") {
    Daemon daemon({"--announce=count"});
    Member ann = join_v1(daemon);
    CHECK(ann.hello.first == 1);
    ann.peer.hears(online(1));
    Member bob = join_v1(daemon);
    CHECK(bob.hello.last == 1);
    ann.peer.hears(online(2));
    Member back = join_v1(daemon, since(ann.hello, 0));
    CHECK(back.hello.last == 2);
    back.peer.hears(online(1));
    back.peer.hears(online(2));
}
