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

TEST_CASE("a DNS name is a list of labels, and the last one is not a number") {
    for (std::string text : {"a", "chat.example.com", "a-b_c.example.",
                             "4chan.org", "1.example"}) {
        CAPTURE(text);
        CHECK(is_dns_name(text));
    }
    for (std::string text : {"", ".", "127.0.0.256", "127.1", "9600", "1.", "*",
                             "a b", "a:1", "::1", "caf\xC3\xA9", "a..b",
                             ".a", "..a", "a..", "..", "a.b..c."}) {
        CAPTURE(text);
        CHECK_FALSE(is_dns_name(text));
    }
}

TEST_CASE("brackets are removed as a pair") {
    CHECK(without_brackets("[::1]") == "::1");
    for (std::string text : {"", "[", "[]", "[::1", "::1]", "::1", "a"})
        CHECK(without_brackets(text) == text);
}

TEST_CASE("IPv6 addresses are in brackets in a URL") {
    CHECK(host_in_url("localhost") == "localhost");
    CHECK(host_in_url("127.0.0.1") == "127.0.0.1");
    CHECK(host_in_url("::1") == "[::1]");
    CHECK(host_in_url("2001:db8::7") == "[2001:db8::7]");
}

TEST_CASE("hosts that always mean this machine are known") {
    for (std::string host :
         {"localhost", "LOCALHOST", "LocalHost", "127.0.0.1", "127.0.0.0",
          "127.1.2.3", "127.255.255.255", "::1", "0:0:0:0:0:0:0:1",
          "0000::0001", "::ffff:127.0.0.1"}) {
        CAPTURE(host);
        CHECK(is_loopback_host(host));
    }
    for (std::string host :
         {"", "localhos", "localhosts", "localhost.example.com", "my-localhost",
          "126.255.255.255", "128.0.0.1", "0.0.0.0", "10.127.0.1", "127.0.0",
          "127.0.0.256", "127.0.0.1.example.com", "::", "::2", "1::1",
          "::ffff:10.0.0.1", "[::1]", "example.com"}) {
        CAPTURE(host);
        CHECK_FALSE(is_loopback_host(host));
    }
}

TEST_CASE("local hosts are those of the own machine and network") {
    for (std::string host :
         {"localhost", "127.1.2.3", "::1", "10.0.0.1", "10.255.255.255",
          "172.16.0.1", "172.31.255.255", "192.168.0.1", "169.254.1.1",
          "::ffff:192.168.0.1", "fc00::1", "fdff::1", "fe80::1", "febf::1",
          "chat.local.example", "LOCAL.example", "mylocal.dev"}) {
        CAPTURE(host);
        CHECK(is_local_host(host));
    }
    for (std::string host :
         {"9.255.255.255", "11.0.0.0", "172.15.255.255", "172.32.0.0",
          "192.167.0.1", "192.169.0.1", "169.253.0.1", "0.0.0.0", "::",
          "fbff::1", "fe00::1", "fec0::1", "2001:db8::1", "example.com",
          "locals.example", "chat.local", "10.example.com"}) {
        CAPTURE(host);
        CHECK_FALSE(is_local_host(host));
    }
}

TEST_CASE("the host is the text before the port") {
    struct {
        std::string text;
        std::string host;
    } const rows[] = {
        {"example.com", "example.com"}, {"example.com:80", "example.com"},
        {"example.com:", "example.com"}, {"[::1]", "::1"},
        {"[::1]:9600", "::1"},          {"1.2.3.4:65535", "1.2.3.4"},
    };
    for (const auto& row : rows)
        CHECK(host_before_port(row.text) == row.host);
    for (std::string text : {"", ":80", "[]", "[::1", "[::1]x", "[::1]80",
                             "a:b", "a:123456", "a:1:2", "::1"}) {
        CAPTURE(text);
        CHECK_FALSE(host_before_port(text).has_value());
    }
}
