#include "http/forwarded.h"

#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "fixtures/request_head.h"

using namespace wschat;
using namespace wschat::test;

namespace {

AddressSet trusting(const std::vector<std::string>& networks) {
    AddressSet set;
    for (const std::string& network : networks) set.add(network);
    return set;
}

const AddressSet kProxies = trusting({"loopback", "10.0.0.0/8", "unix"});

ClientAddress find(const Head& head, const Peer& peer,
             const AddressSet& trusted = kProxies) {
    const std::string text = head.text();
    return find_client_address(parse_request(text), peer, trusted);
}

/// The visitor of a request with this header, which came from 127.0.0.1.
ClientAddress forwarded(const std::string& value) {
    return find(Head().with("X-Forwarded-For: " + value), {"127.0.0.1", true});
}

}  // namespace

TEST_CASE("the right-most address that is not trusted is the visitor's") {
    struct {
        std::string header;
        std::string address;
    } const rows[] = {
        {"203.0.113.7", "203.0.113.7"},
        {"6.6.6.6, 203.0.113.7", "203.0.113.7"},
        {"6.6.6.6, 203.0.113.7, 10.0.0.1", "203.0.113.7"},
        {"127.0.0.1, 203.0.113.7,10.0.0.1 , 127.0.0.1", "203.0.113.7"},
        {"10.0.0.1", "10.0.0.1"},
        {"10.0.0.2, 10.0.0.1", "10.0.0.2"},
        {"203.0.113.7:4711", "203.0.113.7"},
        {"[2001:DB8::1]:4711", "2001:db8::1"},
        {"[2001:db8::1]", "2001:db8::1"},
        {"2001:db8::1", "2001:db8::1"},
        {"::ffff:203.0.113.7", "203.0.113.7"},
        {"6.6.6.6, ::ffff:10.0.0.1", "6.6.6.6"},
        {", 203.0.113.7,, ", "203.0.113.7"},
        {"", "127.0.0.1"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.header);
        const ClientAddress visitor = forwarded(row.header);
        CHECK(visitor.error == nullptr);
        CHECK(visitor.address == row.address);
        CHECK_FALSE(visitor.local);
        CHECK_FALSE(visitor.ignored);
    }
}

TEST_CASE("what can't be parsed is an error, wherever it stands") {
    for (std::string header :
         {"x", "unknown", "6.6.6.6, x", "x, 203.0.113.7", "203.0.113",
          "203.0.113.7 10.0.0.1", "203.0.113.7:x", "[::1",
          "2001:db8::1:", "\"203.0.113.7\"", "unix", "localhost"}) {
        CAPTURE(header);
        const ClientAddress visitor = forwarded(header);
        CHECK(visitor.error != nullptr);
        CHECK(visitor.address == "127.0.0.1");
    }
}

TEST_CASE("several header lines are joined in their order") {
    const Head head = Head()
                          .with("X-Forwarded-For: 6.6.6.6")
                          .with("x-forwarded-for: 203.0.113.7, 10.1.1.1")
                          .with("X-FORWARDED-FOR: 10.0.0.1");
    CHECK(find(head, {"127.0.0.1", true}).address == "203.0.113.7");
}

TEST_CASE("who is not trusted speaks for itself alone") {
    const Head head = Head().with("X-Forwarded-For: 203.0.113.7");
    for (std::string address : {"192.0.2.1", "2001:db8::1"}) {
        const ClientAddress visitor = find(head, {address});
        CHECK(visitor.address == address);
        CHECK_FALSE(visitor.ignored);
        CHECK_FALSE(visitor.local);
    }
    CHECK(find(Head().with("X-Forwarded-For: x"), {"192.0.2.1"}).error ==
          nullptr);
    CHECK_FALSE(find(Head(), {"unix", true}, {}).ignored);
    const ClientAddress by_unix = find(head, {"unix", true}, {});
    CHECK(by_unix.address == "unix");
    CHECK(by_unix.ignored);
}

TEST_CASE("a trusted proxy that names nobody is the visitor, and not local") {
    for (const Peer& peer : {Peer{"127.0.0.1", true}, Peer{"unix", true}}) {
        const ClientAddress visitor = find(Head(), peer);
        CHECK(visitor.address == peer.address);
        CHECK_FALSE(visitor.local);
    }
}

TEST_CASE("a local visitor came by itself") {
    const Peer here{"::1", true};
    CHECK(find(Head(), here, {}).local);
    CHECK_FALSE(find(Head(), {"192.0.2.1", false}, {}).local);
    for (std::string name :
         {"X-Forwarded-For", "x-forwarded-host", "X-Forwarded-Proto",
          "Forwarded", "VIA", "X-Real-IP"}) {
        CAPTURE(name);
        CHECK_FALSE(find(Head().with(name + ": x"), here, {}).local);
        CHECK_FALSE(find(Head().with(name + ":"), here, {}).local);
    }
}
