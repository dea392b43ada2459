// The hello, message numbers, resuming and the history.
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "daemon.h"
#include "peer.h"
#include "room_clients.h"

using namespace wschat::test;

namespace {

// Sends numbered messages and waits for them.
void exchange_numbered(Peer& peer, uint64_t first, uint64_t last,
                       SourceLine at = {}) {
    send_numbered(peer, first, last, at);
    expect_numbered(peer, first, last, at);
}

// Checks that the peer has no unsent messages: the answer to a ping comes next.
void expect_nothing_before_pong(Peer& peer, SourceLine at = {}) {
    peer.send(ping_frame("?"), at);
    peer.expect_pong("?", at);
}

// Resumes after message `number`. Expects the messages up to `last`, and no
// more.
void check_recovers(const Daemon& daemon, const Hello& hello, uint64_t number,
                    uint64_t last, SourceLine at = {}) {
    Member resumed = join_v1(daemon, resume_target(hello, number), {}, at);
    CAPTURE(number);
    CHECK(resumed.hello.recovered);
    CHECK(resumed.hello.epoch == hello.epoch);
    CHECK(resumed.hello.first == number + 1);
    CHECK(resumed.hello.last == last);
    expect_numbered(resumed.peer, number + 1, last, at);
    expect_nothing_before_pong(resumed.peer, at);
}

// Joins, and checks that it starts like a new client, without a history.
void check_starts_as_new(const Daemon& daemon, const std::string& target,
                         uint64_t last, SourceLine at = {}) {
    Member resumed = join_v1(daemon, target, {}, at);
    CAPTURE(target);
    CHECK_FALSE(resumed.hello.recovered);
    CHECK(resumed.hello.first == last + 1);
    CHECK(resumed.hello.last == last);
    resumed.peer.send_message("\"next\"", at);
    resumed.peer.expect_message("\"next\"", at);
}

// Returns a message of this number and size.
std::string sized(uint64_t number, size_t size) {
    return "[" + std::to_string(number) + "," + json_string(size) + "]";
}

// Sends messages. Each one is received before the next is sent.
void exchange_sized(Peer& peer, uint64_t first, uint64_t last, size_t size,
                    SourceLine at = {}) {
    for (uint64_t i = first; i <= last; ++i) {
        peer.send_message(sized(i, size), at);
        peer.expect_message(sized(i, size), at);
    }
}

// Resumes after the first `start` messages. Expects the others.
void check_receives_rest(const Daemon& daemon, const Hello& hello,
                         const std::vector<std::string>& messages, size_t start,
                         SourceLine at = {}) {
    CAPTURE(start);
    Member resumed = join_v1(daemon, resume_target(hello, start), {}, at);
    CHECK(resumed.hello.recovered);
    for (size_t i = start; i < messages.size(); ++i)
        resumed.peer.expect_message(messages[i], at);
    expect_nothing_before_pong(resumed.peer, at);
}

// Returns the next message, and skips pings.
std::string next_except_pings(Peer& peer, SourceLine at = {}) {
    for (;;) {
        const Frame frame = peer.next_frame(at);
        if (frame.opcode != kPing) return frame.payload;
    }
}

// A client that resumes, has missed 16 messages of 60 KB and reads none of them
// yet. Two messages of that size are more than --max-backlog.
struct ResumingClient {
    Daemon daemon{{"--max-message=256K", "--max-backlog=256K",
                   timed("--stall-timeout", 600)}};
    Member ann = join_v1(daemon);
    Peer peer = resume();

private:
    Peer resume() {
        exchange_sized(ann.peer, 1, 16, 60'000);
        Peer resumed(SocketAddress::v4(daemon.port()), 4096);
        resumed.do_handshake(resume_target(ann.hello, 0), kV1, {});
        return resumed;
    }
};

}  // namespace

TEST_CASE("a hello comes before the client's own join is announced") {
    Daemon daemon({"--announce=address"});
    Peer ann = join(daemon);
    ann.expect_message(kConnected);
    Member bob = join_v1(daemon);
    CHECK(bob.hello.room == "/");
    CHECK(bob.hello.first == 2);
    CHECK(bob.hello.last == 1);
    CHECK(bob.hello.clients == 2);
    CHECK_FALSE(bob.hello.recovered);
    bob.peer.expect_message(kConnected);
    ann.expect_message(kConnected);
    expect_nothing_else(ann);
}

TEST_CASE("only a client that offers wschat.v1 gets a hello") {
    Daemon daemon;
    Peer ann(daemon);
    ann.do_handshake("/", "Sec-WebSocket-Protocol: wschat.v2, chat\r\n", {});
    expect_nothing_else(ann);
    Peer bob(daemon);
    bob.do_handshake("/", "Sec-WebSocket-Protocol: chat, wschat.v1\r\n", {});
    CHECK(bob.next_text().rfind("{\"type\":\"hello\",", 0) == 0);
}

TEST_CASE(
    "all clients of a room get its epoch, another daemon has another one") {
    Daemon daemon, other;
    const std::string epoch = join_v1(daemon).hello.epoch;
    CHECK(epoch.size() == 12);
    Member ann = join_v1(daemon);
    CHECK(join_v1(daemon).hello.epoch == ann.hello.epoch);
    CHECK(join_v1(other).hello.epoch != ann.hello.epoch);
}

TEST_CASE("a client that resumes gets the messages it missed, then new ones") {
    Daemon daemon;
    Member ann = join_v1(daemon);
    exchange_numbered(ann.peer, 1, 10);
    std::vector<Peer> resumed;
    for (uint64_t number = 0; number <= 10; ++number) {
        check_recovers(daemon, ann.hello, number, 10);
        resumed.push_back(
            join_v1(daemon, resume_target(ann.hello, number)).peer);
    }
    exchange_numbered(ann.peer, 11, 12);
    for (uint64_t number = 0; number <= 10; ++number)
        expect_numbered(resumed[number], number + 1, 12);
}

TEST_CASE("a client may resume at any message, in any chunk of the log") {
    Daemon daemon;
    Member ann = join_v1(daemon);
    // Chunks of 256 bytes up to 64 KiB, full to the last byte and not; and two
    // messages that have a chunk of their own.
    std::vector<std::string> messages;
    for (size_t i = 0; i < 60; ++i) messages.push_back(sized(i, 4 + 10 * i));
    messages.push_back(sized(60, 70'000));
    messages.push_back(sized(61, 80'000));
    for (size_t i = 62; i < 90; ++i) messages.push_back(sized(i, 4000));
    for (const std::string& message : messages) ann.peer.send_message(message);
    for (const std::string& message : messages)
        ann.peer.expect_message(message);
    for (size_t start = 0; start <= messages.size(); ++start)
        check_receives_rest(daemon, ann.hello, messages, start);
}

TEST_CASE("a client may resume where a chunk is full to its last byte") {
    Daemon daemon;
    Member ann = join_v1(daemon);
    // Frames of 64 bytes: 4 in the first chunk, 8 in the next, and so on.
    std::vector<std::string> messages;
    for (uint64_t i = 100; i < 352; ++i) messages.push_back(sized(i, 56));
    for (const std::string& message : messages) {
        REQUIRE(message.size() == 62);
        ann.peer.send_message(message);
        ann.peer.expect_message(message);
    }
    for (size_t start : std::vector<size_t>{3, 4, 5, 11, 12, 13, 27, 28, 29, 59,
                                            60, 61, 124, 251, 252})
        check_receives_rest(daemon, ann.hello, messages, start);
}

TEST_CASE("messages no longer retained, or not yet sent, can't be recovered") {
    Daemon daemon({"--keep=5"});
    Member ann = join_v1(daemon);
    exchange_numbered(ann.peer, 1, 8);
    check_recovers(daemon, ann.hello, 3, 8);
    check_recovers(daemon, ann.hello, 4, 8);
    check_recovers(daemon, ann.hello, 7, 8);
    check_recovers(daemon, ann.hello, 8, 8);
    uint64_t last = 8;
    for (uint64_t number : {2U, 1U, 0U})
        check_starts_as_new(daemon, resume_target(ann.hello, number), last++);
    for (uint64_t number : {12U, 13U, 1'000'000U})
        check_starts_as_new(daemon, resume_target(ann.hello, number), last++);
}

TEST_CASE("a client that gives no valid position does not resume") {
    Daemon daemon;
    Member ann = join_v1(daemon);
    exchange_numbered(ann.peer, 1, 3);
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
        check_starts_as_new(daemon, "/" + query, last++);
}

TEST_CASE("the position may be anywhere in the query") {
    Daemon daemon;
    Member ann = join_v1(daemon);
    exchange_numbered(ann.peer, 1, 3);
    for (const std::string& query :
         {"x=1&since=2&y&epoch=" + ann.hello.epoch + "&z=%00",
          "&&since=2&epoch=" + ann.hello.epoch}) {
        Member resumed = join_v1(daemon, "/?" + query);
        CHECK(resumed.hello.recovered);
        expect_numbered(resumed.peer, 3, 3);
        expect_nothing_before_pong(resumed.peer);
    }
}

TEST_CASE("a client without the subprotocol does not resume") {
    Daemon daemon;
    Member ann = join_v1(daemon);
    exchange_numbered(ann.peer, 1, 3);
    Peer bob = join_room(daemon, resume_target(ann.hello, 1));
    expect_nothing_else(bob);
}

TEST_CASE("a client of an earlier daemon process does not resume") {
    Hello before;
    {
        Daemon daemon;
        Member ann = join_v1(daemon);
        exchange_numbered(ann.peer, 1, 3);
        before = ann.hello;
    }
    Daemon daemon;
    Member ann = join_v1(daemon, resume_target(before, 0));
    CHECK_FALSE(ann.hello.recovered);
    exchange_numbered(ann.peer, 1, 3);
    check_starts_as_new(daemon, resume_target(before, 2), 3);
}

TEST_CASE("no message is retained after its retention time") {
    Timer timer;
    Daemon daemon({"--keep=10,0.2", "--rooms"});
    Member ann = join_v1(daemon, "/a");
    Member bob = join_v1(daemon, "/b");
    exchange_numbered(ann.peer, 1, 3);
    exchange_numbered(bob.peer, 1, 3);
    ann.peer.close_socket();
    timer.wait();
    CHECK_FALSE(join_v1(daemon, resume_target(bob.hello, 2)).hello.recovered);
    check_recovers(daemon, bob.hello, 3, 3);
    CHECK(join_v1(daemon, "/b").hello.epoch == bob.hello.epoch);
    CHECK(join_v1(daemon, "/a").hello.epoch != ann.hello.epoch);
}

TEST_CASE("with --keep=0 only a client that missed nothing recovers") {
    Daemon daemon({"--keep=0"});
    Member ann = join_v1(daemon);
    exchange_numbered(ann.peer, 1, 3);
    check_recovers(daemon, ann.hello, 3, 3);
    check_starts_as_new(daemon, resume_target(ann.hello, 2), 3);
    Peer bob = join(daemon);
    expect_nothing_else(bob);
}

TEST_CASE("a room retains at most four times --max-message") {
    Daemon daemon({"--max-message=256K"});
    Member ann = join_v1(daemon);
    const std::string message = json_string(100'000);
    for (int i = 0; i < 15; ++i) {
        ann.peer.send_message(message);
        ann.peer.expect_message(message);
    }
    CHECK(join_v1(daemon, resume_target(ann.hello, 5)).hello.recovered);
    CHECK_FALSE(join_v1(daemon, resume_target(ann.hello, 4)).hello.recovered);
}

TEST_CASE("new clients get the history, with the subprotocol and without") {
    Daemon daemon({"--history=3", "--announce=address"});
    Peer ann = join(daemon);
    ann.expect_message(kConnected);
    exchange_numbered(ann, 2, 10);
    Peer bob = join(daemon);
    expect_numbered(bob, 8, 10);
    bob.expect_message(kConnected);
    ann.expect_message(kConnected);
    exchange_numbered(ann, 12, 12);
    bob.expect_message(numbered_message(12));
    Member carl = join_v1(daemon);
    // That bob has joined, number 11, does not count.
    CHECK(carl.hello.first == 9);
    CHECK(carl.hello.last == 12);
    CHECK_FALSE(carl.hello.recovered);
    expect_numbered(carl.peer, 9, 10);
    carl.peer.expect_message(kConnected);
    carl.peer.expect_message(numbered_message(12));
    carl.peer.expect_message(kConnected);
    expect_nothing_else(carl.peer);
}

TEST_CASE("the history is at most the retained messages") {
    Daemon daemon({"--history=4", "--keep=4"});
    Member ann = join_v1(daemon);
    CHECK(ann.hello.first == 1);
    exchange_numbered(ann.peer, 1, 2);
    Member bob = join_v1(daemon);
    CHECK(bob.hello.first == 1);
    expect_numbered(bob.peer, 1, 2);
    exchange_numbered(ann.peer, 3, 9);
    expect_numbered(bob.peer, 3, 9);
    Member carl = join_v1(daemon);
    CHECK(carl.hello.first == 6);
    expect_numbered(carl.peer, 6, 9);
    expect_nothing_else(carl.peer);
}

TEST_CASE("a client that recovers gets the missed messages and no history") {
    Daemon daemon({"--history=3"});
    Member ann = join_v1(daemon);
    exchange_numbered(ann.peer, 1, 10);
    check_recovers(daemon, ann.hello, 9, 10);
    check_recovers(daemon, ann.hello, 10, 10);
    check_recovers(daemon, ann.hello, 2, 10);
    Member fresh = join_v1(daemon, resume_target(ann.hello, 11));
    CHECK_FALSE(fresh.hello.recovered);
    CHECK(fresh.hello.first == 8);
    expect_numbered(fresh.peer, 8, 10);
}

TEST_CASE("a deflating client gets the history and its missed messages") {
    Daemon daemon({"--history=3"});
    Member ann = join_v1(daemon, "/", kDeflate);
    const auto message = [](uint64_t i) { return sized(i, 300); };
    for (uint64_t i = 1; i <= 10; ++i) ann.peer.send_message(message(i));
    for (uint64_t i = 1; i <= 10; ++i) CHECK(ann.peer.next_frame().deflated);
    Peer bob = join_with_deflate(daemon);
    for (uint64_t i = 8; i <= 10; ++i) bob.expect_message(message(i));
    Member carl = join_v1(daemon, resume_target(ann.hello, 5), kDeflate);
    CHECK(carl.hello.recovered);
    for (uint64_t i = 6; i <= 10; ++i) carl.peer.expect_message(message(i));
    for (Peer* peer : {&ann.peer, &bob, &carl.peer})
        expect_nothing_before_pong(*peer);
    ann.peer.send_message(message(11));
    for (Peer* peer : {&ann.peer, &bob, &carl.peer}) {
        const Frame frame = peer->next_frame();
        CHECK(frame.payload == message(11));
        CHECK(frame.deflated);
    }
}

TEST_CASE("messages for one client and pings have no number") {
    Daemon daemon({timed("--ping-interval", 0.7)});
    Member ann = join_v1(daemon);
    ann.peer.send_message("nonsense");
    ann.peer.send_message(R"({"type":"ping"})");
    ann.peer.send_message("null");
    send_numbered(ann.peer, 1, 1);
    CHECK(count(next_except_pings(ann.peer), R"("type":"error")") == 1);
    CHECK(next_except_pings(ann.peer) == R"({"type":"pong"})");
    CHECK(next_except_pings(ann.peer) == numbered_message(1));
    while (ann.peer.next_frame().opcode != kPing) continue;
    send_numbered(ann.peer, 2, 3);
    CHECK(next_except_pings(ann.peer) == numbered_message(2));
    CHECK(next_except_pings(ann.peer) == numbered_message(3));
    Member resumed = join_v1(daemon, resume_target(ann.hello, 0));
    CHECK(resumed.hello.last == 3);
    for (uint64_t i = 1; i <= 3; ++i)
        CHECK(next_except_pings(resumed.peer) == numbered_message(i));
}

TEST_CASE("a client that joins between many messages gets all later ones") {
    for (const char* more : {"", kDeflate}) {
        Daemon daemon({"--history=20"});
        Member ann = join_v1(daemon);
        std::vector<Member> members;
        for (uint64_t first = 1; first <= 1000; first += 50) {
            send_numbered(ann.peer, first, first + 49);
            const uint64_t missed = first % 200;
            const std::string target =
                first > 400 ? resume_target(ann.hello, missed) : "/";
            members.push_back(join_v1(daemon, target, more));
        }
        for (Member& member : members) {
            CHECK(member.hello.first <= member.hello.last + 1);
            expect_numbered(member.peer, member.hello.first, 1000);
            expect_nothing_before_pong(member.peer);
        }
    }
}

TEST_CASE("the messages that a client missed do not count as its backlog") {
    ResumingClient late;
    for (uint64_t i = 17; i <= 20; ++i) exchange_numbered(late.ann.peer, i, i);
    CHECK(count(late.peer.next_text(), "\"recovered\":true") == 1);
    for (uint64_t i = 1; i <= 16; ++i)
        late.peer.expect_message(sized(i, 60'000));
    expect_numbered(late.peer, 17, 20);
    CHECK(count(late.daemon.log(), " dropped: ") == 0);
}

TEST_CASE("messages after a resumed client's join count as its backlog") {
    ResumingClient late;
    exchange_sized(late.ann.peer, 17, 80, 60'000);
    late.daemon.wait_for_log(" dropped: ");
    late.peer.expect_gone();
}
