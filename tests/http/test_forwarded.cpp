#include "http/forwarded.h"

#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "fixtures/request_head.h"
#include "fixtures/route_fields.h"

using namespace wschat;
using namespace wschat::test;

namespace {

AddressSet trusting(const std::vector<std::string>& networks) {
    AddressSet set;
    for (const std::string& network : networks) set.add(network);
    return set;
}

const AddressSet kProxies = trusting({"loopback", "10.0.0.0/8", "unix"});

ClientAddress find(const Head& head, const std::string& peer,
                   const AddressSet& trusted = kProxies) {
    const std::string text = head.text();
    return find_client_address(parse_request(text), address(peer), trusted);
}

/// Returns the client of a request with this header from 127.0.0.1.
ClientAddress forwarded(const std::string& value) {
    return find(Head().with("X-Forwarded-For: " + value), "127.0.0.1");
}

}  // namespace

TEST_CASE("the right-most address that is not trusted is the client's") {
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
        const ClientAddress client = forwarded(row.header);
        CHECK(client.error == nullptr);
        CHECK(client.address.to_string() == row.address);
        CHECK_FALSE(client.is_local);
        CHECK_FALSE(client.ignored_forwarded_for);
    }
}

TEST_CASE("a malformed element is an error if a trusted proxy added it") {
    for (std::string header :
         {"x", "unknown", "6.6.6.6, x", "x, 10.0.0.1", "203.0.113.7, x, ::1",
          "203.0.113",
          "203.0.113.7 10.0.0.1", "203.0.113.7:x", "[::1",
          "2001:db8::1:", "\"203.0.113.7\"", "unix", "localhost"}) {
        CAPTURE(header);
        const ClientAddress client = forwarded(header);
        CHECK(client.error != nullptr);
        CHECK(client.address.to_string() == "127.0.0.1");
    }
}

// It got a 400, also for clients whose own proxy writes "unknown" there.
TEST_CASE("what stands left of an address that is not trusted is not read") {
    for (std::string garbage :
         {"x", "unknown", "\"", "10.0.0.1 10.0.0.2", "a;b=\"c", "[::1"}) {
        for (std::string header :
             {garbage + ", 203.0.113.7", garbage + ",203.0.113.7,10.0.0.1",
              garbage + ", 10.0.0.1, 203.0.113.7:4711, ::1"}) {
            CAPTURE(header);
            const ClientAddress client = forwarded(header);
            CHECK(client.error == nullptr);
            CHECK(client.address.to_string() == "203.0.113.7");
        }
    }
    const Head head = Head()
                          .with("X-Forwarded-For: x")
                          .with("X-Forwarded-For: 203.0.113.7");
    CHECK(find(head, "127.0.0.1").address.to_string() == "203.0.113.7");
}

TEST_CASE("several X-Forwarded-For lines are joined in their order") {
    const Head head = Head()
                          .with("X-Forwarded-For: 6.6.6.6")
                          .with("x-forwarded-for: 203.0.113.7, 10.1.1.1")
                          .with("X-FORWARDED-FOR: 10.0.0.1");
    CHECK(find(head, "127.0.0.1").address.to_string() ==
          "203.0.113.7");
}

TEST_CASE("X-Forwarded-For of a peer that is not trusted is ignored") {
    const Head head = Head().with("X-Forwarded-For: 203.0.113.7");
    for (std::string text : {"192.0.2.1", "2001:db8::1"}) {
        const ClientAddress client = find(head, text);
        CHECK(client.address.to_string() == text);
        CHECK_FALSE(client.ignored_forwarded_for);
        CHECK_FALSE(client.is_local);
    }
    CHECK(find(Head().with("X-Forwarded-For: x"), "192.0.2.1").error ==
          nullptr);
    CHECK_FALSE(find(Head(), "unix", {}).ignored_forwarded_for);
    const ClientAddress by_unix = find(head, "unix", {});
    CHECK(by_unix.address.to_string() == "unix");
    CHECK(by_unix.ignored_forwarded_for);
}

TEST_CASE(
    "a trusted proxy without X-Forwarded-For is the client, and not local") {
    for (const std::string peer : {"127.0.0.1", "unix"}) {
        const ClientAddress client = find(Head(), peer);
        CHECK(client.address.to_string() == peer);
        CHECK_FALSE(client.is_local);
    }
}

TEST_CASE("only a loopback peer without proxy headers is local") {
    const std::string here = "::1";
    CHECK(find(Head(), here, {}).is_local);
    CHECK_FALSE(find(Head(), "192.0.2.1", {}).is_local);
    for (std::string name :
         {"X-Forwarded-For", "x-forwarded-host", "X-Forwarded-Proto",
          "Forwarded", "VIA", "X-Real-IP"}) {
        CAPTURE(name);
        CHECK_FALSE(find(Head().with(name + ": x"), here, {}).is_local);
        CHECK_FALSE(find(Head().with(name + ":"), here, {}).is_local);
    }
}
