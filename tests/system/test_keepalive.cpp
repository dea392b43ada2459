// Pings from the server, and peers that answer none.
#include <string>

#include <doctest/doctest.h>

#include "daemon.h"
#include "peer.h"

using namespace wschat::test;

namespace {

// Answers the next ping. Whatever else comes is an error.
void answer_ping(Peer& peer, Where at = {}) {
    const Frame ping = peer.next(at);
    if (ping.opcode != kPing) fail(at, shown(ping.payload) + " is no ping");
    peer.send(pong_frame(ping.payload), at);
}

}  // namespace

TEST_CASE("every client is pinged, and who answers or talks stays") {
    Daemon daemon({timed("--ping-interval", 1)});
    Peer answers = join(daemon);
    Peer talks = join(daemon);
    for (int i = 0; i < 4; ++i) {
        answer_ping(answers);
        CHECK(talks.next().opcode == kPing);
        talks.say("null");
    }
    answers.say("[1]");
    answers.hears("[1]");
    talks.hears("[1]");
}

TEST_CASE("who says nothing for two intervals is dropped") {
    Daemon daemon({timed("--ping-interval", 0.2), "--announce=address"});
    Peer silent = join(daemon);
    silent.hears(kConnected);
    CHECK(silent.next().opcode == kPing);
    silent.is_gone();
    daemon.wait_log("wschat: 127.0.0.1 dropped: ");
}

TEST_CASE("who takes what it is owed need not answer pings") {
    Daemon daemon({timed("--ping-interval", 1)});
    Peer ann = join(daemon);
    Peer reader = join(SocketAddress::v4(daemon.port()), 4096);
    const std::string message = json_string(100000);
    for (int i = 0; i < 38; ++i) {
        ann.say(message);
        while (ann.next().opcode == kPing) ann.send(pong_frame());
    }
    for (int i = 0; i < 4; ++i) {
        answer_ping(ann);
        reader.take(600000);
    }
    CHECK(count(daemon.log(), " dropped: ") == 0);
}

TEST_CASE("--ping-interval=0 sends no pings and drops nobody for silence") {
    Daemon daemon({"--ping-interval=0", timed("--handshake-timeout", 0.5)});
    Peer ann = join(daemon);
    Peer(daemon).is_refused(408);
    ann.say("[1]");
    ann.hears("[1]");
}

TEST_CASE("pings come between whole messages") {
    Daemon daemon({timed("--ping-interval", 0.5)});
    Peer ann = join(daemon);
    const TimeLimit deadline;
    for (int pings = 0; pings < 3 && !deadline.over();) {
        ann.say(json_string(70000));
        Frame frame = ann.next();
        for (; frame.opcode == kPing; ++pings) {
            ann.send(pong_frame(frame.payload));
            frame = ann.next();
        }
        CHECK(frame.payload == json_string(70000));
    }
    CHECK(!deadline.over());
}

TEST_CASE("who has not shaken hands is not pinged") {
    Daemon daemon({timed("--ping-interval", 0.5), "--handshake-timeout=600"});
    Peer ann = join(daemon);
    Peer publisher(daemon);
    publisher.send("{\"a\":1}");
    ann.hears("{\"a\":1}");
    Peer silent(daemon);
    for (int i = 0; i < 3; ++i) answer_ping(ann);
    publisher.send("{\"a\":2}");
    publisher.half_close();
    publisher.hears_end();
    silent.half_close();
    silent.hears_end();
}

TEST_CASE("a pause of the daemon drops nobody who answered its pings") {
    Ticker clock;
    Daemon daemon({timed("--ping-interval", 0.4)});
    Peer ann = join(daemon);
    answer_ping(ann);
    answer_ping(ann);
    ann.sync();
    daemon.signal(SIGSTOP);
    clock.tick();
    clock.tick();
    daemon.signal(SIGCONT);
    answer_ping(ann);
    ann.sync();
}
