// The closing handshake and every other way in which a connection ends:
// RFC 6455, section 7.
#include <string>

#include <doctest/doctest.h>

#include "daemon.h"
#include "peer.h"
#include "proc.h"

using namespace wschat::test;

namespace {

void hears_echo(Peer& peer, const std::string& payload) {
    const Frame frame = peer.next();
    CHECK(frame.opcode == kClose);
    CHECK(shown(frame.payload) == shown(payload));
    peer.hears_end();
}

}  // namespace

TEST_CASE("a close frame is echoed with its code and reason, then the end") {
    Daemon daemon;
    for (int code : {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012,
                     1013, 1014, 3000, 3999, 4000, 4999}) {
        CAPTURE(code);
        Peer plain = join(daemon);
        plain.send(close_frame(code));
        plain.is_closed(code);
        Peer with_reason = join(daemon);
        with_reason.send(close_frame(code, "bye \xe2\x98\xba"));
        hears_echo(with_reason, close_payload(code, "bye \xe2\x98\xba"));
    }
    Peer longest = join(daemon);
    longest.send(close_frame(1000, std::string(123, 'x')));
    hears_echo(longest, close_payload(1000, std::string(123, 'x')));
}

TEST_CASE("a close frame without a code is echoed without one") {
    Daemon daemon;
    Peer ann = join(daemon);
    ann.send(frame(kFin | kClose, ""));
    hears_echo(ann, "");
}

TEST_CASE("close codes that must not be sent are a 1002") {
    Daemon daemon;
    for (int code : {0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 1999, 2000,
                     2999, 5000, 65535}) {
        CAPTURE(code);
        Peer ann = join(daemon);
        ann.send(close_frame(code, "why"));
        ann.is_closed(1002);
    }
    Peer one_byte = join(daemon);
    one_byte.send(frame(kFin | kClose, "\x03"));
    one_byte.is_closed(1002);
}

TEST_CASE("nothing is relayed or answered after a close frame") {
    Daemon daemon;
    Peer bob = join(daemon);
    for (const std::string& close :
         {close_frame(1000), frame(kFin | kClose, ""), close_frame(1005)}) {
        CAPTURE(shown(close));
        Peer ann = join(daemon);
        ann.send(text_frame("[1]") + close + text_frame("[2]") +
                 ping_frame("p") + "{\"a\":3}" + close_frame(1000));
        ann.hears("[1]");
        CHECK(ann.next().opcode == kClose);
        ann.hears_end();
        bob.hears("[1]");
        bob.say("[4]");
        bob.hears("[4]");
    }
}

TEST_CASE("nothing is relayed after a close frame in segments of their own") {
    Daemon daemon;
    Peer bob = join(daemon);
    Peer ann = join(daemon);
    ann.send(close_frame(1000));
    ann.is_closed(1000);
    ann.send(text_frame("[1]"));
    bob.sync();
    ann.send_if_possible("{\"a\":1}");
    bob.sync();
    bob.say("[2]");
    bob.hears("[2]");
}

TEST_CASE("who has closed hears nothing more of the chat") {
    Daemon daemon;
    Peer ann = join(daemon);
    Peer bob = join(daemon);
    ann.send(close_frame(1000));
    bob.sync();
    bob.say("[1]");
    bob.hears("[1]");
    ann.is_closed(1000);
}

TEST_CASE("the last words arrive though the peer goes on sending") {
    Daemon daemon;
    Peer ann = join(daemon);
    ann.send(close_frame(1000) + std::string(300000, 'x'));
    ann.is_closed(1000);
    Peer bob = join(daemon);
    bob.send(bytes({0x83}) + std::string(300000, 'x'));
    bob.is_closed(1002);
}

TEST_CASE("the server waits for the peer's end, and no longer than it should") {
    Daemon daemon({timed("--close-timeout", 0.3)});
    const size_t before = open_descriptors(daemon.pid());
    Peer ann = join(daemon);
    ann.send(close_frame(1000));
    ann.is_closed(1000);
    wait_descriptors(daemon.pid(), before);
}

TEST_CASE("a refused peer that stays is closed within --close-timeout") {
    Daemon daemon({timed("--close-timeout", 0.3)});
    const size_t before = open_descriptors(daemon.pid());
    Peer peer(daemon);
    peer.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    peer.is_refused(404);
    wait_descriptors(daemon.pid(), before);
}

TEST_CASE("a close frame that cannot be written is given up") {
    Daemon daemon({timed("--close-timeout", 0.3)});
    Peer ann = join(daemon);
    const size_t before = open_descriptors(daemon.pid());
    Peer stuck = join(SocketAddress::v4(daemon.port()), 4096);
    for (int i = 0; i < 30; ++i) {
        ann.say(json_string(100000));
        ann.hears(json_string(100000));
    }
    stuck.send(close_frame(1000));
    wait_descriptors(daemon.pid(), before);
    stuck.is_gone();
}

TEST_CASE("who half-closes gets what it is owed, then the end") {
    Daemon daemon;
    Peer ann = join(daemon);
    Peer bob = join(SocketAddress::v4(daemon.port()), 4096);
    for (int i = 0; i < 20; ++i) {
        ann.say(json_string(100000));
        ann.hears(json_string(100000));
    }
    bob.half_close();
    for (int i = 0; i < 20; ++i) bob.hears(json_string(100000));
    bob.is_gone();
    ann.say("[1]");
    ann.hears("[1]");
}

TEST_CASE("who closes is sent what it is owed before the echo") {
    Daemon daemon;
    Peer ann = join(daemon);
    Peer bob = join(SocketAddress::v4(daemon.port()), 4096);
    for (int i = 0; i < 20; ++i) {
        ann.say(json_string(100000));
        ann.hears(json_string(100000));
    }
    bob.send(close_frame(1000));
    for (int i = 0; i < 20; ++i) bob.hears(json_string(100000));
    bob.is_closed(1000);
}

TEST_CASE("resets at any moment hurt nobody else") {
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
        ann.say(message);
        ann.hears(message);
    }
}

TEST_CASE("a crowd that is reset at once while messages flow is forgotten") {
    Daemon daemon;
    Peer ann = join(daemon);
    const size_t before = open_descriptors(daemon.pid());
    std::vector<Peer> crowd = join(daemon, 100);
    for (int i = 0; i < 20; ++i) ann.say(json_string(20000));
    for (Peer& peer : crowd) peer.reset();
    for (int i = 0; i < 20; ++i) ann.hears(json_string(20000));
    daemon.wait_log(" left: ", 100);
    wait_descriptors(daemon.pid(), before);
}
