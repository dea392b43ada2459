#include "util/address.h"

#include <string>

#include <doctest/doctest.h>

using namespace wschat;

namespace {

Address address(const std::string& text) {
    return text == "unix" ? Address() : Address::parse(text).value();
}

}  // namespace

TEST_CASE("an address has one canonical form") {
    struct {
        std::string text;
        std::string canonical;
    } const rows[] = {
        {"127.0.0.1", "127.0.0.1"},
        {"::ffff:203.0.113.7", "203.0.113.7"},
        {"::FFFF:cb00:7107", "203.0.113.7"},
        {"2001:DB8:0:0:0:0:0:1", "2001:db8::1"},
        {"::", "::"},
    };
    for (const auto& row : rows) {
        const auto parsed = Address::parse(row.text);
        REQUIRE(parsed);
        CHECK(parsed->to_string() == row.canonical);
        CHECK((parsed == Address::parse(row.canonical)));
        CHECK(is_ip_address(row.text));
    }
    for (std::string text : {"", "x", "1.2.3", "1.2.3.4.5", "256.1.1.1",
                             "1.2.3.4 ", " 1.2.3.4", "1.2.3.4:80", "[::1]",
                             "::1%lo", ":::", "1.2.3.04x", "localhost"}) {
        CAPTURE(text);
        CHECK_FALSE(Address::parse(text).has_value());
        CHECK_FALSE(is_ip_address(text));
    }
}

TEST_CASE("the peer of a unix socket has no address, and is on this machine") {
    const Address peer;
    CHECK(peer.is_unix());
    CHECK(peer.to_string() == "unix");
    CHECK(peer.is_local());
    CHECK_FALSE(peer.is_loopback());
    CHECK((peer == Address()));
    // The same bytes, but an address.
    CHECK((peer != *Address::parse("::")));
}

TEST_CASE("loopback addresses are on this machine, others are not") {
    for (std::string text : {"127.0.0.1", "127.9.9.9", "::ffff:127.0.0.1",
                             "::1"}) {
        CAPTURE(text);
        CHECK(Address::parse(text)->is_loopback());
        CHECK(Address::parse(text)->is_local());
        CHECK_FALSE(Address::parse(text)->is_unix());
    }
    for (std::string text : {"128.0.0.1", "10.0.0.1", "::", "::2", "1::1",
                             "::ffff:10.0.0.1", "fe80::1"}) {
        CAPTURE(text);
        CHECK_FALSE(Address::parse(text)->is_local());
    }
}

TEST_CASE("an IPv4 address is not IPv6, in either form") {
    CHECK(address("2001:db8::1").is_ipv6());
    CHECK(address("::1").is_ipv6());
    CHECK(address("::").is_ipv6());
    // An IPv4-compatible address (RFC 4291, section 2.5.5.1) is not a mapped
    // one.
    CHECK(address("::192.0.2.1").is_ipv6());
    CHECK_FALSE(address("192.0.2.1").is_ipv6());
    CHECK_FALSE(address("::ffff:192.0.2.1").is_ipv6());
    CHECK_FALSE(address("unix").is_ipv6());
}

TEST_CASE("a network has the first bits of its addresses, the others are 0") {
    struct {
        std::string address;
        size_t bits;
        std::string network;
    } const rows[] = {
        {"2001:db8:1:2:3:4:5:6", 64, "2001:db8:1:2::"},
        {"2001:db8:1:2:ffff:ffff:ffff:ffff", 64, "2001:db8:1:2::"},
        {"2001:db8:1:2::", 64, "2001:db8:1:2::"},
        {"2001:db8:1:2:3:4:5:6", 56, "2001:db8:1::"},
        {"2001:db8:1:2:3:4:5:6", 72, "2001:db8:1:2::"},
        {"2001:db8:1:2:ff03:4:5:6", 72, "2001:db8:1:2:ff00::"},
        {"2001:db8::1", 128, "2001:db8::1"},
        {"2001:db8::1", 0, "::"},
        {"192.0.2.1", 120, "192.0.2.0"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.address);
        CAPTURE(row.bits);
        const Address network = address(row.address).network(row.bits);
        CHECK(network.to_string() == row.network);
        CHECK_FALSE(network.is_unix());
    }
}

TEST_CASE("addresses have an order in which each is equal to itself alone") {
    const std::string ordered[] = {"unix",      "::",          "::1",
                                   "192.0.2.1", "192.0.2.2",   "192.0.3.0",
                                   "2001:db8::", "2001:db8::1"};
    for (const std::string& left : ordered)
        for (const std::string& right : ordered) {
            CAPTURE(left);
            CAPTURE(right);
            CHECK((address(left) < address(right)) == (&left < &right));
        }
    CHECK_FALSE(address("192.0.2.1") < address("::ffff:192.0.2.1"));
    CHECK_FALSE(address("::ffff:192.0.2.1") < address("192.0.2.1"));
}

TEST_CASE("a set holds the networks that were added, and no more") {
    struct {
        std::string network;
        std::string inside;
        std::string outside;
    } const rows[] = {
        {"10.0.0.0/8", "10.255.0.1", "11.0.0.0"},
        {"10.1.2.3", "10.1.2.3", "10.1.2.4"},
        {"10.1.2.3/32", "10.1.2.3", "10.1.2.2"},
        {"10.1.2.0/23", "10.1.3.255", "10.1.4.0"},
        {"0.0.0.0/0", "203.0.113.7", "2001:db8::1"},
        {"2001:db8::/33", "2001:db8:7fff::", "2001:db8:8000::"},
        {"::/0", "203.0.113.7", "unix"},
        {"::1", "::1", "::2"},
        {"::ffff:10.0.0.0/104", "10.9.9.9", "11.0.0.0"},
        {"loopback", "127.9.9.9", "128.0.0.1"},
        {"loopback", "::1", "unix"},
        {"unix", "unix", "127.0.0.1"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.network);
        AddressSet set;
        CHECK(set.add(row.network));
        CHECK(set.contains(address(row.inside)));
        CHECK_FALSE(set.contains(address(row.outside)));
        CHECK_FALSE(AddressSet().contains(address(row.inside)));
    }
}

TEST_CASE("a text that is not a network is not added") {
    for (std::string text :
         {"", "x", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1",
          "10.0.0.0/8x", "10.0.0.0/ 8", "10.0.0/8", "::/129", "::/0x1",
          "10.0.0.0/8/8", "Loopback", "UNIX", "localhost", "*"}) {
        CAPTURE(text);
        AddressSet set;
        CHECK_FALSE(set.add(text));
        CHECK_FALSE(set.contains(address("10.0.0.0")));
    }
}
