// Rooms: their names, their messages, their limits, and when they are deleted.
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "daemon.h"
#include "peer.h"
#include "proc.h"
#include "room_clients.h"

using namespace wschat::test;

namespace {

std::string get(const std::string& target) {
    return "GET " + target + " HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
}

// Publishes a message to a room. Returns its number.
uint64_t publish_to(const Daemon& daemon, const std::string& room,
                    std::string_view message = "[1]", SourceLine at = {}) {
    return publish(Peer(daemon, at), post(message, room), at).number;
}

// Closes the socket and waits until the daemon has handled the leave.
void leave(Daemon& daemon, Peer& peer, size_t times = 1, SourceLine at = {}) {
    peer.close_socket();
    daemon.wait_for_log(" left: ", times, at);
}

}  // namespace

TEST_CASE("a message is sent only to the clients of its room") {
    Daemon daemon({"--rooms"});
    const std::vector<std::string> rooms = {"/", "/a", "/a/b", "/A", "/ab"};
    std::vector<Peer> peers;
    for (const std::string& room : rooms) {
        peers.push_back(join_room(daemon, room));
        peers.push_back(join_room(daemon, room));
    }
    for (size_t i = 0; i < rooms.size(); ++i)
        peers[2 * i].send_message('"' + rooms[i] + '"');
    for (size_t i = 0; i < peers.size(); ++i)
        peers[i].expect_message('"' + rooms[i / 2] + '"');
    for (Peer& peer : peers) peer.send_message("\"last\"");
    for (Peer& peer : peers) {
        peer.expect_message("\"last\"");
        peer.expect_message("\"last\"");
    }
}

TEST_CASE("joins and leaves are announced in that room alone") {
    Daemon daemon({"--rooms", "--announce=address"});
    Peer ann = join_room(daemon, "/a");
    ann.expect_message(kConnected);
    Peer bob = join_room(daemon, "/b");
    bob.expect_message(kConnected);
    Peer carl = join_room(daemon, "/b");
    bob.expect_message(kConnected);
    carl.close_socket();
    bob.expect_message(kDisconnected);
    expect_nothing_else(ann);
    expect_nothing_else(bob);
}

TEST_CASE("raw JSON goes to the client's room, and from publishers to /") {
    Daemon daemon({"--rooms"});
    Peer ann = join_room(daemon, "/");
    Peer bob = join_room(daemon, "/b");
    bob.send("{\"raw\":1}");
    bob.expect_message("{\"raw\":1}");
    Peer publisher(daemon);
    publisher.send("{\"raw\":2}");
    ann.expect_message("{\"raw\":2}");
    expect_nothing_else(bob);
}

TEST_CASE("without --rooms there is one room, whatever the path") {
    Daemon daemon;
    Peer ann = join(daemon);
    for (const char* target :
         {"/x", "//", "/..", "/%00", "/%2F", "/%zz", "*", "x?epoch=1"}) {
        CAPTURE(target);
        Member bob = join_v1(daemon, target);
        CHECK(bob.hello.room == "/");
        bob.peer.send_message("[1]");
        ann.expect_message("[1]");
    }
}

TEST_CASE("a room's name is the path, percent-decoded once") {
    Daemon daemon({"--rooms"});
    const auto check_name = [&](const std::string& target,
                                const std::string& name) {
        CAPTURE(target);
        CHECK(join_v1(daemon, target).hello.room == name);
    };
    check_name("/caf%C3%A9", "/caf\xC3\xA9");
    check_name("/%63af%c3%a9", "/caf\xC3\xA9");
    check_name("/a%20b", "/a b");
    check_name("/a+b", "/a+b");
    check_name("/%2541", "/%41");
    check_name("/a%3Fb", "/a?b");
    check_name("/%23", "/#");
    check_name("/a?b/../c%00", "/a");
    check_name("/a?", "/a");
    check_name("/?a", "/");
    check_name("/...", "/...");
    check_name("/.a/b..", "/.a/b..");
    check_name("/%2e%2e%2e", "/...");
    check_name("/" + std::string(127, 'x'), "/" + std::string(127, 'x'));
    std::string escaped = "/", name = "/";
    for (int i = 0; i < 127; ++i) escaped += "%78", name += 'x';
    check_name(escaped, name);
}

TEST_CASE("the name of a room is quoted in JSON") {
    KeyFile keys;
    Daemon daemon({"--rooms", keys.option()});
    Peer ann(daemon);
    ann.do_handshake("/%22%5C", kV1, {});
    const std::string quoted = R"("room":"/\"\\",)";
    CHECK(count(ann.next_text(), quoted) == 1);
    Peer publisher(daemon);
    publisher.send(post("[1]", "/%22%5C"));
    CHECK(count(publisher.read_response().body, quoted) == 1);
    ann.expect_message("[1]");
}

TEST_CASE("different escapes of the same name mean the same room") {
    Daemon daemon({"--rooms"});
    std::vector<Peer> peers;
    for (const char* target :
         {"/caf%C3%A9", "/caf%c3%a9", "/%63af%C3%a9", "/caf%C3%A9?x=1"})
        peers.push_back(join_room(daemon, target));
    Peer other = join_room(daemon, "/cafe");
    peers[0].send_message("[1]");
    for (Peer& peer : peers) peer.expect_message("[1]");
    expect_nothing_else(other);
}

TEST_CASE("a path that names no room is refused for every kind of request") {
    KeyFile keys;
    Daemon daemon({"--rooms", keys.option()});
    for (const std::string& path : std::vector<std::string>{
             "/.",         "/..",     "/a/../b",
             "/a/.",       "/%2e%2e", "/%2E",
             "/a/.%2e/b",  "//",      "/a//b",
             "/a//",       "//a",     "/%2F",
             "/a%2fb",     "/%00",    "/a%0Ab",
             "/%1f",       "/%7F",    "/%",
             "/a%4",       "/%zz",    "/%+1",
             "/%ff",       "/a%c3",   "/%C0%AF",
             "/%ED%A0%80", "*",       "a",
             "?a",         "%2Fa",    "/" + std::string(128, 'x')}) {
        CAPTURE(path);
        expect_refused(daemon, handshake(path), 400);
        expect_refused(daemon, post("[1]", path), 400);
        expect_refused(daemon, get(path), 400);
    }
}

TEST_CASE("each room has a page, and without --rooms only / has one") {
    Daemon rooms({"--rooms"});
    Daemon one;
    for (const auto& [target, status] :
         {std::pair("/", 200), std::pair("/x", 404)}) {
        Peer peer(one);
        peer.send(get(target));
        CHECK(peer.read_response().status == status);
        Peer other(rooms);
        other.send(get(target));
        CHECK(other.read_response().status == 200);
    }
}

TEST_CASE("each room has its own message numbers and its own epoch") {
    KeyFile keys;
    Daemon daemon({"--rooms", keys.option()});
    CHECK(publish_to(daemon, "/a") == 1);
    CHECK(publish_to(daemon, "/b") == 1);
    CHECK(publish_to(daemon, "/a") == 2);
    const Hello a = join_v1(daemon, "/a").hello;
    const Hello b = join_v1(daemon, "/b").hello;
    CHECK(a.last == 2);
    CHECK(b.last == 1);
    CHECK(a.epoch != b.epoch);
    CHECK_FALSE(
        join_v1(daemon, "/b?epoch=" + a.epoch + "&since=1").hello.recovered);
}

TEST_CASE("over --max-rooms a new room is refused until another is deleted") {
    KeyFile keys;
    Daemon daemon({"--rooms", "--max-rooms=2", "--keep=0", keys.option()});
    Peer ann = join_room(daemon, "/a");
    Peer bob = join_room(daemon, "/b");
    expect_refused(daemon, handshake("/c"), 503);
    expect_refused(daemon, post("[1]", "/c"), 503);
    Peer publisher(daemon);
    publisher.send("{\"raw\":1}");
    CHECK(publisher.read_line().find("too many rooms") != std::string::npos);
    Peer carl = join_room(daemon, "/b");
    CHECK(publish(Peer(daemon), post("[1]", "/a")).clients == 1);
    leave(daemon, ann);
    Peer dora = join_room(daemon, "/c");
    expect_refused(daemon, handshake("/a"), 503);
    carl.send_message("[2]");
    bob.expect_message("[2]");
    expect_nothing_else(dora);
}

TEST_CASE("without --rooms all clients are in one room") {
    Daemon daemon({"--max-rooms=1"});
    Peer ann = join_room(daemon, "/a");
    Peer bob = join_room(daemon, "/b");
    bob.send_message("[1]");
    ann.expect_message("[1]");
}

TEST_CASE("over --max-rooms empty rooms are deleted, oldest first") {
    KeyFile keys;
    Daemon daemon({"--rooms", "--max-rooms=3", keys.option()});
    CHECK(publish_to(daemon, "/a") == 1);
    CHECK(publish_to(daemon, "/b") == 1);
    CHECK(publish_to(daemon, "/c") == 1);
    CHECK(publish_to(daemon, "/a") == 2);
    Peer dora = join_room(daemon, "/d");
    CHECK(publish_to(daemon, "/c") == 2);
    CHECK(publish_to(daemon, "/a") == 3);
    CHECK(publish_to(daemon, "/b") == 1);
    CHECK(publish_to(daemon, "/a") == 4);
    CHECK(publish_to(daemon, "/c") == 1);
    Peer eve = join_room(daemon, "/e");
    Peer fred = join_room(daemon, "/f");
    expect_refused(daemon, post("[1]", "/g"), 503);
}

TEST_CASE("over --keep-total the room that retains most drops messages") {
    KeyFile keys;
    Daemon daemon({"--rooms", "--keep-total=100K", keys.option()});
    const std::string message = json_string(30000);
    const Member ann = join_v1(daemon, "/held");
    for (const char* room : {"/held", "/old", "/new", "/held"})
        publish_to(daemon, room, message);
    // The last message exceeded the limit. The other rooms are as they were.
    CHECK(publish_to(daemon, "/old", "[1]") == 2);
    CHECK(publish_to(daemon, "/new", "[1]") == 2);
    CHECK_FALSE(
        join_v1(daemon, resume_target(ann.hello, 0)).hello.recovered);
    CHECK(
        join_v1(daemon, resume_target(ann.hello, 1)).hello.recovered);
}

TEST_CASE("over --keep-total a room drops its own oldest messages") {
    Daemon daemon({"--rooms", "--keep-total=100K"});
    Peer ann = join_room(daemon, "/a");
    const std::string message = json_string(30000);
    for (int i = 0; i < 5; ++i) ann.send_message(message);
    for (int i = 0; i < 5; ++i) ann.expect_message(message);
    const Hello now = join_v1(daemon, "/a").hello;
    CHECK(join_v1(daemon, resume_target(now, 2)).hello.recovered);
    CHECK_FALSE(join_v1(daemon, resume_target(now, 1)).hello.recovered);
}

TEST_CASE("a room without retained messages is deleted with its last client") {
    Daemon daemon({"--rooms", "--keep=0"});
    Member ann = join_v1(daemon, "/a");
    Member bob = join_v1(daemon, "/a");
    CHECK(bob.hello.epoch == ann.hello.epoch);
    send_numbered(ann.peer, 1, 3);
    expect_numbered(ann.peer, 1, 3);
    leave(daemon, ann.peer);
    Member carl = join_v1(daemon, resume_target(ann.hello, 3));
    CHECK(carl.hello.epoch == ann.hello.epoch);
    CHECK(carl.hello.recovered);
    leave(daemon, bob.peer, 2);
    leave(daemon, carl.peer, 3);
    const Hello fresh = join_v1(daemon, resume_target(ann.hello, 3)).hello;
    CHECK(fresh.epoch != ann.hello.epoch);
    CHECK(fresh.first == 1);
    CHECK(fresh.last == 0);
    CHECK_FALSE(fresh.recovered);
}

TEST_CASE("a room with retained messages keeps its numbers") {
    Daemon daemon({"--rooms"});
    Member ann = join_v1(daemon, "/a");
    send_numbered(ann.peer, 1, 3);
    expect_numbered(ann.peer, 1, 3);
    leave(daemon, ann.peer);
    Member again = join_v1(daemon, resume_target(ann.hello, 1));
    CHECK(again.hello.recovered);
    CHECK(again.hello.epoch == ann.hello.epoch);
    CHECK(again.hello.clients == 1);
    expect_numbered(again.peer, 2, 3);
}

TEST_CASE("a room exists while its last client's connection is open") {
    Daemon daemon({"--rooms", "--keep=0"});
    Member ann = join_v1(daemon, "/a");
    ann.peer.send(close_frame(1000));
    ann.peer.expect_closed(1000);
    Member bob = join_v1(daemon, "/a");
    CHECK(bob.hello.epoch == ann.hello.epoch);
    CHECK(bob.hello.clients == 1);
    ann.peer.close_socket();
    bob.peer.sync();
    expect_nothing_else(bob.peer);
    CHECK(join_v1(daemon, "/a").hello.epoch == ann.hello.epoch);
}

TEST_CASE(
    "a client that joins while the last one leaves gets consistent numbers") {
    Daemon daemon({"--rooms", "--keep=0"});
    Member last = join_v1(daemon, "/a");
    uint64_t sent = 0;
    for (int i = 0; i < 100; ++i) {
        last.peer.send_message("[1]");
        last.peer.expect_message("[1]");
        ++sent;
        last.peer.close_socket();
        Member member = join_v1(daemon, "/a");
        if (member.hello.epoch != last.hello.epoch) sent = 0;
        CHECK(member.hello.last == sent);
        CHECK(member.hello.first == sent + 1);
        last = std::move(member);
    }
}

TEST_CASE("empty rooms do not wake the daemon up") {
    KeyFile keys;
    Timer timer;
    Daemon daemon({"--rooms", timed("--ping-interval", 0.1),
                   timed("--close-timeout", 0.1), keys.option()});
    for (const char* room : {"/a", "/b", "/c"})
        publish(Peer(daemon), post("[1]", room));
    Peer ann = join_room(daemon, "/a");
    leave(daemon, ann);
    timer.wait();
    const long before = count_sleeps(daemon.pid());
    timer.wait();
    CHECK(count_sleeps(daemon.pid()) == before);
}

TEST_CASE("the log names rooms, but no queries and no keys") {
    KeyFile keys;
    Daemon daemon({"-v", "--rooms", keys.option()});
    Peer ann = join_room(daemon, "/a?token=secret");
    Peer bob = join_v1(daemon, "/caf%C3%A9?epoch=secret&since=1").peer;
    publish(Peer(daemon), post("[1]", "/a?secret", "X-Token: secret\r\n"));
    ann.expect_message("[1]");
    expect_refused(daemon, post("[1]", "/../a?secret"), 400);
    expect_refused(daemon,
                   post_with("Authorization: Bearer secretsecretsecret\r\n"
                             "Content-Length: 3\r\n",
                             "[1]", "/a?secret"),
                   401);
    ann.send(close_frame(1000));
    ann.expect_closed(1000);
    daemon.wait_for_log("127.0.0.1 joined (1 client) in /a\n");
    daemon.wait_for_log("127.0.0.1 joined (2 clients) in /caf\xc3\xa9\n");
    daemon.wait_for_log("127.0.0.1 left: closed with 1000 (1 client) in /a\n");
    daemon.wait_for_log(" refused: 401 ");
    daemon.wait_for_log(" POST /a 200\n");
    CHECK(count(daemon.log(), "secret") == 0);
    CHECK(count(daemon.log(), KeyFile::kKey) == 0);
}

TEST_CASE("without --rooms the log names no room") {
    Daemon daemon;
    Peer ann = join(daemon);
    ann.send(close_frame(1000));
    ann.expect_closed(1000);
    daemon.wait_for_log("127.0.0.1 joined (1 client)\n");
    daemon.wait_for_log("127.0.0.1 left: closed with 1000 (0 clients)\n");
}
