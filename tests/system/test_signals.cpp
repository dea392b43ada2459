// Signals: those that stop the daemon, and those that do nothing.
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "daemon.h"
#include "peer.h"

using namespace wschat::test;

namespace {

// Joins as a client that does not read, and sends it messages of 100,000 bytes.
Peer join_with_backlog(const Daemon& daemon, Peer& sender, int messages) {
    Peer peer = join(SocketAddress::v4(daemon.port()), 4096);
    for (int i = 0; i < messages; ++i) {
        sender.send_message(json_string(100000));
        sender.expect_message(json_string(100000));
    }
    return peer;
}

}  // namespace

TEST_CASE(
    "SIGTERM and SIGINT close all clients with 1001 and end with status 0") {
    for (int number : {SIGTERM, SIGINT}) {
        CAPTURE(number);
        Daemon daemon({}, "localhost");
        std::vector<Peer> peers = join(daemon, 20);
        peers.push_back(join(SocketAddress::v6(daemon.port())));
        daemon.signal(number);
        for (Peer& peer : peers) {
            peer.expect_closed(1001);
            peer.close_socket();
        }
        CHECK(daemon.wait_for_exit() == 0);
    }
}

TEST_CASE("a daemon without clients stops at once") {
    for (int number : {SIGTERM, SIGINT}) {
        Daemon daemon({timed("--close-timeout", 600)});
        daemon.signal(number);
        CHECK(daemon.wait_for_exit() == 0);
    }
}

TEST_CASE("a daemon that stops does not listen any more") {
    ScratchDirectory scratch;
    Daemon daemon({timed("--close-timeout", 600), "--bind=localhost",
                   "--bind=unix:" + scratch / "chat"});
    Peer ann = join(daemon);
    daemon.signal(SIGTERM);
    ann.expect_closed(1001);
    CHECK(!daemon.log().empty());
    CHECK(!can_connect(SocketAddress::v4(daemon.port())));
    CHECK(!can_connect(SocketAddress::v6(daemon.port())));
    CHECK(!can_connect(SocketAddress::unix_socket(scratch / "chat")));
    ann.close_socket();
    CHECK(daemon.wait_for_exit() == 0);
}

TEST_CASE("earlier messages are sent before the daemon stops") {
    Daemon daemon;
    Peer ann = join(daemon);
    Peer bob = join_with_backlog(daemon, ann, 20);
    daemon.signal(SIGTERM);
    ann.expect_closed(1001);
    ann.close_socket();
    for (int i = 0; i < 20; ++i) bob.expect_message(json_string(100000));
    bob.expect_closed(1001);
    bob.close_socket();
    CHECK(daemon.wait_for_exit() == 0);
}

TEST_CASE("a stop takes no longer than --close-timeout") {
    Daemon daemon({timed("--close-timeout", 0.3)});
    Peer ann = join(daemon);
    Peer stalled = join_with_backlog(daemon, ann, 20);
    Peer silent(daemon);
    Peer publisher(daemon);
    publisher.send("{\"a\":");
    Peer closing = join(daemon);
    closing.send(close_frame(1000));
    ann.sync();
    daemon.signal(SIGTERM);
    CHECK(daemon.wait_for_exit() == 0);
}

TEST_CASE("peers without a handshake do not delay a stop") {
    Daemon daemon({timed("--close-timeout", 600)});
    Peer silent(daemon);
    Peer half(daemon);
    half.send("GET / HTTP/1.1\r\n");
    Peer publisher(daemon);
    publisher.send("{\"a\":1} {");
    Peer ann = join(daemon);
    ann.close_socket();
    daemon.wait_for_log("left");
    daemon.signal(SIGTERM);
    CHECK(daemon.wait_for_exit() == 0);
}

TEST_CASE("a second signal ends the daemon at once") {
    for (int number : {SIGTERM, SIGINT}) {
        ScratchDirectory scratch;
        Daemon daemon({timed("--close-timeout", 600), "--bind=127.0.0.1",
                       "--bind=unix:" + scratch / "chat"});
        Peer ann = join(daemon);
        Peer stalled = join_with_backlog(daemon, ann, 30);
        daemon.signal(number);
        ann.expect_closed(1001);
        daemon.signal(number);
        CHECK(daemon.wait_for_exit() == 0);
        CHECK(!can_connect(SocketAddress::unix_socket(scratch / "chat")));
    }
}

TEST_CASE("a stop is not announced as leaves") {
    Daemon daemon({"--announce=address"});
    Peer ann = join(daemon);
    Peer bob = join(daemon);
    ann.expect_message(kConnected);
    ann.expect_message(kConnected);
    bob.expect_message(kConnected);
    daemon.signal(SIGTERM);
    bob.expect_closed(1001);
    bob.close_socket();
    ann.expect_closed(1001);
}

TEST_CASE("no message is relayed after the start of a stop") {
    Daemon daemon;
    Peer ann = join(daemon);
    Peer stalled = join_with_backlog(daemon, ann, 20);
    daemon.signal(SIGTERM);
    ann.expect_close_frame(1001);
    ann.send_message("\"too late\"");
    for (int i = 0; i < 20; ++i) stalled.expect_message(json_string(100000));
    stalled.expect_closed(1001);
}

TEST_CASE("a client inside a message has the time to close at a stop") {
    Daemon daemon({timed("--message-timeout", 0.3),
                   timed("--close-timeout", 5)});
    Timer timer;
    Peer ann = join(daemon);
    Peer stalled = join_with_backlog(daemon, ann, 20);
    stalled.send(first_fragment("["));
    ann.sync();
    daemon.signal(SIGTERM);
    ann.expect_closed(1001);
    timer.wait();
    for (int i = 0; i < 20; ++i) stalled.expect_message(json_string(100000));
    stalled.expect_closed(1001);
}

TEST_CASE("SIGTERM ends a daemon that is never idle") {
    Daemon daemon({"--announce=none"});
    std::vector<Peer> peers = join(daemon, 20);
    daemon.signal(SIGTERM);
    // A client is always ready until the daemon has stopped.
    const TimeLimit deadline;
    bool is_running = true;
    while (is_running && !deadline.is_over())
        for (Peer& peer : peers)
            is_running = peer.send_if_possible(text_frame("[1]")) && is_running;
    CHECK(!deadline.is_over());
    CHECK(daemon.wait_for_exit() == 0);
}

TEST_CASE("SIGPIPE, SIGHUP, SIGUSR1 and SIGUSR2 affect no client") {
    Daemon daemon;
    Peer ann = join(daemon);
    for (int number : {SIGPIPE, SIGHUP, SIGUSR1, SIGUSR2}) {
        CAPTURE(number);
        daemon.signal(number);
        ann.sync();
        ann.send_message("[1]");
        ann.expect_message("[1]");
    }
}

TEST_CASE("a daemon works on after SIGSTOP and SIGCONT") {
    Daemon daemon;
    Peer ann = join(daemon);
    daemon.signal(SIGSTOP);
    ann.send_message("[1]");
    daemon.signal(SIGCONT);
    ann.expect_message("[1]");
    ann.sync();
}
