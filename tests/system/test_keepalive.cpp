// The server's pings, and clients that do not answer them.
#include <string>

#include <doctest/doctest.h>

#include "daemon.h"
#include "peer.h"

using namespace wschat::test;

namespace {

// Answers the next ping. Fails the test if another frame comes first.
void answer_ping(Peer& peer, SourceLine at = {}) {
    const Frame ping = peer.next_frame(at);
    if (ping.opcode != kPing)
        fail(at, printable(ping.payload) + " instead of a ping");
    peer.send(pong_frame(ping.payload), at);
}

}  // namespace

TEST_CASE("a client that answers its pings or sends messages is not dropped") {
    Daemon daemon({timed("--ping-interval", 1)});
    Peer answering = join(daemon);
    Peer sending = join(daemon);
    for (int i = 0; i < 4; ++i) {
        answer_ping(answering);
        CHECK(sending.next_frame().opcode == kPing);
        sending.send_message("null");
    }
    answering.send_message("[1]");
    answering.expect_message("[1]");
    sending.expect_message("[1]");
}

TEST_CASE("a client that sends nothing for two intervals is dropped") {
    Daemon daemon({timed("--ping-interval", 0.2), "--announce=address"});
    Peer silent = join(daemon);
    silent.expect_message(kConnected);
    CHECK(silent.next_frame().opcode == kPing);
    silent.expect_gone();
    daemon.wait_for_log("wschat: 127.0.0.1 dropped: ");
}

// By unix sockets, whose buffers are small: those of TCP may grow until they
// take the whole backlog, and the daemon can't see that they are read.
TEST_CASE("a client that reads its backlog need not answer pings") {
    ScratchDirectory scratch;
    const std::string path = scratch / "chat";
    Daemon daemon({timed("--ping-interval", 1), "--bind=unix:" + path});
    Peer ann = join(SocketAddress::unix_socket(path));
    Peer reader = join(SocketAddress::unix_socket(path));
    const std::string message = json_string(100000);
    for (int i = 0; i < 38; ++i) {
        ann.send_message(message);
        while (ann.next_frame().opcode == kPing) ann.send(pong_frame());
    }
    for (int i = 0; i < 4; ++i) {
        answer_ping(ann);
        reader.discard(600000);
    }
    CHECK(count(daemon.log(), " dropped: ") == 0);
}

TEST_CASE("--ping-interval=0 sends no pings and drops no silent client") {
    Daemon daemon({"--ping-interval=0", timed("--handshake-timeout", 0.5)});
    Peer ann = join(daemon);
    Peer(daemon).expect_refused(408);
    ann.send_message("[1]");
    ann.expect_message("[1]");
}

TEST_CASE("pings are sent between whole messages") {
    Daemon daemon({timed("--ping-interval", 0.5)});
    Peer ann = join(daemon);
    const TimeLimit deadline;
    for (int pings = 0; pings < 3 && !deadline.is_over();) {
        ann.send_message(json_string(70000));
        Frame frame = ann.next_frame();
        for (; frame.opcode == kPing; ++pings) {
            ann.send(pong_frame(frame.payload));
            frame = ann.next_frame();
        }
        CHECK(frame.payload == json_string(70000));
    }
    CHECK(!deadline.is_over());
}

TEST_CASE("a peer without a handshake gets no pings") {
    Daemon daemon({timed("--ping-interval", 0.5), "--handshake-timeout=600"});
    Peer ann = join(daemon);
    Peer publisher(daemon);
    publisher.send("{\"a\":1}");
    ann.expect_message("{\"a\":1}");
    Peer silent(daemon);
    for (int i = 0; i < 3; ++i) answer_ping(ann);
    publisher.send("{\"a\":2}");
    publisher.half_close();
    publisher.expect_eof();
    silent.half_close();
    silent.expect_eof();
}

TEST_CASE("a pause of the daemon drops no client that answered its pings") {
    Timer timer;
    Daemon daemon({timed("--ping-interval", 0.4)});
    Peer ann = join(daemon);
    answer_ping(ann);
    answer_ping(ann);
    ann.sync();
    daemon.signal(SIGSTOP);
    timer.wait();
    timer.wait();
    daemon.signal(SIGCONT);
    answer_ping(ann);
    ann.sync();
}
