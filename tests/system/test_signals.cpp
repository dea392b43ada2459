// Signals: which ones stop the daemon, how, and which ones do nothing.
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "daemon.h"
#include "peer.h"

using namespace wschat::test;

namespace {

// A client that is owed this many messages of 100,000 bytes, and reads none.
Peer join_owed(const Daemon& daemon, Peer& speaker, int messages) {
    Peer peer = join(SocketAddress::v4(daemon.port()), 4096);
    for (int i = 0; i < messages; ++i) {
        speaker.say(json_string(100000));
        speaker.hears(json_string(100000));
    }
    return peer;
}

}  // namespace

TEST_CASE("SIGTERM and SIGINT close everyone with 1001 and end with 0") {
    for (int number : {SIGTERM, SIGINT}) {
        CAPTURE(number);
        Daemon daemon({}, "localhost");
        std::vector<Peer> peers = join(daemon, 20);
        peers.push_back(join(SocketAddress::v6(daemon.port())));
        daemon.signal(number);
        for (Peer& peer : peers) {
            peer.is_closed(1001);
            peer.hang_up();
        }
        CHECK(daemon.wait_exit() == 0);
    }
}

TEST_CASE("a daemon without clients stops at once") {
    for (int number : {SIGTERM, SIGINT}) {
        Daemon daemon({timed("--close-timeout", 600)});
        daemon.signal(number);
        CHECK(daemon.wait_exit() == 0);
    }
}

TEST_CASE("a stopping daemon listens no more") {
    ScratchDirectory scratch;
    Daemon daemon({timed("--close-timeout", 600), "--bind=localhost",
                   "--bind=unix:" + scratch / "chat"});
    Peer ann = join(daemon);
    daemon.signal(SIGTERM);
    ann.is_closed(1001);
    CHECK(!daemon.log().empty());
    CHECK(!accepts(SocketAddress::v4(daemon.port())));
    CHECK(!accepts(SocketAddress::v6(daemon.port())));
    CHECK(!accepts(SocketAddress::unix_socket(scratch / "chat")));
    ann.hang_up();
    CHECK(daemon.wait_exit() == 0);
}

TEST_CASE("what is owed is written before the daemon stops") {
    Daemon daemon;
    Peer ann = join(daemon);
    Peer bob = join_owed(daemon, ann, 20);
    daemon.signal(SIGTERM);
    ann.is_closed(1001);
    ann.hang_up();
    for (int i = 0; i < 20; ++i) bob.hears(json_string(100000));
    bob.is_closed(1001);
    bob.hang_up();
    CHECK(daemon.wait_exit() == 0);
}

TEST_CASE("nobody holds up a stop for longer than --close-timeout") {
    Daemon daemon({timed("--close-timeout", 0.3)});
    Peer ann = join(daemon);
    Peer stalled = join_owed(daemon, ann, 20);
    Peer silent(daemon);
    Peer publisher(daemon);
    publisher.send("{\"a\":");
    Peer closing = join(daemon);
    closing.send(close_frame(1000));
    ann.sync();
    daemon.signal(SIGTERM);
    CHECK(daemon.wait_exit() == 0);
}

TEST_CASE("who has not shaken hands does not hold up a stop at all") {
    Daemon daemon({timed("--close-timeout", 600)});
    Peer silent(daemon);
    Peer half(daemon);
    half.send("GET / HTTP/1.1\r\n");
    Peer publisher(daemon);
    publisher.send("{\"a\":1} {");
    Peer ann = join(daemon);
    ann.hang_up();
    daemon.wait_log("left");
    daemon.signal(SIGTERM);
    CHECK(daemon.wait_exit() == 0);
}

TEST_CASE("a second signal ends the daemon at once") {
    for (int number : {SIGTERM, SIGINT}) {
        ScratchDirectory scratch;
        Daemon daemon({timed("--close-timeout", 600), "--bind=127.0.0.1",
                       "--bind=unix:" + scratch / "chat"});
        Peer ann = join(daemon);
        Peer stalled = join_owed(daemon, ann, 30);
        daemon.signal(number);
        ann.is_closed(1001);
        daemon.signal(number);
        CHECK(daemon.wait_exit() == 0);
        CHECK(!accepts(SocketAddress::unix_socket(scratch / "chat")));
    }
}

TEST_CASE("nobody is announced as gone because the server stops") {
    Daemon daemon({"--announce=address"});
    Peer ann = join(daemon);
    Peer bob = join(daemon);
    ann.hears(kConnected);
    ann.hears(kConnected);
    bob.hears(kConnected);
    daemon.signal(SIGTERM);
    bob.is_closed(1001);
    bob.hang_up();
    ann.is_closed(1001);
}

TEST_CASE("nothing is relayed once the server stops") {
    Daemon daemon;
    Peer ann = join(daemon);
    Peer stalled = join_owed(daemon, ann, 20);
    daemon.signal(SIGTERM);
    ann.hears_close(1001);
    ann.say("\"too late\"");
    for (int i = 0; i < 20; ++i) stalled.hears(json_string(100000));
    stalled.is_closed(1001);
}

TEST_CASE("SIGTERM ends a daemon that is never idle") {
    Daemon daemon({"--announce=none"});
    std::vector<Peer> peers = join(daemon, 20);
    daemon.signal(SIGTERM);
    // Until it has stopped, something is always ready.
    const TimeLimit deadline;
    bool there = true;
    while (there && !deadline.over())
        for (Peer& peer : peers)
            there = peer.send_if_possible(text_frame("[1]")) && there;
    CHECK(!deadline.over());
    CHECK(daemon.wait_exit() == 0);
}

TEST_CASE("SIGPIPE, SIGHUP, SIGUSR1 and SIGUSR2 disturb nobody") {
    Daemon daemon;
    Peer ann = join(daemon);
    for (int number : {SIGPIPE, SIGHUP, SIGUSR1, SIGUSR2}) {
        CAPTURE(number);
        daemon.signal(number);
        ann.sync();
        ann.say("[1]");
        ann.hears("[1]");
    }
}

TEST_CASE("a daemon that was stopped and continued goes on") {
    Daemon daemon;
    Peer ann = join(daemon);
    daemon.signal(SIGSTOP);
    ann.say("[1]");
    daemon.signal(SIGCONT);
    ann.hears("[1]");
    ann.sync();
}
