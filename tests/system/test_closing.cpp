// The closing handshake and all other ends of a connection: RFC 6455,
// section 7.
#include <string>

#include <doctest/doctest.h>

#include "daemon.h"
#include "peer.h"
#include "proc.h"

using namespace wschat::test;

namespace {

// Expects the echo of a close frame, and then EOF.
void expect_echo(Peer& peer, const std::string& payload) {
    const Frame frame = peer.next_frame();
    CHECK(frame.opcode == kClose);
    CHECK(printable(frame.payload) == printable(payload));
    peer.expect_eof();
}

}  // namespace

TEST_CASE(
    "a close frame is echoed with its code and reason, then EOF follows") {
    Daemon daemon;
    for (int code : {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012,
                     1013, 1014, 3000, 3999, 4000, 4999}) {
        CAPTURE(code);
        Peer plain = join(daemon);
        plain.send(close_frame(code));
        plain.expect_closed(code);
        Peer with_reason = join(daemon);
        with_reason.send(close_frame(code, "bye \xe2\x98\xba"));
        expect_echo(with_reason, close_payload(code, "bye \xe2\x98\xba"));
    }
    Peer longest = join(daemon);
    longest.send(close_frame(1000, std::string(123, 'x')));
    expect_echo(longest, close_payload(1000, std::string(123, 'x')));
}

TEST_CASE("a close frame without a code is echoed without one") {
    Daemon daemon;
    Peer ann = join(daemon);
    ann.send(frame(kFin | kClose, ""));
    expect_echo(ann, "");
}

TEST_CASE("a close code that must not be sent is answered with 1002") {
    Daemon daemon;
    for (int code : {0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 1999, 2000,
                     2999, 5000, 65535}) {
        CAPTURE(code);
        Peer ann = join(daemon);
        ann.send(close_frame(code, "why"));
        ann.expect_closed(1002);
    }
    Peer one_byte = join(daemon);
    one_byte.send(frame(kFin | kClose, "\x03"));
    one_byte.expect_closed(1002);
}

TEST_CASE("bytes after a close frame are not relayed or answered") {
    Daemon daemon;
    Peer bob = join(daemon);
    for (const std::string& close :
         {close_frame(1000), frame(kFin | kClose, ""), close_frame(1005)}) {
        CAPTURE(printable(close));
        Peer ann = join(daemon);
        ann.send(text_frame("[1]") + close + text_frame("[2]") +
                 ping_frame("p") + "{\"a\":3}" + close_frame(1000));
        ann.expect_message("[1]");
        CHECK(ann.next_frame().opcode == kClose);
        ann.expect_eof();
        bob.expect_message("[1]");
        bob.send_message("[4]");
        bob.expect_message("[4]");
    }
}

TEST_CASE("later segments after a close frame are not relayed") {
    Daemon daemon;
    Peer bob = join(daemon);
    Peer ann = join(daemon);
    ann.send(close_frame(1000));
    ann.expect_closed(1000);
    ann.send(text_frame("[1]"));
    bob.sync();
    ann.send_if_possible("{\"a\":1}");
    bob.sync();
    bob.send_message("[2]");
    bob.expect_message("[2]");
}

TEST_CASE("a client that has sent a close frame gets no later message") {
    Daemon daemon;
    Peer ann = join(daemon);
    Peer bob = join(daemon);
    ann.send(close_frame(1000));
    bob.sync();
    bob.send_message("[1]");
    bob.expect_message("[1]");
    ann.expect_closed(1000);
}

TEST_CASE("the close frame arrives although the peer goes on sending") {
    Daemon daemon;
    Peer ann = join(daemon);
    ann.send(close_frame(1000) + std::string(300000, 'x'));
    ann.expect_closed(1000);
    Peer bob = join(daemon);
    bob.send(bytes({0x83}) + std::string(300000, 'x'));
    bob.expect_closed(1002);
}

TEST_CASE(
    "after the close frames the server waits for EOF until --close-timeout") {
    Daemon daemon({timed("--close-timeout", 0.3)});
    const size_t before = open_descriptors(daemon.pid());
    Peer ann = join(daemon);
    ann.send(close_frame(1000));
    ann.expect_closed(1000);
    wait_for_descriptors(daemon.pid(), before);
}

TEST_CASE(
    "a refused peer that stays connected is closed after --close-timeout") {
    Daemon daemon({timed("--close-timeout", 0.3)});
    const size_t before = open_descriptors(daemon.pid());
    Peer peer(daemon);
    peer.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    peer.expect_refused(404);
    wait_for_descriptors(daemon.pid(), before);
}

TEST_CASE("a client that can't be sent its close frame is dropped in time") {
    Daemon daemon({timed("--close-timeout", 0.3)});
    Peer ann = join(daemon);
    const size_t before = open_descriptors(daemon.pid());
    Peer stuck = join(SocketAddress::v4(daemon.port()), 4096);
    for (int i = 0; i < 30; ++i) {
        ann.send_message(json_string(100000));
        ann.expect_message(json_string(100000));
    }
    stuck.send(close_frame(1000));
    wait_for_descriptors(daemon.pid(), before);
    stuck.expect_gone();
}

TEST_CASE("a client that half-closes gets all earlier messages, then EOF") {
    Daemon daemon;
    Peer ann = join(daemon);
    Peer bob = join(SocketAddress::v4(daemon.port()), 4096);
    for (int i = 0; i < 20; ++i) {
        ann.send_message(json_string(100000));
        ann.expect_message(json_string(100000));
    }
    bob.half_close();
    for (int i = 0; i < 20; ++i) bob.expect_message(json_string(100000));
    bob.expect_gone();
    ann.send_message("[1]");
    ann.expect_message("[1]");
}

TEST_CASE("a client that closes gets all earlier messages before the echo") {
    Daemon daemon;
    Peer ann = join(daemon);
    Peer bob = join(SocketAddress::v4(daemon.port()), 4096);
    for (int i = 0; i < 20; ++i) {
        ann.send_message(json_string(100000));
        ann.expect_message(json_string(100000));
    }
    bob.send(close_frame(1000));
    for (int i = 0; i < 20; ++i) bob.expect_message(json_string(100000));
    bob.expect_closed(1000);
}

TEST_CASE("a reset at any moment does not affect other clients") {
    Daemon daemon;
    Peer ann = join(daemon);
    const std::string message = json_string(5000);
    for (const std::string& sent :
         {std::string(), text_frame("[0]").substr(0, 1),
          text_frame(message).substr(0, 3000), first_fragment("[1,"),
          close_frame(1000), bytes({0x83}), ping_frame("p"),
          std::string("{\"a\":")}) {
        Peer bob = join(daemon);
        bob.send(sent);
        bob.reset();
        ann.send_message(message);
        ann.expect_message(message);
    }
}

TEST_CASE(
    "100 clients that reset at once are logged and their sockets closed") {
    Daemon daemon({"-v"});  // otherwise some are only counted
    Peer ann = join(daemon);
    const size_t before = open_descriptors(daemon.pid());
    std::vector<Peer> clients = join(daemon, 100);
    for (int i = 0; i < 20; ++i) ann.send_message(json_string(20000));
    for (Peer& peer : clients) peer.reset();
    for (int i = 0; i < 20; ++i) ann.expect_message(json_string(20000));
    daemon.wait_for_log(" left: ", 100);
    wait_for_descriptors(daemon.pid(), before);
}
