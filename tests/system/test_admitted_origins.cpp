// Which pages may connect from a browser.
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "daemon.h"
#include "peer.h"

using namespace wschat::test;

namespace {

/// Returns a handshake of a page of this origin, with this Host.
std::string from(const std::string& origin, const std::string& host,
                 const std::string& more = {}) {
    return "GET / HTTP/1.1\r\nHost: " + host + "\r\nOrigin: " + origin +
           "\r\n" + upgrade_lines() + more + "\r\n";
}

void check_admitted(const Daemon& daemon, const std::string& request) {
    CAPTURE(request);
    Peer peer(daemon);
    peer.send(request);
    CHECK(peer.read_response().status == 101);
}

void check_refused(const Daemon& daemon, const std::string& request) {
    CAPTURE(request);
    Peer peer(daemon);
    peer.send(request);
    peer.expect_refused(403);
}

const Options kHere = {"--bind=127.0.0.1"};

}  // namespace

TEST_CASE("pages of the site's host are admitted, on any port") {
    Daemon daemon(kHere, "example.com");
    for (std::string origin : {"http://example.com", "https://www.example.com",
                               "https://EXAMPLE.com:8"})
        check_admitted(daemon, from(origin, "anything.example"));
}

TEST_CASE("pages of other hosts are refused, and the log names the option") {
    Daemon daemon(kHere, "example.com");
    check_refused(daemon, from("http://evil.example", "evil.example"));
    daemon.wait_for_log(
        "127.0.0.1 refused: 403 origin http://evil.example: "
        "--origin=http://evil.example would allow it (GET /)\n");
    check_refused(daemon, from("null", "example.com"));
    daemon.wait_for_log("--origin=null would allow it (GET /)\n");
    check_refused(daemon, from("nonsense", "example.com"));
    daemon.wait_for_log("refused: 403 origin nonsense (GET /)\n");
    check_refused(daemon, from("http://localhost", "example.com"));
}

TEST_CASE("a client without an Origin header is admitted") {
    Daemon daemon(kHere, "example.com");
    check_admitted(daemon, handshake());
}

TEST_CASE("a page of an IP address is admitted if Host is the same address") {
    Daemon daemon(kHere, "example.com");
    check_admitted(daemon, from("http://192.0.2.1:80", "192.0.2.1:9600"));
    check_admitted(daemon, from("http://[::1]", "[0::1]:9600"));
    check_refused(daemon, from("http://192.0.2.1", "192.0.2.2"));
}

TEST_CASE(
    "loopback pages are admitted for local clients, not through a proxy") {
    Daemon daemon(kHere, "example.com");
    const std::string page = "http://localhost:3000";
    check_admitted(daemon, from(page, "127.0.0.1:9600"));
    for (std::string header : {"X-Forwarded-For: 127.0.0.1", "Via: 1.1 x",
                               "Forwarded: for=127.0.0.1", "X-Real-IP: ::1"})
        check_refused(daemon, from(page, "127.0.0.1:9600", header + "\r\n"));
    Daemon trusting({"--bind=127.0.0.1", "--trust-proxy=loopback"},
                    "example.com");
    check_refused(trusting, from(page, "127.0.0.1:9600"));
}

TEST_CASE("--origin admits exactly one more origin, or all with an asterisk") {
    Daemon named({"--origin=https://a.example", "--origin=null",
                  "--origin=http://b.example:81", "--bind=127.0.0.1"},
                 "example.com");
    for (std::string origin :
         {"https://a.example", "null", "http://b.example:81"})
        check_admitted(named, from(origin, "x"));
    for (std::string origin : {"http://a.example", "https://a.example:444",
                               "http://b.example", "https://x.a.example"})
        check_refused(named, from(origin, "x"));
    Daemon any({"--origin=*", "--bind=127.0.0.1"}, "example.com");
    for (std::string origin : {"https://evil.example", "null", "nonsense"})
        check_admitted(any, from(origin, "x"));
}

TEST_CASE("a request with two Origin headers is refused with 400") {
    Daemon daemon;
    Peer peer(daemon);
    peer.send(from("http://127.0.0.1", "127.0.0.1",
                   "Origin: http://evil.example\r\n"));
    peer.expect_refused(400);
}

TEST_CASE("the chat page is served whatever the Origin header is") {
    Daemon daemon;
    Peer peer(daemon);
    peer.send("GET / HTTP/1.1\r\nHost: a\r\nOrigin: http://b\r\n\r\n");
    CHECK(peer.read_response().status == 200);
}
