// What those get who come back, or come late: hello, numbers, resuming, the
// history.
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "daemon.h"
#include "peer.h"
#include "room_clients.h"

using namespace wschat::test;

namespace {

// Waits until all of it was published.
void chat(Peer& peer, uint64_t first, uint64_t last, Where at = {}) {
    say_numbered(peer, first, last, at);
    hears_numbered(peer, first, last, at);
}

// The peer was owed nothing more: the answer to a ping comes next.
void hears_nothing(Peer& peer, Where at = {}) {
    peer.send(ping_frame("?"), at);
    peer.hears_pong("?", at);
}

// Comes back, and hears what was missed and nothing more.
void check_recovers(const Daemon& daemon, const Hello& hello, uint64_t number,
                    uint64_t last, Where at = {}) {
    Member back = join_v1(daemon, since(hello, number), {}, at);
    CAPTURE(number);
    CHECK(back.hello.recovered);
    CHECK(back.hello.epoch == hello.epoch);
    CHECK(back.hello.first == number + 1);
    CHECK(back.hello.last == last);
    hears_numbered(back.peer, number + 1, last, at);
    hears_nothing(back.peer, at);
}

// Starts like any newcomer, without a history.
void check_starts_anew(const Daemon& daemon, const std::string& target,
                       uint64_t last, Where at = {}) {
    Member back = join_v1(daemon, target, {}, at);
    CAPTURE(target);
    CHECK_FALSE(back.hello.recovered);
    CHECK(back.hello.first == last + 1);
    CHECK(back.hello.last == last);
    back.peer.say("\"next\"", at);
    back.peer.hears("\"next\"", at);
}

// A message of this number and size.
std::string sized(uint64_t number, size_t size) {
    return "[" + std::to_string(number) + "," + json_string(size) + "]";
}

// Each is heard before the next one is said.
void chat_sized(Peer& peer, uint64_t first, uint64_t last, size_t size,
                Where at = {}) {
    for (uint64_t i = first; i <= last; ++i) {
        peer.say(sized(i, size), at);
        peer.hears(sized(i, size), at);
    }
}

// Comes back to have so many of the messages, and hears the others.
void check_hears_rest(const Daemon& daemon, const Hello& hello,
                      const std::vector<std::string>& messages, size_t start,
                      Where at = {}) {
    CAPTURE(start);
    Member back = join_v1(daemon, since(hello, start), {}, at);
    CHECK(back.hello.recovered);
    for (size_t i = start; i < messages.size(); ++i)
        back.peer.hears(messages[i], at);
    hears_nothing(back.peer, at);
}

// The next message, after any pings.
std::string next_but_pings(Peer& peer, Where at = {}) {
    for (;;) {
        const Frame frame = peer.next(at);
        if (frame.opcode != kPing) return frame.payload;
    }
}

// One who comes back to 16 messages of 60 KB and reads none of them yet, where
// two of that size are too much to be behind.
struct Latecomer {
    Daemon daemon{{"--max-message=64K", "--max-backlog=64K",
                   timed("--stall-timeout", 600)}};
    Member ann = join_v1(daemon);
    Peer back = come_back();

private:
    Peer come_back() {
        chat_sized(ann.peer, 1, 16, 60'000);
        Peer peer(SocketAddress::v4(daemon.port()), 4096);
        peer.shake_hands(since(ann.hello, 0), kV1, {});
        return peer;
    }
};

}  // namespace

TEST_CASE("hello comes first, before its own client is announced") {
    Daemon daemon({"--announce=address"});
    Peer ann = join(daemon);
    ann.hears(kConnected);
    Member bob = join_v1(daemon);
    CHECK(bob.hello.room == "/");
    CHECK(bob.hello.first == 2);
    CHECK(bob.hello.last == 1);
    CHECK(bob.hello.clients == 2);
    CHECK_FALSE(bob.hello.recovered);
    bob.peer.hears(kConnected);
    ann.hears(kConnected);
    hears_no_more(ann);
}

TEST_CASE("hello is for those who speak wschat.v1, among other protocols") {
    Daemon daemon;
    Peer ann(daemon);
    ann.shake_hands("/", "Sec-WebSocket-Protocol: wschat.v2, chat\r\n", {});
    hears_no_more(ann);
    Peer bob(daemon);
    bob.shake_hands("/", "Sec-WebSocket-Protocol: chat, wschat.v1\r\n", {});
    CHECK(bob.next_text().rfind("{\"type\":\"hello\",", 0) == 0);
}

TEST_CASE("all of a room's clients hear of the same epoch, no other daemon's") {
    Daemon daemon, other;
    const std::string epoch = join_v1(daemon).hello.epoch;
    CHECK(epoch.size() == 12);
    Member ann = join_v1(daemon);
    CHECK(join_v1(daemon).hello.epoch == ann.hello.epoch);
    CHECK(join_v1(other).hello.epoch != ann.hello.epoch);
}

TEST_CASE("who comes back hears what was missed, then what is new") {
    Daemon daemon;
    Member ann = join_v1(daemon);
    chat(ann.peer, 1, 10);
    std::vector<Peer> back;
    for (uint64_t number = 0; number <= 10; ++number) {
        check_recovers(daemon, ann.hello, number, 10);
        back.push_back(join_v1(daemon, since(ann.hello, number)).peer);
    }
    chat(ann.peer, 11, 12);
    for (uint64_t number = 0; number <= 10; ++number)
        hears_numbered(back[number], number + 1, 12);
}

TEST_CASE("it comes back to any message, in whichever chunk it lies") {
    Daemon daemon;
    Member ann = join_v1(daemon);
    // Chunks of 256 bytes up to 64 KiB, full to the last byte and not; and two
    // messages that have a chunk of their own.
    std::vector<std::string> messages;
    for (size_t i = 0; i < 60; ++i) messages.push_back(sized(i, 4 + 10 * i));
    messages.push_back(sized(60, 70'000));
    messages.push_back(sized(61, 80'000));
    for (size_t i = 62; i < 90; ++i) messages.push_back(sized(i, 4000));
    for (const std::string& message : messages) ann.peer.say(message);
    for (const std::string& message : messages) ann.peer.hears(message);
    for (size_t start = 0; start <= messages.size(); ++start)
        check_hears_rest(daemon, ann.hello, messages, start);
}

TEST_CASE("it comes back to where a chunk is full to its last byte") {
    Daemon daemon;
    Member ann = join_v1(daemon);
    // Frames of 64 bytes: 4 in the first chunk, 8 in the next, and so on.
    std::vector<std::string> messages;
    for (uint64_t i = 100; i < 352; ++i) messages.push_back(sized(i, 56));
    for (const std::string& message : messages) {
        REQUIRE(message.size() == 62);
        ann.peer.say(message);
        ann.peer.hears(message);
    }
    for (size_t start : std::vector<size_t>{3, 4, 5, 11, 12, 13, 27, 28, 29, 59,
                                            60, 61, 124, 251, 252})
        check_hears_rest(daemon, ann.hello, messages, start);
}

TEST_CASE("what is kept no longer can't be recovered, nor what is to come") {
    Daemon daemon({"--keep=5"});
    Member ann = join_v1(daemon);
    chat(ann.peer, 1, 8);
    check_recovers(daemon, ann.hello, 3, 8);
    check_recovers(daemon, ann.hello, 4, 8);
    check_recovers(daemon, ann.hello, 7, 8);
    check_recovers(daemon, ann.hello, 8, 8);
    uint64_t last = 8;
    for (uint64_t number : {2U, 1U, 0U})
        check_starts_anew(daemon, since(ann.hello, number), last++);
    for (uint64_t number : {12U, 13U, 1'000'000U})
        check_starts_anew(daemon, since(ann.hello, number), last++);
}

TEST_CASE("who does not say where it was starts anew") {
    Daemon daemon;
    Member ann = join_v1(daemon);
    chat(ann.peer, 1, 3);
    const std::string epoch = "epoch=" + ann.hello.epoch;
    uint64_t last = 3;
    for (const std::string& query : std::vector<std::string>{
             "",
             "?",
             "?" + epoch,
             "?since=1",
             "?epoch=&since=1",
             "?epoch=0123456789ab&since=1",
             "?" + epoch + "0&since=1",
             "?EPOCH=" + ann.hello.epoch + "&since=1",
             "?" + epoch + "&since=",
             "?" + epoch + "&since",
             "?" + epoch + "&since=x",
             "?" + epoch + "&since=-1",
             "?" + epoch + "&since=+1",
             "?" + epoch + "&since=1.0",
             "?" + epoch + "&since=0x1",
             "?" + epoch + "&since=%31",
             "?" + epoch + "&since=1x",
             "?" + epoch + "&since=18446744073709551615",
             "?" + epoch + "&since=18446744073709551617",
             "?" + epoch + "&since=" + std::string(1000, '9'),
             "?" + epoch + "?since=1",
             "?" + epoch + ";since=1"})
        check_starts_anew(daemon, "/" + query, last++);
}

TEST_CASE("where it was stands anywhere in the query") {
    Daemon daemon;
    Member ann = join_v1(daemon);
    chat(ann.peer, 1, 3);
    for (const std::string& query :
         {"x=1&since=2&y&epoch=" + ann.hello.epoch + "&z=%00",
          "&&since=2&epoch=" + ann.hello.epoch}) {
        Member back = join_v1(daemon, "/?" + query);
        CHECK(back.hello.recovered);
        hears_numbered(back.peer, 3, 3);
        hears_nothing(back.peer);
    }
}

TEST_CASE("nobody comes back without the subprotocol") {
    Daemon daemon;
    Member ann = join_v1(daemon);
    chat(ann.peer, 1, 3);
    Peer bob = join_room(daemon, since(ann.hello, 1));
    hears_no_more(bob);
}

TEST_CASE("a daemon that was started anew recovers nobody") {
    Hello before;
    {
        Daemon daemon;
        Member ann = join_v1(daemon);
        chat(ann.peer, 1, 3);
        before = ann.hello;
    }
    Daemon daemon;
    Member ann = join_v1(daemon, since(before, 0));
    CHECK_FALSE(ann.hello.recovered);
    chat(ann.peer, 1, 3);
    check_starts_anew(daemon, since(before, 2), 3);
}

TEST_CASE("after its time nothing is kept") {
    Ticker clock;
    Daemon daemon({"--keep=10,0.2", "--rooms"});
    Member ann = join_v1(daemon, "/a");
    Member bob = join_v1(daemon, "/b");
    chat(ann.peer, 1, 3);
    chat(bob.peer, 1, 3);
    ann.peer.hang_up();
    clock.tick();
    CHECK_FALSE(join_v1(daemon, since(bob.hello, 2)).hello.recovered);
    check_recovers(daemon, bob.hello, 3, 3);
    CHECK(join_v1(daemon, "/b").hello.epoch == bob.hello.epoch);
    CHECK(join_v1(daemon, "/a").hello.epoch != ann.hello.epoch);
}

TEST_CASE("with --keep=0 nothing is kept, and nothing missed at the end") {
    Daemon daemon({"--keep=0", "--history=5"});
    Member ann = join_v1(daemon);
    chat(ann.peer, 1, 3);
    check_recovers(daemon, ann.hello, 3, 3);
    check_starts_anew(daemon, since(ann.hello, 2), 3);
    Peer bob = join(daemon);
    hears_no_more(bob);
}

TEST_CASE("at most 1 MiB of a room is kept") {
    Daemon daemon;
    Member ann = join_v1(daemon);
    const std::string message = json_string(100'000);
    for (int i = 0; i < 15; ++i) {
        ann.peer.say(message);
        ann.peer.hears(message);
    }
    CHECK(join_v1(daemon, since(ann.hello, 5)).hello.recovered);
    CHECK_FALSE(join_v1(daemon, since(ann.hello, 4)).hello.recovered);
    // One that is larger is not kept at all, and nothing before it.
    ann.peer.say(json_string(1 << 20));
    ann.peer.hears(json_string(1 << 20));
    CHECK(join_v1(daemon, since(ann.hello, 16)).hello.recovered);
    CHECK_FALSE(join_v1(daemon, since(ann.hello, 15)).hello.recovered);
    chat(ann.peer, 17, 18);
    check_recovers(daemon, ann.hello, 16, 18);
}

TEST_CASE("newcomers get the history, with the subprotocol and without") {
    Daemon daemon({"--history=3", "--announce=address"});
    Peer ann = join(daemon);
    ann.hears(kConnected);
    chat(ann, 2, 10);
    Peer bob = join(daemon);
    hears_numbered(bob, 8, 10);
    bob.hears(kConnected);
    ann.hears(kConnected);
    chat(ann, 12, 12);
    bob.hears(numbered(12));
    Member carl = join_v1(daemon);
    CHECK(carl.hello.first == 10);
    CHECK(carl.hello.last == 12);
    CHECK_FALSE(carl.hello.recovered);
    carl.peer.hears(numbered(10));
    carl.peer.hears(kConnected);
    carl.peer.hears(numbered(12));
    carl.peer.hears(kConnected);
    hears_no_more(carl.peer);
}

TEST_CASE("the history is no longer than what is kept") {
    Daemon daemon({"--history=10", "--keep=4"});
    Member ann = join_v1(daemon);
    CHECK(ann.hello.first == 1);
    chat(ann.peer, 1, 2);
    Member bob = join_v1(daemon);
    CHECK(bob.hello.first == 1);
    hears_numbered(bob.peer, 1, 2);
    chat(ann.peer, 3, 9);
    hears_numbered(bob.peer, 3, 9);
    Member carl = join_v1(daemon);
    CHECK(carl.hello.first == 6);
    hears_numbered(carl.peer, 6, 9);
    hears_no_more(carl.peer);
}

TEST_CASE("who recovers gets what it misses and no history") {
    Daemon daemon({"--history=3"});
    Member ann = join_v1(daemon);
    chat(ann.peer, 1, 10);
    check_recovers(daemon, ann.hello, 9, 10);
    check_recovers(daemon, ann.hello, 10, 10);
    check_recovers(daemon, ann.hello, 2, 10);
    Member anew = join_v1(daemon, since(ann.hello, 11));
    CHECK_FALSE(anew.hello.recovered);
    CHECK(anew.hello.first == 8);
    hears_numbered(anew.peer, 8, 10);
}

TEST_CASE("the history and what was missed come to who takes deflated") {
    Daemon daemon({"--history=3"});
    Member ann = join_v1(daemon, "/", kDeflate);
    const auto said = [](uint64_t i) { return sized(i, 300); };
    for (uint64_t i = 1; i <= 10; ++i) ann.peer.say(said(i));
    for (uint64_t i = 1; i <= 10; ++i) CHECK(ann.peer.next().deflated);
    Peer bob = join_deflating(daemon);
    for (uint64_t i = 8; i <= 10; ++i) bob.hears(said(i));
    Member carl = join_v1(daemon, since(ann.hello, 5), kDeflate);
    CHECK(carl.hello.recovered);
    for (uint64_t i = 6; i <= 10; ++i) carl.peer.hears(said(i));
    for (Peer* peer : {&ann.peer, &bob, &carl.peer}) hears_nothing(*peer);
    ann.peer.say(said(11));
    for (Peer* peer : {&ann.peer, &bob, &carl.peer}) {
        const Frame frame = peer->next();
        CHECK(frame.payload == said(11));
        CHECK(frame.deflated);
    }
}

TEST_CASE("what is for one client alone has no number, nor have pings") {
    Daemon daemon({timed("--ping-interval", 0.7)});
    Member ann = join_v1(daemon);
    ann.peer.say("nonsense");
    ann.peer.say(R"({"type":"ping"})");
    ann.peer.say("null");
    say_numbered(ann.peer, 1, 1);
    CHECK(count(next_but_pings(ann.peer), R"("type":"error")") == 1);
    CHECK(next_but_pings(ann.peer) == R"({"type":"pong"})");
    CHECK(next_but_pings(ann.peer) == numbered(1));
    while (ann.peer.next().opcode != kPing) continue;
    say_numbered(ann.peer, 2, 3);
    CHECK(next_but_pings(ann.peer) == numbered(2));
    CHECK(next_but_pings(ann.peer) == numbered(3));
    Member back = join_v1(daemon, since(ann.hello, 0));
    CHECK(back.hello.last == 3);
    for (uint64_t i = 1; i <= 3; ++i)
        CHECK(next_but_pings(back.peer) == numbered(i));
}

TEST_CASE("who joins in the middle of a burst misses nothing from there") {
    for (const char* more : {"", kDeflate}) {
        Daemon daemon({"--history=20"});
        Member ann = join_v1(daemon);
        std::vector<Member> members;
        for (uint64_t first = 1; first <= 1000; first += 50) {
            say_numbered(ann.peer, first, first + 49);
            const uint64_t missed = first % 200;
            const std::string target =
                first > 400 ? since(ann.hello, missed) : "/";
            members.push_back(join_v1(daemon, target, more));
        }
        for (Member& member : members) {
            CHECK(member.hello.first <= member.hello.last + 1);
            hears_numbered(member.peer, member.hello.first, 1000);
            hears_nothing(member.peer);
        }
    }
}

TEST_CASE("what a client missed does not count as its backlog") {
    Latecomer late;
    for (uint64_t i = 17; i <= 20; ++i) chat(late.ann.peer, i, i);
    CHECK(count(late.back.next_text(), "\"recovered\":true") == 1);
    for (uint64_t i = 1; i <= 16; ++i) late.back.hears(sized(i, 60'000));
    hears_numbered(late.back, 17, 20);
    CHECK(count(late.daemon.log(), " dropped: ") == 0);
}

TEST_CASE("what comes after a client joined does count, wherever it began") {
    Latecomer late;
    chat_sized(late.ann.peer, 17, 80, 60'000);
    late.daemon.wait_log(" dropped: ");
    late.back.is_gone();
}
