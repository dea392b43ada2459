// Clients behind a proxy, and their addresses in X-Forwarded-For.
#include <string>

#include <doctest/doctest.h>

#include "daemon.h"
#include "peer.h"

using namespace wschat::test;

namespace {

std::string forwarded_for(const std::string& value) {
    return "X-Forwarded-For: " + value + "\r\n";
}

/// Joins with these header lines. Returns the announcement.
std::string announcement(const SocketAddress& address,
                         const std::string& headers) {
    Peer peer(address);
    peer.send(handshake("/", headers));
    CHECK(peer.read_response().status == 101);
    return peer.next_text();
}

std::string announcement(const Daemon& daemon, const std::string& headers) {
    return announcement(SocketAddress::v4(daemon.port()), headers);
}

std::string connected(const std::string& address) {
    return "{\"type\":\"system\",\"message\":\"" + address + " connected\"}";
}

}  // namespace

TEST_CASE("the client's address is the last one that is no trusted proxy") {
    Daemon daemon({"--announce=address", "--trust-proxy=loopback",
                   "--trust-proxy=10.0.0.0/8"});
    CHECK(announcement(daemon, forwarded_for("203.0.113.7")) ==
          connected("203.0.113.7"));
    CHECK(
        announcement(daemon, forwarded_for("6.6.6.6, 203.0.113.7, 10.1.2.3")) ==
        connected("203.0.113.7"));
    CHECK(announcement(daemon, forwarded_for("6.6.6.6") +
                                   forwarded_for("2001:DB8::1")) ==
          connected("2001:db8::1"));
    CHECK(announcement(daemon, forwarded_for("::ffff:203.0.113.7")) ==
          connected("203.0.113.7"));
    CHECK(announcement(daemon, forwarded_for("x, 203.0.113.7")) ==
          connected("203.0.113.7"));
    CHECK(announcement(daemon, "") == connected("127.0.0.1"));
    daemon.wait_for_log("wschat: 2001:db8::1 joined");
    daemon.wait_for_log("wschat: 2001:db8::1 left");
    CHECK(count(daemon.log(), "6.6.6.6") == 0);
}

TEST_CASE(
    "a malformed X-Forwarded-For of a trusted proxy is refused with 400") {
    Daemon daemon({"--trust-proxy=127.0.0.1", "-v"});
    for (std::string value : {"x", "203.0.113.7, x", "x, 127.0.0.1",
                              "203.0.113.7; 203.0.113.8", "unknown"}) {
        CAPTURE(value);
        Peer peer(daemon);
        peer.send(handshake("/", forwarded_for(value)));
        peer.expect_refused(400);
    }
    daemon.wait_for_log("127.0.0.1 refused: 400 malformed X-Forwarded-For", 5);
}

TEST_CASE("--trust-proxy=unix trusts a proxy on a unix socket") {
    ScratchDirectory scratch;
    const std::string path = scratch / "chat";
    Daemon daemon({"--announce=address", "--trust-proxy=unix",
                   "--bind=unix:" + path, "--bind=127.0.0.1"});
    const SocketAddress unix_socket = SocketAddress::unix_socket(path);
    CHECK(announcement(unix_socket, forwarded_for("203.0.113.7")) ==
          connected("203.0.113.7"));
    CHECK(announcement(unix_socket, "") == connected("unix"));
    CHECK(announcement(daemon, forwarded_for("203.0.113.7")) ==
          connected("127.0.0.1"));
}

TEST_CASE("without --trust-proxy the header is ignored, and logged only once") {
    Daemon daemon({"--announce=address"});
    for (int i = 0; i < 3; ++i)
        CHECK(announcement(daemon, forwarded_for("203.0.113.7")) ==
              connected("127.0.0.1"));
    daemon.wait_for_log("left", 3);
    CHECK(count(daemon.log(), "--trust-proxy=loopback") == 1);
    CHECK(count(daemon.log(), "203.0.113.7") == 0);
}

TEST_CASE("raw JSON from a trusted proxy's address is that of a local peer") {
    Daemon daemon({"--trust-proxy=loopback"});
    Peer ann = join(daemon);
    Peer publisher(daemon);
    publisher.send("{\"type\":\"system\"}");
    ann.expect_message("{\"type\":\"system\"}");
}

TEST_CASE("only clients of wschat.v1 get a pong for the type ping") {
    Daemon daemon;
    Peer ann(daemon);
    ann.send(handshake("/", "Sec-WebSocket-Protocol: x, wschat.v1\r\n"));
    const ReceivedResponse response = ann.read_response();
    CHECK(response.header("Sec-WebSocket-Protocol") == "wschat.v1");
    CHECK(ann.next_text().find("{\"type\":\"hello\"") == 0);
    ann.send_message("{\"type\":\"ping\"}");
    ann.expect_message("{\"type\":\"pong\"}");
    Peer bob(daemon);
    bob.send(handshake("/", "Sec-WebSocket-Protocol: x\r\n"));
    CHECK(bob.read_response().header("Sec-WebSocket-Protocol") == "");
    bob.send_message("{\"type\":\"ping\"}");
    bob.expect_notice("reserved");
    ann.send_message("[1]");
    ann.expect_message("[1]");
}
