#include <string>

#include <doctest/doctest.h>

#include "util/host.h"

using namespace wschat;

TEST_CASE("a Host header is one host, and perhaps a port") {
    for (std::string text : {"a", "example.com:80", "[::1]:9600", "caf\xC3\xA9",
                             "a_b", "a*b", "127.1"}) {
        CAPTURE(text);
        CHECK(is_host_header(text));
    }
    for (std::string text : {"", "a b", "a\tb", "a,b", "a/b", "a?b", "a#b",
                             "u@a", "a\\b", "a\"b", "<a", "a>"}) {
        CAPTURE(text);
        CHECK_FALSE(is_host_header(text));
    }
}

TEST_CASE("the host of an origin is an address or printable ASCII") {
    for (std::string text : {"a", "example.com", "a_b", "::1", "192.0.2.1"}) {
        CAPTURE(text);
        CHECK(is_origin_host(text));
    }
    for (std::string text :
         {"a b", "a:80", "[::1]", "*", "a,b", "a;b", "a'b", "a/b", "u@a",
          "a\\b", "a\x7F", "a\x01", "caf\xC3\xA9"}) {
        CAPTURE(text);
        CHECK_FALSE(is_origin_host(text));
    }
}

TEST_CASE("a DNS name is labels, of which the last is no number") {
    for (std::string text : {"a", "chat.example.com", "a-b_c.example.",
                             "4chan.org", "1.example"}) {
        CAPTURE(text);
        CHECK(is_dns_name(text));
    }
    for (std::string text : {"", ".", "127.0.0.256", "127.1", "9600", "1.", "*",
                             "a b", "a:1", "::1", "caf\xC3\xA9"}) {
        CAPTURE(text);
        CHECK_FALSE(is_dns_name(text));
    }
}

TEST_CASE("brackets are removed as a pair") {
    CHECK(without_brackets("[::1]") == "::1");
    for (std::string text : {"", "[", "[]", "[::1", "::1]", "::1", "a"})
        CHECK(without_brackets(text) == text);
}
