#include <fstream>
#include <sstream>
#include <string>

#include <doctest/doctest.h>

#include "http/assets.h"
#include "fixtures/request_head.h"

using namespace wschat;
using namespace wschat::test;

namespace {

const char* const kTypes[][2] = {
    {"index.html", "text/html"},
    {"style.css", "text/css"},
    {"chat.js", "text/javascript"},
    {"wschat.js", "text/javascript"},
};

/// Returns a file of the source tree. REQUIRES: the test runs at its top.
std::string file(const std::string& name) {
    std::ostringstream content;
    content << std::ifstream("src/page/" + name).rdbuf();
    return content.str();
}

Response get(const std::string& target, const std::string& line = "X: y",
           bool rooms = false) {
    const std::string head =
        plain_request("GET " + target + " HTTP/1.1").with(line).text();
    return asset_response(parse_request(head), rooms,
                          "'self' https://example.com:*");
}

Response get_in_room(const std::string& target) {
    return get(target, "X: y", true);
}

std::string body(const Response& response) {
    return response.bytes.substr(response.bytes.find("\r\n\r\n") + 4);
}

std::string tag(const Response& response) {
    const size_t start = response.bytes.find("ETag: ") + 6;
    const size_t end = response.bytes.find("\r\n", start);
    return response.bytes.substr(start, end - start);
}

}  // namespace

TEST_CASE("each file is served by its name and on the page's own path") {
    for (const auto& row : kTypes) {
        const std::string name = row[0];
        CAPTURE(name);
        const bool is_page = name == "index.html";
        const Response by_name = get(is_page ? "/" : "/" + name);
        const Response by_query =
            get(is_page ? "/?x=y" : "/?v=1&asset=" + name);
        CHECK(by_name.status == 200);
        CHECK(body(by_name) == file(name));
        CHECK(body(by_name).size() > 100);
        CHECK(by_query.bytes == by_name.bytes);
        CHECK(has_line(by_name, std::string("Content-Type: ") + row[1] +
                                    "; charset=utf-8"));
    }
}

TEST_CASE("responses are revalidated, not sniffed, and run no foreign code") {
    const Response page = get("/");
    CHECK(has_line(page, "Cache-Control: no-cache"));
    CHECK(has_line(page, "X-Content-Type-Options: nosniff"));
    CHECK(has_line(page, "Connection: close"));
    CHECK(has_line(
        page, "Content-Length: " + std::to_string(file("index.html").size())));
    CHECK(page.bytes.find("Content-Security-Policy: default-src 'none'; "
                          "script-src 'self'; style-src 'self'") !=
          std::string::npos);
    CHECK(page.bytes.find("; frame-ancestors 'self' https://example.com:*"
                          "\r\n") != std::string::npos);
    CHECK(page.bytes.find("unsafe") == std::string::npos);
}

TEST_CASE(
    "the page has no inline scripts or styles, and none from other sites") {
    const std::string page = file("index.html");
    CHECK(page.find("<style") == std::string::npos);
    CHECK(page.find("style=") == std::string::npos);
    CHECK(page.find("<script>") == std::string::npos);
    CHECK(page.find("src=\"http") == std::string::npos);
    CHECK(page.find("src=\"/") == std::string::npos);
    CHECK(page.find("href=\"http") == std::string::npos);
}

TEST_CASE("a file that the browser already has is answered with 304") {
    const std::string own = tag(get("/chat.js"));
    CHECK(own.size() > 8);
    for (std::string value :
         {own, "W/" + own, "\"x\", " + own, own + ",\"y\"", std::string("*")}) {
        CAPTURE(value);
        const Response response = get("/chat.js", "If-None-Match: " + value);
        CHECK(response.status == 304);
        CHECK(body(response) == "");
        CHECK(tag(response) == own);
        CHECK(response.bytes.find("Content-Length") == std::string::npos);
        CHECK(has_line(response, "Cache-Control: no-cache"));
    }
    for (std::string value :
         {std::string("\"x\""), own.substr(1), std::string(), "w/" + own})
        CHECK(get("/chat.js", "If-None-Match: " + value).status == 200);
    CHECK(tag(get("/wschat.js")) != own);
}

TEST_CASE("other paths are not found") {
    for (std::string target :
         {"/x", "/index.html", "//", "/style.css/", "/STYLE.CSS", "/?asset=x",
          "/?asset=../main.cpp", "/..", "/%2e", "*", "?asset=style.css",
          "http://a/x"}) {
        CAPTURE(target);
        check_refusal(get(target));
        CHECK(get(target).status == 404);
    }
}

TEST_CASE("without rooms the 404 for another path names --rooms") {
    CHECK(get("/x").why == "not found: a path is a room only with --rooms");
    CHECK(get("/?asset=x").why == "not found");
    CHECK(get_in_room("/x?asset=x").why == "not found");
}

TEST_CASE("other methods are refused") {
    for (std::string method : {"POST", "PUT", "DELETE", "OPTIONS", "get"}) {
        const std::string head = plain_request(method + " / HTTP/1.1").text();
        const Response response = asset_response(parse_request(head), false, "'self'");
        CHECK(response.status == 405);
        check_refusal(response);
    }
}

TEST_CASE("with rooms any path serves the page, and its files by query") {
    const std::string page = file("index.html");
    for (std::string path : {"/", "/a", "/a/b", "/index.html", "/%2e"}) {
        CAPTURE(path);
        CHECK(body(get_in_room(path)) == page);
        CHECK(body(get_in_room(path + "?x=y")) == page);
        for (std::string name : {"style.css", "chat.js", "wschat.js"})
            CHECK(body(get_in_room(path + "?asset=" + name)) == file(name));
        CHECK(get_in_room(path + "?asset=x").status == 404);
        CHECK(body(get_in_room(path + "?asset=")) == page);
    }
    for (std::string name : {"style.css", "chat.js", "wschat.js"})
        CHECK(body(get_in_room("/" + name)) == file(name));
    CHECK(body(get_in_room("/style.css?asset=chat.js")) == file("chat.js"));
    CHECK(get_in_room("*").status == 404);
}

TEST_CASE("without rooms only the path / serves files by query") {
    CHECK(get("/a?asset=chat.js").status == 404);
    CHECK(body(get("/style.css?asset=chat.js")) == file("style.css"));
}
