// Visitors behind a proxy.
#include <string>

#include <doctest/doctest.h>

#include "daemon.h"
#include "peer.h"

using namespace wschat::test;

namespace {

std::string forwarded_for(const std::string& value) {
    return "X-Forwarded-For: " + value + "\r\n";
}

/// Joins with these header lines. Whom the room is told of.
std::string announced(const SocketAddress& address, const std::string& headers) {
    Peer peer(address);
    peer.send(handshake("/", headers));
    CHECK(peer.answer().status == 101);
    return peer.next_text();
}

std::string announced(const Daemon& daemon, const std::string& headers) {
    return announced(SocketAddress::v4(daemon.port()), headers);
}

std::string connected(const std::string& address) {
    return "{\"type\":\"system\",\"message\":\"" + address + " connected\"}";
}

}  // namespace

TEST_CASE("the visitor is whom a trusted proxy names, not whom it passes on") {
    Daemon daemon({"--announce=address", "--trust-proxy=loopback",
                   "--trust-proxy=10.0.0.0/8"});
    CHECK(announced(daemon, forwarded_for("203.0.113.7")) ==
          connected("203.0.113.7"));
    CHECK(announced(daemon, forwarded_for("6.6.6.6, 203.0.113.7, 10.1.2.3")) ==
          connected("203.0.113.7"));
    CHECK(announced(daemon, forwarded_for("6.6.6.6") +
                                forwarded_for("2001:DB8::1")) ==
          connected("2001:db8::1"));
    CHECK(announced(daemon, forwarded_for("::ffff:203.0.113.7")) ==
          connected("203.0.113.7"));
    CHECK(announced(daemon, "") == connected("127.0.0.1"));
    daemon.wait_log("wschat: 2001:db8::1 joined");
    daemon.wait_log("wschat: 2001:db8::1 left");
    CHECK(count(daemon.log(), "6.6.6.6") == 0);
}

TEST_CASE("what a proxy says is not believed if it can't be parsed") {
    Daemon daemon({"--trust-proxy=127.0.0.1"});
    for (std::string value : {"x", "203.0.113.7, x", "x, 203.0.113.7",
                              "203.0.113.7; 203.0.113.8", "unknown"}) {
        CAPTURE(value);
        Peer peer(daemon);
        peer.send(handshake("/", forwarded_for(value)));
        peer.is_refused(400);
    }
    daemon.wait_log("127.0.0.1 refused: 400 malformed X-Forwarded-For", 5);
}

TEST_CASE("a proxy on a unix socket is trusted by the name unix") {
    ScratchDirectory scratch;
    const std::string path = scratch / "chat";
    Daemon daemon({"--announce=address", "--trust-proxy=unix",
                   "--bind=unix:" + path, "--bind=127.0.0.1"});
    const SocketAddress unix_socket = SocketAddress::unix_socket(path);
    CHECK(announced(unix_socket, forwarded_for("203.0.113.7")) ==
          connected("203.0.113.7"));
    CHECK(announced(unix_socket, "") == connected("unix"));
    CHECK(announced(daemon, forwarded_for("203.0.113.7")) ==
          connected("127.0.0.1"));
}

TEST_CASE("without --trust-proxy the header is ignored, and that said once") {
    Daemon daemon({"--announce=address"});
    for (int i = 0; i < 3; ++i)
        CHECK(announced(daemon, forwarded_for("203.0.113.7")) ==
              connected("127.0.0.1"));
    daemon.wait_log("left", 3);
    CHECK(count(daemon.log(), "--trust-proxy=loopback") == 1);
    CHECK(count(daemon.log(), "203.0.113.7") == 0);
}

TEST_CASE("raw JSON is no request, so no proxy has forwarded it") {
    Daemon daemon({"--trust-proxy=loopback"});
    Peer ann = join(daemon);
    Peer publisher(daemon);
    publisher.send("{\"type\":\"system\"}");
    ann.hears("{\"type\":\"system\"}");
}

TEST_CASE("only clients of wschat.v1 are answered when they say ping") {
    Daemon daemon;
    Peer ann(daemon);
    ann.send(handshake("/", "Sec-WebSocket-Protocol: x, wschat.v1\r\n"));
    const ReceivedResponse response = ann.answer();
    CHECK(response.header("Sec-WebSocket-Protocol") == "wschat.v1");
    CHECK(ann.next_text().find("{\"type\":\"hello\"") == 0);
    ann.say("{\"type\":\"ping\"}");
    ann.hears("{\"type\":\"pong\"}");
    Peer bob(daemon);
    bob.send(handshake("/", "Sec-WebSocket-Protocol: x\r\n"));
    CHECK(bob.answer().header("Sec-WebSocket-Protocol") == "");
    bob.say("{\"type\":\"ping\"}");
    bob.hears_notice("reserved");
    ann.say("[1]");
    ann.hears("[1]");
}
