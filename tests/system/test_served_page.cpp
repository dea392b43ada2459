// The chat page and its parts, as browsers ask for them.
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

/// What is answered, and then the connection ends.
ReceivedResponse answer(const Daemon& daemon, const std::string& request) {
    Peer peer(daemon);
    peer.send(request);
    const ReceivedResponse response = peer.answer();
    peer.hears_end();
    return response;
}

}  // namespace

TEST_CASE("a browser gets the page and its parts") {
    Daemon daemon;
    const ReceivedResponse page = answer(daemon, request("GET", "/"));
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
        const ReceivedResponse part = answer(daemon, request("GET", "/" + name));
        CHECK(part.status == 200);
        CHECK(part.body.size() > 1000);
        CHECK(answer(daemon, request("GET", "/?asset=" + name)).body ==
              part.body);
    }
}

TEST_CASE("HEAD tells what GET would, without the body") {
    Daemon daemon;
    const ReceivedResponse page = answer(daemon, request("GET", "/"));
    Peer peer(daemon);
    peer.send(request("HEAD", "/"));
    CHECK(peer.answer_head() == page.head);
    peer.hears_end();
}

TEST_CASE("what has not changed is not sent again") {
    Daemon daemon;
    const ReceivedResponse page = answer(daemon, request("GET", "/"));
    Peer peer(daemon);
    peer.send(request("GET", "/",
                      "If-None-Match: " + page.header("ETag") + "\r\n"));
    const std::string head = peer.answer_head();
    CHECK(head.rfind("HTTP/1.1 304 ", 0) == 0);
    CHECK(head.find(page.header("ETag")) != std::string::npos);
    peer.hears_end();
}

TEST_CASE("other paths and methods are refused") {
    Daemon daemon;
    for (std::string target : {"/x", "/index.html", "/?asset=x", "*"}) {
        Peer peer(daemon);
        peer.send(request("GET", target));
        peer.is_refused(404);
    }
    for (std::string method : {"PUT", "DELETE", "OPTIONS"}) {
        Peer peer(daemon);
        peer.send(request(method, "/"));
        peer.is_refused(405);
    }
}

TEST_CASE("with --no-page there are WebSockets and nothing else") {
    Daemon daemon({"--no-page"});
    for (std::string target : {"/", "/wschat.js", "/?asset=wschat.js"}) {
        Peer peer(daemon);
        peer.send(request("GET", target));
        peer.is_refused(404);
    }
    Peer ann = join(daemon);
    ann.sync();
}

TEST_CASE("who loads the page is announced to nobody, nor logged") {
    Daemon daemon({"--announce=address"});
    Peer ann = join(daemon);
    ann.next();
    answer(daemon, request("GET", "/"));
    answer(daemon, request("GET", "/chat.js"));
    const Peer bob = join(daemon);
    daemon.wait_log("joined (2 clients)\n");
    ann.hears(kConnected);
    CHECK(count(daemon.log(), "\n") == 3);  // listening, and both have joined
}

TEST_CASE("a request in pieces gets the page too") {
    Daemon daemon;
    Peer pacer = join(daemon);
    Peer peer(daemon);
    send_one_by_one(peer, request("GET", "/"), pacer);
    CHECK(peer.answer().status == 200);
    peer.hears_end();
}

TEST_CASE("a page is read to its end though the peer goes on sending") {
    Daemon daemon;
    Peer peer(daemon);
    peer.send(request("GET", "/chat.js", "Content-Length: 1000000\r\n") +
              std::string(1000000, 'x'));
    CHECK(peer.answer().body.size() > 1000);
    peer.hears_end();
}
