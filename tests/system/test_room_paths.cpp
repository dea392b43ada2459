// Rooms: which path names which, who hears what in them, how many there are,
// and when one ends.
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

// The number that a message gets which is published there.
uint64_t number_in(const Daemon& daemon, const std::string& room,
                   std::string_view message = "[1]", Where at = {}) {
    return publish(Peer(daemon, at), post(message, room), at).number;
}

// Hangs up and waits until that is known, the rooms that follow from it too.
void leave(Daemon& daemon, Peer& peer, size_t times = 1, Where at = {}) {
    peer.hang_up();
    daemon.wait_log(" left: ", times, at);
}

}  // namespace

TEST_CASE("a message in one room is heard in no other") {
    Daemon daemon({"--rooms"});
    const std::vector<std::string> rooms = {"/", "/a", "/a/b", "/A", "/ab"};
    std::vector<Peer> peers;
    for (const std::string& room : rooms) {
        peers.push_back(join_room(daemon, room));
        peers.push_back(join_room(daemon, room));
    }
    for (size_t i = 0; i < rooms.size(); ++i)
        peers[2 * i].say('"' + rooms[i] + '"');
    for (size_t i = 0; i < peers.size(); ++i)
        peers[i].hears('"' + rooms[i / 2] + '"');
    for (Peer& peer : peers) peer.say("\"last\"");
    for (Peer& peer : peers) {
        peer.hears("\"last\"");
        peer.hears("\"last\"");
    }
}

TEST_CASE("who comes and goes is told to its room alone") {
    Daemon daemon({"--rooms", "--announce=address"});
    Peer ann = join_room(daemon, "/a");
    ann.hears(kConnected);
    Peer bob = join_room(daemon, "/b");
    bob.hears(kConnected);
    Peer carl = join_room(daemon, "/b");
    bob.hears(kConnected);
    carl.hang_up();
    bob.hears(kDisconnected);
    hears_no_more(ann);
    hears_no_more(bob);
}

TEST_CASE("raw JSON goes to its client's room, and to / from others") {
    Daemon daemon({"--rooms"});
    Peer ann = join_room(daemon, "/");
    Peer bob = join_room(daemon, "/b");
    bob.send("{\"raw\":1}");
    bob.hears("{\"raw\":1}");
    Peer publisher(daemon);
    publisher.send("{\"raw\":2}");
    ann.hears("{\"raw\":2}");
    hears_no_more(bob);
}

TEST_CASE("without --rooms there is one room, whatever the path") {
    Daemon daemon;
    Peer ann = join(daemon);
    for (const char* target :
         {"/x", "//", "/..", "/%00", "/%2F", "/%zz", "*", "x?epoch=1"}) {
        CAPTURE(target);
        Member bob = join_v1(daemon, target);
        CHECK(bob.hello.room == "/");
        bob.peer.say("[1]");
        ann.hears("[1]");
    }
}

TEST_CASE("a room's name is the path, percent-decoded once") {
    Daemon daemon({"--rooms"});
    const auto is = [&](const std::string& target, const std::string& name) {
        CAPTURE(target);
        CHECK(join_v1(daemon, target).hello.room == name);
    };
    is("/caf%C3%A9", "/caf\xC3\xA9");
    is("/%63af%c3%a9", "/caf\xC3\xA9");
    is("/a%20b", "/a b");
    is("/a+b", "/a+b");
    is("/%2541", "/%41");
    is("/a%3Fb", "/a?b");
    is("/%23", "/#");
    is("/a?b/../c%00", "/a");
    is("/a?", "/a");
    is("/?a", "/");
    is("/...", "/...");
    is("/.a/b..", "/.a/b..");
    is("/%2e%2e%2e", "/...");
    is("/" + std::string(127, 'x'), "/" + std::string(127, 'x'));
    std::string escaped = "/", name = "/";
    for (int i = 0; i < 127; ++i) escaped += "%78", name += 'x';
    is(escaped, name);
}

TEST_CASE("a room's name is quoted wherever it is told") {
    KeyFile keys;
    Daemon daemon({"--rooms", keys.option()});
    Peer ann(daemon);
    ann.shake_hands("/%22%5C", kV1, {});
    const std::string quoted = R"("room":"/\"\\",)";
    CHECK(count(ann.next_text(), quoted) == 1);
    Peer publisher(daemon);
    publisher.send(post("[1]", "/%22%5C"));
    CHECK(count(publisher.answer().body, quoted) == 1);
    ann.hears("[1]");
}

TEST_CASE("who writes a name otherwise is in the same room") {
    Daemon daemon({"--rooms"});
    std::vector<Peer> peers;
    for (const char* target :
         {"/caf%C3%A9", "/caf%c3%a9", "/%63af%C3%a9", "/caf%C3%A9?x=1"})
        peers.push_back(join_room(daemon, target));
    Peer other = join_room(daemon, "/cafe");
    peers[0].say("[1]");
    for (Peer& peer : peers) peer.hears("[1]");
    hears_no_more(other);
}

TEST_CASE("a path that names no room is refused, whatever is asked for") {
    KeyFile keys;
    Daemon daemon({"--rooms", keys.option()});
    for (const std::string& path : std::vector<std::string>{
             "/.",         "/..",     "/a/../b",
             "/a/.",       "/%2e%2e", "/%2E",
             "/a/.%2e/b",  "//",      "/a//b",
             "/a/",        "//a",     "/%2F",
             "/a%2fb",     "/%00",    "/a%0Ab",
             "/%1f",       "/%7F",    "/%",
             "/a%4",       "/%zz",    "/%+1",
             "/%ff",       "/a%c3",   "/%C0%AF",
             "/%ED%A0%80", "*",       "a",
             "?a",         "%2Fa",    "/" + std::string(128, 'x')}) {
        CAPTURE(path);
        is_refused(daemon, handshake(path), 400);
        is_refused(daemon, post("[1]", path), 400);
        is_refused(daemon, get(path), 400);
    }
}

TEST_CASE("each room has a page, and without --rooms there is one") {
    Daemon rooms({"--rooms"});
    Daemon one;
    for (const auto& [target, status] :
         {std::pair("/", 200), std::pair("/x", 404)}) {
        Peer peer(one);
        peer.send(get(target));
        CHECK(peer.answer().status == status);
        Peer other(rooms);
        other.send(get(target));
        CHECK(other.answer().status == 200);
    }
}

TEST_CASE("numbers belong to the room, and so do epochs") {
    KeyFile keys;
    Daemon daemon({"--rooms", keys.option()});
    CHECK(number_in(daemon, "/a") == 1);
    CHECK(number_in(daemon, "/b") == 1);
    CHECK(number_in(daemon, "/a") == 2);
    const Hello a = join_v1(daemon, "/a").hello;
    const Hello b = join_v1(daemon, "/b").hello;
    CHECK(a.last == 2);
    CHECK(b.last == 1);
    CHECK(a.epoch != b.epoch);
    CHECK_FALSE(
        join_v1(daemon, "/b?epoch=" + a.epoch + "&since=1").hello.recovered);
}

TEST_CASE("over --max-rooms a room is refused until there is a place") {
    KeyFile keys;
    Daemon daemon({"--rooms", "--max-rooms=2", "--keep=0", keys.option()});
    Peer ann = join_room(daemon, "/a");
    Peer bob = join_room(daemon, "/b");
    is_refused(daemon, handshake("/c"), 503);
    is_refused(daemon, post("[1]", "/c"), 503);
    Peer publisher(daemon);
    publisher.send("{\"raw\":1}");
    CHECK(publisher.line().find("too many rooms") != std::string::npos);
    Peer carl = join_room(daemon, "/b");
    CHECK(publish(Peer(daemon), post("[1]", "/a")).clients == 1);
    leave(daemon, ann);
    Peer dora = join_room(daemon, "/c");
    is_refused(daemon, handshake("/a"), 503);
    carl.say("[2]");
    bob.hears("[2]");
    hears_no_more(dora);
}

TEST_CASE("without --rooms one room is enough for everyone") {
    Daemon daemon({"--max-rooms=1"});
    Peer ann = join_room(daemon, "/a");
    Peer bob = join_room(daemon, "/b");
    bob.say("[1]");
    ann.hears("[1]");
}

TEST_CASE("idle rooms give way to others, oldest first") {
    KeyFile keys;
    Daemon daemon({"--rooms", "--max-rooms=3", keys.option()});
    CHECK(number_in(daemon, "/a") == 1);
    CHECK(number_in(daemon, "/b") == 1);
    CHECK(number_in(daemon, "/c") == 1);
    CHECK(number_in(daemon, "/a") == 2);
    Peer dora = join_room(daemon, "/d");
    CHECK(number_in(daemon, "/c") == 2);
    CHECK(number_in(daemon, "/a") == 3);
    CHECK(number_in(daemon, "/b") == 1);
    CHECK(number_in(daemon, "/a") == 4);
    CHECK(number_in(daemon, "/c") == 1);
    Peer eve = join_room(daemon, "/e");
    Peer fred = join_room(daemon, "/f");
    is_refused(daemon, post("[1]", "/g"), 503);
}

TEST_CASE("over --keep-total idle rooms go first, oldest first") {
    KeyFile keys;
    Daemon daemon({"--rooms", "--keep-total=100K", keys.option()});
    const std::string message = json_string(30000);
    Peer ann = join_room(daemon, "/held");
    CHECK(number_in(daemon, "/held", message) == 1);
    CHECK(number_in(daemon, "/old", message) == 1);
    CHECK(number_in(daemon, "/new", message) == 1);
    CHECK(number_in(daemon, "/held", message) == 2);
    CHECK(number_in(daemon, "/new", message) == 2);
    // That was too much by one, and /old had gone before.
    CHECK(number_in(daemon, "/old", message) == 1);
}

TEST_CASE("over --keep-total a room forgets what it has kept for longest") {
    Daemon daemon({"--rooms", "--keep-total=100K"});
    Peer ann = join_room(daemon, "/a");
    const std::string message = json_string(30000);
    for (int i = 0; i < 5; ++i) ann.say(message);
    for (int i = 0; i < 5; ++i) ann.hears(message);
    const Hello now = join_v1(daemon, "/a").hello;
    CHECK(join_v1(daemon, since(now, 2)).hello.recovered);
    CHECK_FALSE(join_v1(daemon, since(now, 1)).hello.recovered);
}

TEST_CASE("a room with nothing kept ends with its last client") {
    Daemon daemon({"--rooms", "--keep=0"});
    Member ann = join_v1(daemon, "/a");
    Member bob = join_v1(daemon, "/a");
    CHECK(bob.hello.epoch == ann.hello.epoch);
    say_numbered(ann.peer, 1, 3);
    hears_numbered(ann.peer, 1, 3);
    leave(daemon, ann.peer);
    Member carl = join_v1(daemon, since(ann.hello, 3));
    CHECK(carl.hello.epoch == ann.hello.epoch);
    CHECK(carl.hello.recovered);
    leave(daemon, bob.peer, 2);
    leave(daemon, carl.peer, 3);
    const Hello anew = join_v1(daemon, since(ann.hello, 3)).hello;
    CHECK(anew.epoch != ann.hello.epoch);
    CHECK(anew.first == 1);
    CHECK(anew.last == 0);
    CHECK_FALSE(anew.recovered);
}

TEST_CASE("a room with something kept stays, its numbers too") {
    Daemon daemon({"--rooms"});
    Member ann = join_v1(daemon, "/a");
    say_numbered(ann.peer, 1, 3);
    hears_numbered(ann.peer, 1, 3);
    leave(daemon, ann.peer);
    Member again = join_v1(daemon, since(ann.hello, 1));
    CHECK(again.hello.recovered);
    CHECK(again.hello.epoch == ann.hello.epoch);
    CHECK(again.hello.clients == 1);
    hears_numbered(again.peer, 2, 3);
}

TEST_CASE("a room stays while the last to leave it is still connected") {
    Daemon daemon({"--rooms", "--keep=0"});
    Member ann = join_v1(daemon, "/a");
    ann.peer.send(close_frame(1000));
    ann.peer.is_closed(1000);
    Member bob = join_v1(daemon, "/a");
    CHECK(bob.hello.epoch == ann.hello.epoch);
    CHECK(bob.hello.clients == 1);
    ann.peer.hang_up();
    bob.peer.sync();
    hears_no_more(bob.peer);
    CHECK(join_v1(daemon, "/a").hello.epoch == ann.hello.epoch);
}

TEST_CASE("who joins a room that is ending finds that one or a new one") {
    Daemon daemon({"--rooms", "--keep=0"});
    Member last = join_v1(daemon, "/a");
    uint64_t said = 0;
    for (int i = 0; i < 100; ++i) {
        last.peer.say("[1]");
        last.peer.hears("[1]");
        ++said;
        last.peer.hang_up();
        Member member = join_v1(daemon, "/a");
        if (member.hello.epoch != last.hello.epoch) said = 0;
        CHECK(member.hello.last == said);
        CHECK(member.hello.first == said + 1);
        last = std::move(member);
    }
}

TEST_CASE("rooms that nobody is in wake nobody") {
    KeyFile keys;
    Ticker clock;
    Daemon daemon({"--rooms", timed("--ping-interval", 0.1),
                   timed("--close-timeout", 0.1), keys.option()});
    for (const char* room : {"/a", "/b", "/c"})
        publish(Peer(daemon), post("[1]", room));
    Peer ann = join_room(daemon, "/a");
    leave(daemon, ann);
    clock.tick();
    const long before = sleeps(daemon.pid());
    clock.tick();
    CHECK(sleeps(daemon.pid()) == before);
}

TEST_CASE("the log names rooms, and never queries or keys") {
    KeyFile keys;
    Daemon daemon({"-v", "--rooms", keys.option()});
    Peer ann = join_room(daemon, "/a?token=secret");
    Peer bob = join_v1(daemon, "/caf%C3%A9?epoch=secret&since=1").peer;
    publish(Peer(daemon), post("[1]", "/a?secret", "X-Token: secret\r\n"));
    ann.hears("[1]");
    is_refused(daemon, post("[1]", "/../secret?secret"), 400);
    is_refused(daemon,
               post_with("Authorization: Bearer secretsecretsecret\r\n"
                         "Content-Length: 3\r\n",
                         "[1]", "/a?secret"),
               401);
    ann.send(close_frame(1000));
    ann.is_closed(1000);
    daemon.wait_log("127.0.0.1 joined (1 client) in /a\n");
    daemon.wait_log("127.0.0.1 joined (2 clients) in /caf\\xc3\\xa9\n");
    daemon.wait_log("127.0.0.1 left: closed with 1000 (1 client) in /a\n");
    daemon.wait_log(" refused: 401 ");
    CHECK(count(daemon.log(), "secret") == 0);
    CHECK(count(daemon.log(), KeyFile::kKey) == 0);
}

TEST_CASE("without --rooms the log names none") {
    Daemon daemon;
    Peer ann = join(daemon);
    ann.send(close_frame(1000));
    ann.is_closed(1000);
    daemon.wait_log("127.0.0.1 joined (1 client)\n");
    daemon.wait_log("127.0.0.1 left: closed with 1000 (0 clients)\n");
}
