// The chat page and its files over HTTP.
#include <string>

#include <doctest/doctest.h>

#include "daemon.h"
#include "peer.h"

using namespace wschat::test;

namespace {

std::string request(const std::string& method, const std::string& target,
                    const std::string& more = {}) {
    return method + " " + target + " HTTP/1.1\r\nHost: a\r\n" + more + "\r\n";
}

/// Sends a request. Returns the response, and expects EOF behind it.
ReceivedResponse fetch(const Daemon& daemon, const std::string& request) {
    Peer peer(daemon);
    peer.send(request);
    const ReceivedResponse response = peer.read_response();
    peer.expect_eof();
    return response;
}

}  // namespace

TEST_CASE("the page and its files are served") {
    Daemon daemon;
    const ReceivedResponse page = fetch(daemon, request("GET", "/"));
    CHECK(page.status == 200);
    CHECK(page.header("Content-Type") == "text/html; charset=utf-8");
    CHECK(page.header("Cache-Control") == "no-cache");
    CHECK(page.header("X-Content-Type-Options") == "nosniff");
    CHECK(page.header("Connection") == "close");
    CHECK(page.header("Content-Security-Policy").find("default-src 'none'") !=
          std::string::npos);
    CHECK(page.header("Content-Length") == std::to_string(page.body.size()));
    for (std::string name : {"style.css", "chat.js", "wschat.js"}) {
        CAPTURE(name);
        CHECK(page.body.find("\"?asset=" + name + "\"") != std::string::npos);
        const ReceivedResponse part = fetch(daemon, request("GET", "/" + name));
        CHECK(part.status == 200);
        CHECK(part.body.size() > 1000);
        CHECK(fetch(daemon, request("GET", "/?asset=" + name)).body ==
              part.body);
    }
}

TEST_CASE("HEAD gets the head of the GET response, without the body") {
    Daemon daemon;
    const ReceivedResponse page = fetch(daemon, request("GET", "/"));
    Peer peer(daemon);
    peer.send(request("HEAD", "/"));
    CHECK(peer.read_response_head() == page.head);
    peer.expect_eof();
}

TEST_CASE("a file that has not changed is answered with 304") {
    Daemon daemon;
    const ReceivedResponse page = fetch(daemon, request("GET", "/"));
    Peer peer(daemon);
    peer.send(request("GET", "/",
                      "If-None-Match: " + page.header("ETag") + "\r\n"));
    const std::string head = peer.read_response_head();
    CHECK(head.rfind("HTTP/1.1 304 ", 0) == 0);
    CHECK(head.find(page.header("ETag")) != std::string::npos);
    peer.expect_eof();
}

TEST_CASE("other paths and methods are refused") {
    Daemon daemon;
    for (std::string target : {"/x", "/index.html", "/?asset=x", "*"}) {
        Peer peer(daemon);
        peer.send(request("GET", target));
        peer.expect_refused(404);
    }
    for (std::string method : {"PUT", "DELETE", "OPTIONS"}) {
        Peer peer(daemon);
        peer.send(request(method, "/"));
        peer.expect_refused(405);
    }
}

TEST_CASE("with --no-page only WebSockets are served") {
    Daemon daemon({"--no-page"});
    for (std::string target : {"/", "/wschat.js", "/?asset=wschat.js"}) {
        Peer peer(daemon);
        peer.send(request("GET", target));
        peer.expect_refused(404);
    }
    Peer ann = join(daemon);
    ann.sync();
}

TEST_CASE("a request for the page is neither announced nor logged") {
    Daemon daemon({"--announce=address"});
    Peer ann = join(daemon);
    ann.next_frame();
    fetch(daemon, request("GET", "/"));
    fetch(daemon, request("GET", "/chat.js"));
    const Peer bob = join(daemon);
    daemon.wait_for_log("joined (2 clients)\n");
    ann.expect_message(kConnected);
    // Listening, what is announced, and two joins.
    CHECK(count(daemon.log(), "\n") == 4);
}

TEST_CASE("a request may arrive byte by byte") {
    Daemon daemon;
    Peer observer = join(daemon);
    Peer peer(daemon);
    send_one_by_one(peer, request("GET", "/"), observer);
    CHECK(peer.read_response().status == 200);
    peer.expect_eof();
}

TEST_CASE("a file arrives whole although the peer goes on sending") {
    Daemon daemon;
    Peer peer(daemon);
    peer.send(request("GET", "/chat.js", "Content-Length: 1000000\r\n") +
              std::string(1000000, 'x'));
    CHECK(peer.read_response().body.size() > 1000);
    peer.expect_eof();
}
