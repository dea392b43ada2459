#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "http/router.h"
#include "fixtures/key_file.h"
#include "fixtures/request_head.h"
#include "fixtures/route_fields.h"

using namespace wschat;
using namespace wschat::test;

namespace {

RouterConfig config_of_site() {
    RouterConfig config;
    config.site = {"chat.example.com",
                  "wss://chat.example.com:9600/websocket.php"};
    config.origins = {"example.com"};
    return config;
}

RouteFields route_bytes(std::string_view bytes, const RouterConfig& config,
                        const std::string& peer) {
    HeadReader head;
    head.feed(bytes);
    return route_fields(head, address(peer), config);
}

RouteFields route_head(const Head& head,
                       const RouterConfig& config = config_of_site(),
                       const std::string& peer = "203.0.113.7") {
    return route_bytes(head.text(), config, peer);
}

Response answer_to(const Head& head) {
    return route_head(head).response;
}

int status_of(const Head& head) {
    return answer_to(head).status;
}

int status_of_line(const std::string& line) {
    return status_of(Head().request_line(line));
}

void check_refused(const Head& head, int status) {
    const Response answer = answer_to(head);
    CAPTURE(head.text());
    CHECK(answer.status == status);
    if (answer.status != 101) check_refusal(answer);
}

void check_accepted(const Head& head) {
    CAPTURE(head.text());
    CHECK(answer_to(head).bytes == answer_to(Head()).bytes);
}

}  // namespace

// Handshakes that are accepted

TEST_CASE("the handshake of RFC 6455, section 1.2, gets the RFC's response") {
    const Response answer = answer_to(Head());
    CHECK(answer.status == 101);
    CHECK(answer.bytes ==
          "HTTP/1.1 101 Switching Protocols\r\n"
          "Upgrade: websocket\r\n"
          "Connection: Upgrade\r\n"
          "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
          "WebSocket-Origin: chat.example.com\r\n"
          "WebSocket-Location: wss://chat.example.com:9600/websocket.php\r\n"
          "\r\n");
}

TEST_CASE("each key gets its own Sec-WebSocket-Accept") {
    struct {
        std::string key;
        std::string accept;
    } const keys[] = {
        {"x3JJHMbDL1EzLkh9GBhXDw==", "HSmrc0sMlYUkAGmm5OPpG2HaGWk="},
        {"AAAAAAAAAAAAAAAAAAAAAA==", "ICX+Yqv66kxgM0FcWaLWlFLwTAI="},
        {"/////////////////////w==", "XXpj4jYzLM2yUE0C7TIgMwTQh2g="},
    };
    for (const auto& row : keys)
        CHECK(
            has_line(answer_to(Head().replace("Sec-WebSocket-Key: " + row.key)),
                     "Sec-WebSocket-Accept: " + row.accept));
}

TEST_CASE("headers may be written in any case, with any space around values") {
    check_accepted(Head().replace("Host:server.example.com"));
    check_accepted(Head().replace("Host: \t server.example.com \t "));
    check_accepted(Head().without("Host").with("HOST: a"));
    check_accepted(Head().without("Upgrade").with("upgrade: WebSocket"));
    check_accepted(Head().without("Connection").with("CONNECTION: upgrade"));
    check_accepted(Head()
                       .without("Sec-WebSocket-Version")
                       .with("sec-websocket-version:  13  "));
    check_accepted(Head()
                       .without("Sec-WebSocket-Key")
                       .with("SEC-WEBSOCKET-KEY: dGhlIHNhbXBsZSBub25jZQ=="));
}

TEST_CASE("Upgrade and Connection are lists, over several lines too") {
    check_accepted(Head().replace("Connection: keep-alive, Upgrade"));
    check_accepted(Head().replace("Connection: Upgrade,keep-alive"));
    check_accepted(Head().replace("Connection: a ,\tupgrade , b"));
    check_accepted(Head().replace("Connection: ,,Upgrade,"));
    check_accepted(Head().with("Connection: keep-alive"));
    check_accepted(Head().replace("Connection: x").with("Connection: Upgrade"));
    check_accepted(Head().replace("Upgrade: h2c, websocket"));
    check_accepted(Head().replace("Upgrade: h2c").with("Upgrade: websocket"));
}

TEST_CASE("any path, any query and a later HTTP version are accepted") {
    for (std::string target :
         {"/", "/websocket.php", "/a/b?c=d&e=%20", "?x", "*",
          "http://server.example.com/chat", "/!$&'()*+,;=:@~-._"}) {
        CAPTURE(target);
        CHECK(status_of_line("GET " + target + " HTTP/1.1") == 101);
    }
    CHECK(status_of_line("GET / HTTP/1.2") == 101);
    CHECK(status_of_line("GET / HTTP/2.0") == 101);
}

TEST_CASE("unknown headers, extensions and subprotocols are ignored") {
    check_accepted(Head().with("Sec-WebSocket-Extensions: x-unknown; a=1"));
    check_accepted(Head().replace("Sec-WebSocket-Protocol: unknown"));
    check_accepted(Head().without("Origin"));
    check_accepted(Head().with("Cookie: a=b").with("Cookie: c=d"));
    check_accepted(Head().with("X-Empty:").with("X-Bytes: \xC3\xA9\xFF"));
    check_accepted(
        Head().with("!#$%&'*+-.^_`|~09azAZ: a name of all characters"));
    check_accepted(Head().with("Content-Length: 0"));
}

TEST_CASE("a host may have a port, and may be an address") {
    for (std::string host : {"a", "a:9600", "127.0.0.1:1", "[::1]:9600",
                             "xn--bcher-kva.example", "a_b.example."}) {
        CAPTURE(host);
        check_accepted(Head().replace("Host: " + host));
    }
}

// Refusals

TEST_CASE("malformed request lines are refused") {
    for (std::string line : {"",
                             " ",
                             "GET",
                             "GET /",
                             "GET / ",
                             "GET  / HTTP/1.1",
                             "GET /  HTTP/1.1",
                             " GET / HTTP/1.1",
                             "GET / HTTP/1.1 ",
                             "GET / HTTP/1.1 x",
                             "GET /a b HTTP/1.1",
                             "GET\t/\tHTTP/1.1",
                             "GET / HTTP/1",
                             "GET / HTTP/1.",
                             "GET / HTTP/.1",
                             "GET / HTTP/11",
                             "GET / HTTP/1.10",
                             "GET / HTTP/01.1",
                             "GET / HTTP/1,1",
                             "GET / HTTP/a.b",
                             "GET / http/1.1",
                             "GET / HTTPS/1.1",
                             "GET / 1.1",
                             "GET / HTTP 1.1",
                             "G(T / HTTP/1.1",
                             "\"GET\" / HTTP/1.1",
                             "GET /#fragment HTTP/1.1",
                             "GET /\t HTTP/1.1",
                             "{} / HTTP/1.1"}) {
        CAPTURE(line);
        check_refused(Head().request_line(line), 400);
    }
}

TEST_CASE("HTTP before 1.1 is refused") {
    for (std::string version : {"0.9", "1.0"})
        check_refused(Head().request_line("GET / HTTP/" + version), 400);
}

TEST_CASE("malformed header lines are refused") {
    for (std::string line :
         {"no colon", ": no name", "X : blank before the colon",
          "X\t: tab before the colon", " folded: line", "\tfolded: line",
          " folded", "Two words: x", "X(y): x", "X\"y: x", "X/y: x", "X[]: x",
          "X{}: x", "X@y: x", "X=y: x", "X;y: x", "X,y: x", "caf\xC3\xA9: x"}) {
        CAPTURE(line);
        check_refused(Head().with(line), 400);
        check_refused(plain_request("GET / HTTP/1.1").with(line), 400);
    }
}

TEST_CASE("exactly one valid Host is required") {
    check_refused(Head().without("Host"), 400);
    check_refused(Head().with("Host: server.example.com"), 400);
    check_refused(Head().with("host: other.example.com"), 400);
    check_refused(plain_request("GET / HTTP/1.1").without("Host"), 400);
    for (std::string host : {"", " ", "a b", "a,b", "a/b", "a@b", "a?b", "a#b",
                             "\"a\"", "<a>", "a\\b"}) {
        CAPTURE(host);
        check_refused(Head().replace("Host: " + host), 400);
    }
}

TEST_CASE("a request without an upgrade gets the page, unless it is disabled") {
    const Head requests[] = {
        plain_request("GET / HTTP/1.1"),
        plain_request("GET / HTTP/1.1").with("Connection: keep-alive"),
        plain_request("GET / HTTP/1.1")
            .with("Connection: Upgrade, HTTP2-Settings")
            .with("Upgrade: h2c"),
        plain_request("GET / HTTP/1.1").with("Origin: http://evil.example"),
    };
    RouterConfig without = config_of_site();
    without.page = false;
    for (const Head& head : requests) {
        const RouteFields with = route_head(head);
        CHECK(with.response.status == 200);
        CHECK(with.response.why.empty());
        const RouteFields refused = route_head(head, without);
        CHECK(refused.response.status == 404);
        check_refusal(refused.response);
    }
    CHECK(route_head(plain_request("GET /x HTTP/1.1")).response.status == 404);
    CHECK(route_head(Head(), without).response.status == 101);
}

TEST_CASE("methods other than GET are refused") {
    for (std::string method :
         {"POST", "PUT", "DELETE", "OPTIONS", "CONNECT", "get", "X"}) {
        CAPTURE(method);
        if (method != "POST")
            check_refused(plain_request(method + " / HTTP/1.1"), 405);
        check_refused(Head().request_line(method + " / HTTP/1.1"), 405);
    }
}

TEST_CASE("without rooms a message is published at / only") {
    RouterConfig config = config_of_site();
    config.keys = some_keys();
    const auto post_to = [&config](const std::string& target) {
        return route_head(plain_request("POST " + target + " HTTP/1.1")
                              .with("Authorization: " + std::string(kBearer))
                              .with("Content-Length: 2"),
                          config)
            .response;
    };
    for (std::string target : {"/", "/?x"})
        CHECK(post_to(target).status == 100);
    for (std::string target : {"/x", "//", "/chat.js", "?x"}) {
        CAPTURE(target);
        CHECK(post_to(target).status == 404);
        CHECK(post_to(target).why ==
              "not found: a path is a room only with --rooms");
    }
    config.rooms = true;
    CHECK(post_to("/x").status == 100);
}

TEST_CASE("a slash at the end of a room leads the browser to the room") {
    RouterConfig config = config_of_site();
    config.rooms = true;
    struct {
        const char* target;
        const char* location;
    } const rows[] = {
        {"/a/", "../a"},
        {"/a/b/", "../b"},
        {"/%C3%A9%20/", "../%C3%A9%20"},
        {"/a:b/?x=/y/", "../a:b?x=/y/"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.target);
        for (std::string method : {"GET", "HEAD"}) {
            const Response answer =
                route_head(plain_request(method + " " + row.target +
                                         " HTTP/1.1"),
                           config)
                    .response;
            CHECK(answer.status == 308);
            CHECK(has_line(answer, std::string("Location: ") + row.location));
        }
    }
    const auto check_told = [&config](const Head& head) {
        const Response answer = route_head(head, config).response;
        CHECK(answer.status == 400);
        CHECK(answer.why == "room name with a slash at its end");
    };
    check_told(Head().request_line("GET /a/ HTTP/1.1"));
    check_told(plain_request("POST /a/ HTTP/1.1"));
    // No redirect leads to another site or to a path that is no room.
    for (std::string target :
         {"//", "//evil.example/", "/a//", "/../", "/%2f/"})
        CHECK(route_head(plain_request("GET " + target + " HTTP/1.1"), config)
                  .response.why == "invalid room name in the path");
    config.page = false;
    check_told(plain_request("GET /a/ HTTP/1.1"));
}

TEST_CASE("a page of an admitted origin may show the page in a frame") {
    RouterConfig config = config_of_site();
    config.origins.admitted = {"https://shop.example"};
    const Response page =
        route_head(plain_request("GET / HTTP/1.1"), config).response;
    CHECK(page.bytes.find(" https://shop.example\r\n") != std::string::npos);
}

TEST_CASE("the response to HEAD has no body") {
    const Head heads[] = {
        plain_request("HEAD / HTTP/1.1"),
        plain_request("HEAD /x HTTP/1.1"),
        Head().request_line("HEAD / HTTP/1.1"),
    };
    const int statuses[] = {200, 404, 405};
    for (size_t i = 0; i < 3; ++i) {
        const Response answer = answer_to(heads[i]);
        CHECK(answer.status == statuses[i]);
        CHECK(answer.bytes.find("\r\n\r\n") == answer.bytes.size() - 4);
        CHECK_FALSE(has_line(answer, "Content-Length: 0"));
    }
}

TEST_CASE("a handshake that lacks a header is refused") {
    check_refused(Head().without("Upgrade"), 400);
    check_refused(Head().replace("Upgrade: websockets"), 400);
    check_refused(Head().replace("Upgrade: web socket"), 400);
    check_refused(Head().replace("Upgrade:"), 400);
    check_refused(Head().without("Connection"), 400);
    check_refused(Head().replace("Connection: keep-alive"), 400);
    check_refused(Head().replace("Connection: upgraded"), 400);
    check_refused(Head().replace("Connection: up grade"), 400);
    check_refused(Head().without("Sec-WebSocket-Key"), 400);
}

TEST_CASE("versions other than 13 are refused with 426, which names 13") {
    check_refused(Head().without("Sec-WebSocket-Version"), 426);
    for (std::string version : {"", "0", "8", "12", "14", "013", "13.0", "1 3",
                                "13, 8", "\"13\"", "130", "-13", "+13"}) {
        CAPTURE(version);
        check_refused(Head().replace("Sec-WebSocket-Version: " + version), 426);
    }
    check_refused(Head().with("Sec-WebSocket-Version: 13"), 400);
    check_refused(Head().with("Sec-WebSocket-Version: 8"), 400);
}

TEST_CASE("exactly one key of 16 bytes in base64 is required") {
    for (std::string key :
         {"", "=", "==", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZQ=",
          "dGhlIHNhbXBsZSBub25jZQ===", "dGhlIHNhbXBsZSBub25jZQA=",
          "dGhlIHNhbXBsZSBub25jZQAA", "dGhlIHNhbXBsZSBub25jAA==x",
          "dGhlIHNhbXBsZSBub25j==", "dGhlIHNhbXBsZSBub25jZQAAAA==",
          "dGhl HNhbXBsZSBub25jZQ==", "dGhl-HNhbXBsZSBub25jZQ==",
          "dGhl_HNhbXBsZSBub25jZQ==", "dGhl=HNhbXBsZSBub25jZQ==",
          "dGhlIHNhbXBsZSBub25jZ===", "\"GhlIHNhbXBsZSBub25jZQ==",
          "dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ=="}) {
        CAPTURE(key);
        check_refused(Head().replace("Sec-WebSocket-Key: " + key), 400);
    }
    check_refused(Head().with("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="),
                  400);
    check_refused(Head().with("sec-websocket-key: x3JJHMbDL1EzLkh9GBhXDw=="),
                  400);
}

TEST_CASE("a handshake has no body") {
    check_refused(Head().with("Content-Length: 1"), 400);
    check_refused(Head().with("Content-Length: 00010"), 400);
    check_refused(Head().with("Content-Length: none"), 400);
    check_refused(Head().with("Content-Length: -0"), 400);
    check_refused(Head().with("Content-Length: 0").with("Content-Length: 5"),
                  400);
    check_refused(Head().with("Transfer-Encoding: chunked"), 400);
    check_refused(Head().with("transfer-encoding: identity"), 400);
    check_refused(Head().with("Content-Length:"), 400);
}

TEST_CASE("no part of a refused request is in its response") {
    const std::string script = "<script>alert(1)</script>";
    for (const Head& head :
         {Head().request_line(script), Head().request_line("GET " + script),
          Head().replace("Host: " + script), Head().with(script),
          Head().replace("Upgrade: " + script),
          Head().replace("Sec-WebSocket-Key: " + script),
          Head().replace("Sec-WebSocket-Version: " + script)}) {
        const Response answer = answer_to(head);
        CHECK(answer.status >= 400);
        CHECK(answer.bytes.find("script") == std::string::npos);
        CHECK(answer.why.find("script") == std::string::npos);
    }
}

TEST_CASE("any bytes that end a head get a response") {
    const std::string head = Head().text();
    int wrong = 0;
    const auto check = [&wrong](const std::string& bytes) {
        const std::vector<char> copy(bytes.begin(), bytes.end());
        HeadReader reader;
        reader.feed({copy.data(), copy.size()});
        if (reader.state() == HeadReader::State::NeedMore) return;
        const Response answer =
            route_fields(reader, address("203.0.113.7"), config_of_site())
                .response;
        const std::string start =
            "HTTP/1.1 " + std::to_string(answer.status) + " ";
        if (answer.bytes.rfind(start, 0) != 0) ++wrong;
    };
    for (size_t n = 0; n < head.size(); ++n) {
        check(head.substr(0, n));
        check(head.substr(n));
        for (char c : {'\0', '\r', '\n', ' ', ':', ',', '/', '\xFF'}) {
            std::string changed = head;
            changed[n] = c;
            check(changed);
            check(head.substr(0, n) + c + head.substr(n));
        }
    }
    CHECK(wrong == 0);
}

// Origins, clients and negotiation

TEST_CASE(
    "a page of another site is refused, and the reason names the option") {
    const RouteFields refused =
        route_head(Head().replace("Origin: https://Evil.example:443"));
    CHECK(refused.response.status == 403);
    CHECK(refused.response.why ==
          "origin https://Evil.example:443: "
          "--origin=https://evil.example would allow it");
    CHECK(refused.response.bytes.find("vil") == std::string::npos);
    RouterConfig config = config_of_site();
    config.origins.admitted = {"https://evil.example"};
    CHECK(route_head(Head().replace("Origin: https://evil.example"), config)
              .response.status == 101);
}

TEST_CASE("a malformed origin is refused without naming the option") {
    for (std::string origin : {"", "x", "http:/x", "*", "http://a b"}) {
        CAPTURE(origin);
        const Response answer = answer_to(Head().replace("Origin: " + origin));
        CHECK(answer.status == 403);
        CHECK(answer.why == "origin " + origin);
    }
    CHECK(status_of(Head().with("Origin: http://example.com")) == 400);
}

TEST_CASE("a long origin is cut in the log") {
    const std::string host(192, 'a');
    CHECK(answer_to(Head().replace("Origin: http://" + host + "b")).why ==
          "origin http://" + host + "b: --origin=http://" + host +
              "b would allow it");
    CHECK(answer_to(Head().replace("Origin: http://" + host + "bc")).why ==
          "origin http://" + host + "b...");
    const std::string much(4000, '\xBF');
    CHECK(answer_to(Head().replace("Origin: " + much)).why.size() < 220);
}

TEST_CASE(
    "a loopback page is admitted unless a proxy has forwarded the request") {
    const std::string here = "127.0.0.1";
    const Head head = Head()
                          .replace("Origin: http://localhost:8080")
                          .replace("Host: 127.0.0.1:9600");
    CHECK(route_head(head, config_of_site(), here).response.status == 101);
    CHECK(route_head(head).response.status == 403);
    for (std::string line : {"X-Forwarded-For: 203.0.113.9", "Via: 1.1 proxy",
                             "Forwarded: for=203.0.113.9"}) {
        CAPTURE(line);
        const Head forwarded = Head(head).with(line);
        CHECK(route_head(forwarded, config_of_site(), here).response.status ==
              403);
    }
}

TEST_CASE("the client of a trusted proxy is the address that it names") {
    RouterConfig config = config_of_site();
    config.trusted_proxies.add("loopback");
    const std::string proxy = "127.0.0.1";
    const Head head = Head().with("X-Forwarded-For: 6.6.6.6, 203.0.113.9");
    CHECK(route_head(head, config, proxy).client.address.to_string() ==
          "203.0.113.9");
    CHECK(
        route_head(head, config_of_site(), proxy).client.address.to_string() ==
        "127.0.0.1");
    CHECK(
        route_head(head, config_of_site(), proxy).client.ignored_forwarded_for);
    const RouteFields bad =
        route_head(Head().with("X-Forwarded-For: x"), config, proxy);
    CHECK(bad.response.status == 400);
    CHECK(bad.client.address.to_string() == "127.0.0.1");
}

TEST_CASE("compression is negotiated if it is offered and enabled") {
    const Head head =
        Head().with("Sec-WebSocket-Extensions: permessage-deflate");
    const RouteFields with = route_head(head);
    CHECK(with.upgrade.agreement.compression.client_may_deflate);
    CHECK(has_line(with.response,
                   "Sec-WebSocket-Extensions: permessage-deflate; "
                   "server_no_context_takeover; client_no_context_takeover"));
    RouterConfig off = config_of_site();
    off.deflate = false;
    const RouteFields without = route_head(head, off);
    CHECK_FALSE(without.upgrade.agreement.compression.client_may_deflate);
    CHECK(without.response.bytes == route_head(Head()).response.bytes);
    CHECK_FALSE(route_head(Head(head).without("Sec-WebSocket-Key"))
                    .upgrade.agreement.compression.client_may_deflate);
}

TEST_CASE("the subprotocol wschat.v1 is negotiated if it is offered") {
    const RouteFields with = route_head(
        Head().replace("Sec-WebSocket-Protocol: chat, wschat.v1, x"));
    CHECK(with.upgrade.agreement.v1);
    CHECK(has_line(with.response, "Sec-WebSocket-Protocol: wschat.v1"));
    CHECK_FALSE(route_head(Head()).upgrade.agreement.v1);
    CHECK_FALSE(route_head(Head().replace("Sec-WebSocket-Protocol: WSCHAT.V1"))
                    .upgrade.agreement.v1);
    CHECK_FALSE(route_head(Head()
                               .replace("Sec-WebSocket-Protocol: wschat.v1")
                               .without("Sec-WebSocket-Key"))
                    .upgrade.agreement.v1);
}

TEST_CASE("a head that is too large or has a bad byte is refused") {
    const auto status = [](const std::string& bytes) {
        return route_bytes(bytes, config_of_site(), "::1").response.status;
    };
    CHECK(status(std::string(kMaxHead, 'x')) == 431);
    CHECK(status("{\"a\":1}") == 400);
    CHECK(status(std::string("GET\0", 4)) == 400);
}

// Rooms

namespace {

RouterConfig with_rooms() {
    RouterConfig config = config_of_site();
    config.rooms = true;
    config.keys = some_keys();
    config.max_body = 100;
    return config;
}

Head post_to(const std::string& target) {
    return plain_request("POST " + target + " HTTP/1.1")
        .with("Authorization: " + std::string(kBearer))
        .with("Content-Length: 2");
}

/// Returns one request of each kind for this target.
std::vector<Head> requests_for(const std::string& target) {
    return {Head().request_line("GET " + target + " HTTP/1.1"), post_to(target),
            plain_request("GET " + target + " HTTP/1.1")};
}

}  // namespace

TEST_CASE("with rooms the path names the room") {
    const int statuses[] = {101, 100, 200};
    for (size_t i = 0; i < 3; ++i) {
        CAPTURE(i);
        const RouteFields with =
            route_head(requests_for("/caf%C3%A9/b?x=/y")[i], with_rooms());
        CHECK(with.response.status == statuses[i]);
        // The page of each room is the same.
        if (statuses[i] == 200) continue;
        CHECK(with.room == "/caf\xC3\xA9/b");
        CHECK(route_head(requests_for("/")[i], with_rooms()).room == "/");
        CHECK(route_head(requests_for("http://a.example?b")[i], with_rooms())
                  .room == "/");
        RouteFields without =
            route_head(requests_for("/a/../b")[i], config_of_site());
        if (statuses[i] == 101) CHECK(without.room == "/");
    }
}

TEST_CASE("a path that names no room is refused for every kind of request") {
    for (std::string target :
         {"/..", "/a/%2e%2E/b", "//", "/a//", "/%2F", "/%", "/%00", "/%FF", "*",
          "?a=b", "http://example.com/..?a"}) {
        for (const Head& head : requests_for(target)) {
            CAPTURE(head.text());
            const RouteFields refused = route_head(head, with_rooms());
            CHECK(refused.response.status == 400);
            check_refusal(refused.response);
            CHECK(refused.request.size == 0);
        }
    }
    const std::string longest = "/" + std::string(127, 'a');
    for (const Head& head : requests_for(longest))
        CHECK(route_head(head, with_rooms()).response.status <= 200);
    for (const Head& head : requests_for(longest + "a"))
        CHECK(route_head(head, with_rooms()).response.status == 400);
}

TEST_CASE("a client of wschat.v1 may resume") {
    const Head head = Head()
                          .request_line("GET /a?epoch=abc&since=7 HTTP/1.1")
                          .replace("Sec-WebSocket-Protocol: wschat.v1");
    for (const RouterConfig& config : {config_of_site(), with_rooms()}) {
        const RouteFields back = route_head(head, config);
        CHECK(back.upgrade.resume.epoch == "abc");
        CHECK(back.upgrade.resume.since == 7);
        CHECK(route_head(Head(head).without("Sec-WebSocket-Protocol"), config)
                  .upgrade.resume.epoch == "");
        const RouteFields refused =
            route_head(Head(head).without("Sec-WebSocket-Key"), config);
        CHECK(refused.response.status == 400);
        CHECK(refused.upgrade.resume.epoch == "");
    }
}

// Publishing

TEST_CASE("the body of a POST with a key is expected, for any room") {
    RouterConfig config = with_rooms();
    const RouteFields in_room = route_head(post_to("/a"), config);
    CHECK(in_room.response.status == 100);
    CHECK(in_room.room == "/a");
    CHECK(in_room.request.size == 2);
    config.rooms = false;
    CHECK(route_head(post_to("/"), config).room == "/");
    config.page = false;
    CHECK(route_head(post_to("/"), config).response.status == 100);
}

TEST_CASE("a POST is refused for the reasons of accept_publish()") {
    const RouterConfig config = with_rooms();
    const auto status = [&config](const Head& head) {
        const Response answer = route_head(head, config).response;
        check_refusal(answer);
        return answer.status;
    };
    CHECK(status(post_to("/").with("Content-Length: 2")) == 400);
    CHECK(status(post_to("/").without("Authorization")) == 401);
    CHECK(status(post_to("/").without("Content-Length")) == 411);
    CHECK(status(post_to("/").replace("Content-Length: 101")) == 413);
    CHECK(status(post_to("/").without("Host")) == 400);
    CHECK(route_head(post_to("/"), config_of_site()).response.status == 403);
}

TEST_CASE("a POST that asks for an upgrade is refused") {
    const Head head = Head()
                          .request_line("POST / HTTP/1.1")
                          .with("Authorization: " + std::string(kBearer))
                          .with("Content-Length: 2");
    CHECK(route_head(head, with_rooms()).response.status == 405);
}

TEST_CASE("keys are neither in a response nor in the log") {
    const std::string secret = "0123456789abcdeX";
    const Response answer =
        route_head(post_to("/").replace("Authorization: Bearer " + secret),
                   with_rooms())
            .response;
    CHECK(answer.status == 401);
    CHECK((answer.bytes + answer.why).find(secret) == std::string::npos);
}
