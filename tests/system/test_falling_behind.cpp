// Clients that do not read: their backlog is limited in bytes and in time, and
// they do not delay others.
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "daemon.h"
#include "peer.h"
#include "proc.h"

using namespace wschat::test;

namespace {

// Joins as a client with a small receive buffer, which does not read.
Peer join_stalled(const Daemon& daemon, SourceLine at = {}) {
    return join(SocketAddress::v4(daemon.port()), 4096, at);
}

std::string sized_message(int number, size_t size) {
    return "[" + std::to_string(number) + "," + json_string(size) + "]";
}

// Sends messages. All peers receive each one before the next is sent.
void exchange_messages(std::vector<Peer>& peers, int messages, size_t size,
                       SourceLine at = {}) {
    for (int i = 0; i < messages; ++i) {
        const std::string message = sized_message(i, size);
        peers[static_cast<size_t>(i) % peers.size()].send_message(message, at);
        for (Peer& peer : peers) peer.expect_message(message, at);
    }
}

// Sends the same bytes again and again until the connection breaks.
void flood(Peer& peer, const std::string& part) {
    std::string bytes;
    for (int i = 0; i < 100; ++i) bytes += part;
    const TimeLimit deadline;
    while (!deadline.is_over() && peer.send_if_possible(bytes)) continue;
}

}  // namespace

TEST_CASE(
    "a client that reads no bytes is dropped, and 20 others miss nothing") {
    Daemon daemon({timed("--stall-timeout", 1)});
    std::vector<Peer> peers = join(daemon, 20);
    Peer stalled = join_stalled(daemon);
    exchange_messages(peers, 100, 20000);
    daemon.wait_for_log("wschat: 127.0.0.1 dropped: ");
    stalled.expect_gone();
    exchange_messages(peers, 100, 1000);
    CHECK(count(daemon.log(), " dropped: ") == 1);
}

TEST_CASE("a client that is behind by more than --max-backlog is dropped") {
    Daemon daemon({"--max-message=64K", "--max-backlog=256K",
                   timed("--stall-timeout", 600)});
    std::vector<Peer> peers = join(daemon, 20);
    Peer stalled = join_stalled(daemon);
    exchange_messages(peers, 100, 20000);
    daemon.wait_for_log("wschat: 127.0.0.1 dropped: ");
    stalled.expect_gone();
    CHECK(count(daemon.log(), " dropped: ") == 1);
}

TEST_CASE("a daemon that was stopped for a while drops no one for that") {
    ScratchDirectory scratch;
    const std::string path = scratch / "chat";
    Daemon daemon({"--bind=unix:" + path, timed("--stall-timeout", 0.5)});
    Peer sender = join(SocketAddress::unix_socket(path));
    Peer reader = join(SocketAddress::unix_socket(path));
    for (int i = 0; i < 10; ++i) {
        sender.send_message(sized_message(i, 100'000));
        sender.expect_message(sized_message(i, 100'000));
    }
    daemon.signal(SIGSTOP);
    for (int i = 0; i < 4; ++i) {
        Timer timer;
        timer.wait();
    }
    // So much that its socket has room again.
    for (int i = 0; i < 2; ++i)
        reader.expect_message(sized_message(i, 100'000));
    daemon.signal(SIGCONT);
    for (int i = 2; i < 10; ++i)
        reader.expect_message(sized_message(i, 100'000));
    CHECK(count(daemon.log(), " dropped: ") == 0);
}

TEST_CASE("the drop of a client is announced as its leave") {
    Daemon daemon(
        {"--announce=address", "--max-message=64K", "--max-backlog=256K"});
    Peer ann = join(daemon);
    ann.expect_message(kConnected);
    Peer stalled = join_stalled(daemon);
    ann.expect_message(kConnected);
    std::string received;
    for (int i = 0; i < 100; ++i) ann.send_message(sized_message(i, 20000));
    while (received.find(" disconnected") == std::string::npos)
        received = ann.next_text();
    CHECK(received == kDisconnected);
}

TEST_CASE("a message as large as --max-backlog drops no client") {
    Daemon daemon({"--max-message=1M", "--max-backlog=1M"});
    std::vector<Peer> peers = join(daemon, 3);
    for (int i = 0; i < 5; ++i) {
        peers[0].send_message(json_string(1 << 20));
        for (Peer& peer : peers) peer.expect_message(json_string(1 << 20));
    }
    CHECK(count(daemon.log(), " dropped: ") == 0);
}

TEST_CASE("messages before a client's join do not count as its backlog") {
    Daemon daemon({"--max-message=64K", "--max-backlog=64K"});
    Peer ann = join(daemon);
    for (int i = 0; i < 20; ++i) {
        ann.send_message(json_string(60000));
        ann.expect_message(json_string(60000));
    }
    Peer bob = join(daemon);
    ann.send_message("[1]");
    bob.expect_message("[1]");
}

TEST_CASE("a client that reads late but in time gets all messages") {
    Daemon daemon;
    Peer ann = join(daemon);
    Peer late = join_stalled(daemon);
    for (int i = 0; i < 150; ++i) {
        ann.send_message(sized_message(i, 20000));
        ann.expect_message(sized_message(i, 20000));
    }
    for (int i = 0; i < 150; ++i) late.expect_message(sized_message(i, 20000));
    ann.send_message("[1]");
    late.expect_message("[1]");
}

TEST_CASE("clients of very different speeds get the same messages") {
    Daemon daemon;
    Peer ann = join(daemon);
    std::vector<Peer> readers;
    for (int i = 0; i < 10; ++i) readers.push_back(join_stalled(daemon));
    std::vector<int> received(readers.size());
    for (int i = 0; i < 100; ++i) {
        ann.send_message(sized_message(i, 20000));
        ann.expect_message(sized_message(i, 20000));
        for (size_t r = 0; r < readers.size(); ++r)
            if (i % static_cast<int>(r + 1) == 0)
                readers[r].expect_message(sized_message(received[r]++, 20000));
    }
    for (size_t r = 0; r < readers.size(); ++r)
        while (received[r] < 100)
            readers[r].expect_message(sized_message(received[r]++, 20000));
}

TEST_CASE("a client that pings and never reads is dropped") {
    Daemon daemon({timed("--stall-timeout", 600)});
    Peer ann = join(daemon);
    Peer flooder = join_stalled(daemon);
    flood(flooder, ping_frame(std::string(125, 'p')));
    daemon.wait_for_log("wschat: 127.0.0.1 dropped: ");
    flooder.expect_gone();
    ann.sync();
}

TEST_CASE("a client that causes error notices and never reads is dropped") {
    Daemon daemon({timed("--stall-timeout", 600)});
    Peer ann = join(daemon);
    Peer flooder = join_stalled(daemon);
    flood(flooder, text_frame("nonsense"));
    daemon.wait_for_log("wschat: 127.0.0.1 dropped: ");
    flooder.expect_gone();
    ann.sync();
}

TEST_CASE("a raw publisher that causes notices and never reads is dropped") {
    Daemon daemon({timed("--stall-timeout", 600)});
    Peer ann = join(daemon);
    Peer flooder(SocketAddress::v4(daemon.port()), 4096);
    flood(flooder, "{nonsense}");
    flooder.expect_gone();
    ann.sync();
}

TEST_CASE("pongs are sent between whole frames of a long backlog") {
    Daemon daemon;
    Peer ann = join(daemon);
    Peer slow = join_stalled(daemon);
    for (int i = 0; i < 50; ++i) {
        ann.send_message(sized_message(i, 20000));
        ann.expect_message(sized_message(i, 20000));
        slow.send(ping_frame(std::to_string(i)));
    }
    int messages = 0, pongs = 0;
    while (messages < 50 || pongs < 50) {
        const Frame frame = slow.next_frame();
        if (frame.opcode == kPong)
            CHECK(frame.payload == std::to_string(pongs++));
        else
            CHECK(frame.payload == sized_message(messages++, 20000));
    }
}

TEST_CASE("100 clients that never read need no more memory than one") {
    Daemon daemon({"--max-backlog=4M", "-v"});  // -v: each is logged
    if (is_instrumented(daemon.pid())) return;
    Peer ann = join(daemon);
    std::vector<Peer> stalled;
    for (int i = 0; i < 100; ++i) stalled.push_back(join_stalled(daemon));
    const long before = resident_kib(daemon.pid());
    for (int i = 0; i < 300; ++i) {
        ann.send_message(sized_message(i, 20000));
        ann.expect_message(sized_message(i, 20000));
    }
    daemon.wait_for_log(" dropped: ", 100);
    CHECK(peak_resident_kib(daemon.pid()) - before < 8 * 1024);
}
