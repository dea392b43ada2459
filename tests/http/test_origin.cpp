#include "http/origin.h"

#include <string>
#include <vector>

#include <doctest/doctest.h>

using namespace wschat;

namespace {

bool is_allowed(const std::string& origin, const std::string& host,
                 const std::vector<std::string>& admitted = {},
                 bool local = false) {
    return is_allowed_origin({"Example.com", admitted}, origin, host, local);
}

}  // namespace

TEST_CASE("an origin is normalized to the form that browsers use") {
    struct {
        std::string text;
        std::string origin;
    } const rows[] = {
        {"http://example.com", "http://example.com"},
        {"HTTPS://Example.COM", "https://example.com"},
        {"http://example.com:80", "http://example.com"},
        {"https://example.com:443", "https://example.com"},
        {"http://example.com:443", "http://example.com:443"},
        {"http://example.com:8080", "http://example.com:8080"},
        {"http://example.com:", "http://example.com"},
        {"HTTPS://[::1]:", "https://[::1]"},
        {"chrome-extension://abcdef:", "chrome-extension://abcdef"},
        {"http://[::1]:80", "http://[::1]"},
        {"http://[2001:DB8::1]:81", "http://[2001:db8::1]:81"},
        {"chrome-extension://abcdef", "chrome-extension://abcdef"},
        {"null", "null"},
        {"*", "*"},
    };
    for (const auto& row : rows) CHECK(parse_origin(row.text) == row.origin);
    for (std::string text :
         {"", "example.com", "http:", "http://", "://example.com", "http://:80",
          "http://a/", "http://a/b", "http://a?b", "http://a#b", "http://u@a",
          "http://a b", "http://a:b", "http://a:123456", "http://[::1",
          "h ttp://a", "http://a,http://b", "http://*", "Null", "**"}) {
        CAPTURE(text);
        CHECK_FALSE(parse_origin(text).has_value());
    }
}

TEST_CASE("pages of the host are allowed, by http or https, on any port") {
    for (std::string origin :
         {"http://example.com", "https://example.com", "http://example.com:81",
          "https://www.example.com", "HTTP://WWW.EXAMPLE.COM:9"})
        CHECK(is_allowed(origin, "elsewhere.example"));
}

TEST_CASE("only http and https are schemes of pages of the host") {
    for (std::string scheme : {"chrome-extension", "ws", "wss", "ftp", "app",
                               "capacitor", "file"}) {
        CAPTURE(scheme);
        CHECK_FALSE(is_allowed(scheme + "://example.com", "example.com"));
        CHECK_FALSE(is_allowed(scheme + "://192.0.2.1", "192.0.2.1"));
        CHECK_FALSE(is_allowed(scheme + "://localhost", "localhost", {}, true));
        CHECK(is_allowed(scheme + "://example.com", "x",
                         {scheme + "://example.com"}));
    }
}

TEST_CASE("with TLS, pages of the host must come by https") {
    OriginConfig config{"example.com"};
    config.is_tls = true;
    const auto is_tls_allowed = [&config](const std::string& origin,
                                          const std::string& host) {
        return is_allowed_origin(config, origin, host, false);
    };
    CHECK(is_tls_allowed("https://example.com", "x"));
    CHECK(is_tls_allowed("https://www.example.com:444", "x"));
    CHECK_FALSE(is_tls_allowed("http://example.com", "example.com"));
    CHECK(is_tls_allowed("https://192.0.2.1", "192.0.2.1"));
    CHECK_FALSE(is_tls_allowed("http://192.0.2.1", "192.0.2.1"));
    // Development pages on the same machine need no certificate.
    CHECK(is_allowed_origin(config, "http://localhost:3000", "localhost:9600",
                            true));
    config.admitted = {"http://example.com"};
    CHECK(is_tls_allowed("http://example.com", "x"));
}

TEST_CASE("pages of other hosts are refused, even if Host names them") {
    for (std::string host :
         {"evil.example", "example.com.evil.example", "notexample.com",
          "example.co", "www.www.example.com", "w.example.com", "localhost",
          "example.com@evil.example"}) {
        CAPTURE(host);
        CHECK_FALSE(is_allowed("http://" + host, host));
        CHECK_FALSE(is_allowed("http://" + host, host + ":9600"));
    }
    for (std::string origin : {"null", "", "x", "example.com",
                               "http://example.com/", "http://example.com:x"})
        CHECK_FALSE(is_allowed(origin, "example.com"));
}

TEST_CASE("a page of an IP address is allowed if Host is the same one") {
    CHECK(is_allowed("http://192.0.2.1", "192.0.2.1"));
    CHECK(is_allowed("https://192.0.2.1:444", "192.0.2.1:9600"));
    CHECK(is_allowed("http://[2001:db8::1]", "[2001:DB8:0::1]:9600"));
    CHECK(is_allowed("http://127.0.0.1:80", "127.0.0.1:9600"));
    CHECK_FALSE(is_allowed("http://192.0.2.1", "192.0.2.2"));
    CHECK_FALSE(is_allowed("http://192.0.2.1", "example.com"));
    CHECK_FALSE(is_allowed("http://evil.example", "192.0.2.1"));
    CHECK_FALSE(is_allowed("http://192.0.2.1", "192.0.2.1:x"));
}

TEST_CASE("loopback pages are allowed for a client on this machine") {
    for (std::string origin : {"http://localhost:3000", "http://127.0.0.1",
                               "https://[::1]:1", "http://LOCALHOST"})
        for (std::string host : {"localhost:9600", "127.0.0.2", "[::1]:9600"}) {
            CHECK(is_allowed(origin, host, {}, true));
            CHECK_FALSE(is_allowed(origin, "evil.example", {}, true));
        }
    CHECK_FALSE(is_allowed("http://evil.example", "localhost", {}, true));
    CHECK_FALSE(is_allowed("http://localhost", "localhost", {}, false));
}

TEST_CASE("other origins are allowed if they were admitted, exactly") {
    const std::vector<std::string> named = {"https://a.example",
                                            "http://b.example:81", "null"};
    for (const std::string& origin : named)
        CHECK(is_allowed(origin, "x", named));
    for (std::string origin : {"http://a.example", "https://a.example:444",
                               "http://b.example", "https://sub.a.example"})
        CHECK_FALSE(is_allowed(origin, "x", named));
    for (std::string origin : {"http://any.example", "null", "x", ""})
        CHECK(is_allowed(origin, "x", {"*"}));
    CHECK_FALSE(is_allowed("*", "x", {}));
}

TEST_CASE("pages of the origins that are admitted may show the page") {
    CHECK(frame_ancestors({"Example.com"}) ==
          "'self' http://example.com:* https://example.com:* "
          "http://www.example.com:* https://www.example.com:*");
    // A page of http may not connect, so it may not show the page either.
    CHECK(frame_ancestors({"example.com", {}, true}) ==
          "'self' https://example.com:* https://www.example.com:*");
    CHECK(frame_ancestors({"192.0.2.1",
                           {"https://shop.example", "null", "http://[::1]:8",
                            "http://a.example:81"}}) ==
          "'self' http://192.0.2.1:* https://192.0.2.1:* "
          "https://shop.example http://a.example:81");
    CHECK(frame_ancestors({"::1", {"*"}}) == "'self' *");
}
