// Clients that do not read: what they are owed is bounded in bytes and time,
// and nobody else notices.
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "daemon.h"
#include "peer.h"
#include "proc.h"

using namespace wschat::test;

namespace {

// A client whose end of the connection holds little.
Peer join_stalled(const Daemon& daemon, Where at = {}) {
    return join(SocketAddress::v4(daemon.port()), 4096, at);
}

std::string numbered(int number, size_t size) {
    return "[" + std::to_string(number) + "," + json_string(size) + "]";
}

// Each message is heard by all before the next is sent.
void chat(std::vector<Peer>& peers, int messages, size_t size, Where at = {}) {
    for (int i = 0; i < messages; ++i) {
        const std::string message = numbered(i, size);
        peers[static_cast<size_t>(i) % peers.size()].say(message, at);
        for (Peer& peer : peers) peer.hears(message, at);
    }
}

// Sends the same over and over until the connection breaks.
void flood(Peer& peer, const std::string& part) {
    std::string bytes;
    for (int i = 0; i < 100; ++i) bytes += part;
    const TimeLimit deadline;
    while (!deadline.over() && peer.send_if_possible(bytes)) continue;
}

}  // namespace

TEST_CASE("who takes no bytes is dropped, and twenty others miss nothing") {
    Daemon daemon({timed("--stall-timeout", 1)});
    std::vector<Peer> peers = join(daemon, 20);
    Peer stalled = join_stalled(daemon);
    chat(peers, 100, 20000);
    daemon.wait_log("wschat: 127.0.0.1 dropped: ");
    stalled.is_gone();
    chat(peers, 100, 1000);
    CHECK(count(daemon.log(), " dropped: ") == 1);
}

TEST_CASE("who is behind by more than --max-backlog is dropped") {
    Daemon daemon({"--max-message=64K", "--max-backlog=256K",
                   timed("--stall-timeout", 600)});
    std::vector<Peer> peers = join(daemon, 20);
    Peer stalled = join_stalled(daemon);
    chat(peers, 100, 20000);
    daemon.wait_log("wschat: 127.0.0.1 dropped: ");
    stalled.is_gone();
    CHECK(count(daemon.log(), " dropped: ") == 1);
}

TEST_CASE("a dropped client is announced as gone") {
    Daemon daemon(
        {"--announce=address", "--max-message=64K", "--max-backlog=256K"});
    Peer ann = join(daemon);
    ann.hears(kConnected);
    Peer stalled = join_stalled(daemon);
    ann.hears(kConnected);
    std::string heard;
    for (int i = 0; i < 100 && heard.find(" disconnected") == std::string::npos;
         ++i) {
        ann.say(numbered(i, 20000));
        heard = ann.next_text();
    }
    CHECK(heard == kDisconnected);
}

TEST_CASE("a message as large as the backlog drops nobody") {
    Daemon daemon({"--max-message=1M", "--max-backlog=1M"});
    std::vector<Peer> peers = join(daemon, 3);
    for (int i = 0; i < 5; ++i) {
        peers[0].say(json_string(1 << 20));
        for (Peer& peer : peers) peer.hears(json_string(1 << 20));
    }
    CHECK(count(daemon.log(), " dropped: ") == 0);
}

TEST_CASE("backlog counts from the join") {
    Daemon daemon({"--max-message=64K", "--max-backlog=64K"});
    Peer ann = join(daemon);
    for (int i = 0; i < 20; ++i) {
        ann.say(json_string(60000));
        ann.hears(json_string(60000));
    }
    Peer bob = join(daemon);
    ann.say("[1]");
    bob.hears("[1]");
}

TEST_CASE("who reads late but in time gets everything") {
    Daemon daemon;
    Peer ann = join(daemon);
    Peer late = join_stalled(daemon);
    for (int i = 0; i < 150; ++i) {
        ann.say(numbered(i, 20000));
        ann.hears(numbered(i, 20000));
    }
    for (int i = 0; i < 150; ++i) late.hears(numbered(i, 20000));
    ann.say("[1]");
    late.hears("[1]");
}

TEST_CASE("readers of very different speeds hear the same") {
    Daemon daemon;
    Peer ann = join(daemon);
    std::vector<Peer> readers;
    for (int i = 0; i < 10; ++i) readers.push_back(join_stalled(daemon));
    std::vector<int> heard(readers.size());
    for (int i = 0; i < 100; ++i) {
        ann.say(numbered(i, 20000));
        ann.hears(numbered(i, 20000));
        for (size_t r = 0; r < readers.size(); ++r)
            if (i % static_cast<int>(r + 1) == 0)
                readers[r].hears(numbered(heard[r]++, 20000));
    }
    for (size_t r = 0; r < readers.size(); ++r)
        while (heard[r] < 100) readers[r].hears(numbered(heard[r]++, 20000));
}

TEST_CASE("who pings and never reads is dropped") {
    Daemon daemon({timed("--stall-timeout", 600)});
    Peer ann = join(daemon);
    Peer rude = join_stalled(daemon);
    flood(rude, ping_frame(std::string(125, 'p')));
    daemon.wait_log("wschat: 127.0.0.1 dropped: ");
    rude.is_gone();
    ann.sync();
}

TEST_CASE("who earns notices and never reads is dropped") {
    Daemon daemon({timed("--stall-timeout", 600)});
    Peer ann = join(daemon);
    Peer rude = join_stalled(daemon);
    flood(rude, text_frame("nonsense"));
    daemon.wait_log("wschat: 127.0.0.1 dropped: ");
    rude.is_gone();
    ann.sync();
}

TEST_CASE("a publisher that earns notices and never reads is dropped") {
    Daemon daemon({timed("--stall-timeout", 600)});
    Peer ann = join(daemon);
    Peer rude(SocketAddress::v4(daemon.port()), 4096);
    flood(rude, "{nonsense}");
    rude.is_gone();
    ann.sync();
}

TEST_CASE("pongs are answered while much is owed, between whole frames") {
    Daemon daemon;
    Peer ann = join(daemon);
    Peer slow = join_stalled(daemon);
    for (int i = 0; i < 50; ++i) {
        ann.say(numbered(i, 20000));
        ann.hears(numbered(i, 20000));
        slow.send(ping_frame(std::to_string(i)));
    }
    int messages = 0, pongs = 0;
    while (messages < 50 || pongs < 50) {
        const Frame frame = slow.next();
        if (frame.opcode == kPong)
            CHECK(frame.payload == std::to_string(pongs++));
        else
            CHECK(frame.payload == numbered(messages++, 20000));
    }
}

TEST_CASE("a hundred clients that never read cost no more than one") {
    Daemon daemon({"--max-backlog=4M"});
    if (is_instrumented(daemon.pid())) return;
    Peer ann = join(daemon);
    std::vector<Peer> stalled;
    for (int i = 0; i < 100; ++i) stalled.push_back(join_stalled(daemon));
    const long before = memory(daemon.pid());
    for (int i = 0; i < 300; ++i) {
        ann.say(numbered(i, 20000));
        ann.hears(numbered(i, 20000));
    }
    daemon.wait_log(" dropped: ", 100);
    CHECK(peak_memory(daemon.pid()) - before < 8 * 1024);
}
