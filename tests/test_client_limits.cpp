#include "client_limits.h"

#include <chrono>
#include <string>

#include <doctest/doctest.h>

#include "fixtures/heap.h"
#include "fixtures/route_fields.h"

using namespace wschat;
using namespace wschat::test;
using namespace std::chrono_literals;

namespace {

const Time kStart = Time() + 1000s;

// Rates whose times are exact as a double.
const Rate kOneASecond{4, Seconds(4)};
const Rate kOff{0, Seconds(4)};

/// Limits without trusted proxies, or with those of one network.
class TestLimits {
public:
    explicit TestLimits(const LimitsConfig& config = {},
                        const std::string& trusted = "",
                        size_t descriptors = 1000)
        : trusted_(set_of(trusted)), limits(config, trusted_, descriptors) {}
    TestLimits(const TestLimits&) = delete;
    TestLimits& operator=(const TestLimits&) = delete;

    bool counts(const std::string& text) const {
        const Address of = address(text);
        return limits.is_counted(of, of.is_local());
    }

    AddressUse& add(const std::string& text) {
        return limits.add_client(address(text));
    }

    /// A client of the address has come and gone.
    void pass(const std::string& text) { Limits::remove_client(add(text)); }

    /// So many addresses, each another one, have come and gone.
    void pass_many(size_t n, Time now) {
        for (size_t i = 0; i < n; ++i) {
            pass("2001:db8:" + hex(passed_ / 60'000) + ":" +
                 hex(passed_ % 60'000) + "::1");
            ++passed_;
            limits.forget_unused(now);
        }
    }

private:
    static AddressSet set_of(const std::string& text) {
        AddressSet set;
        if (!text.empty()) REQUIRE(set.add(text));
        return set;
    }

    static std::string hex(size_t number) {
        std::string digits;
        for (int shift = 12; shift >= 0; shift -= 4)
            digits += "0123456789abcdef"[number >> shift & 0xF];
        return digits;
    }

    AddressSet trusted_;
    size_t passed_ = 0;

public:
    Limits limits;
};

/// Limits with these rates of published messages and bytes.
LimitsConfig published_at(const Rate& messages, const Rate& bytes) {
    LimitsConfig config;
    config.messages = messages;
    config.bytes = bytes;
    return config;
}

std::string text_of(const Refusal& refusal) {
    return refusal ? std::to_string(refusal.status) + " " + refusal.why : "";
}

const std::string kTooManyClients =
    "503 too many connections (--max-clients)";
const std::string kTooManyOfAddress =
    "429 too many connections from this address (--max-per-address)";
const std::string kTooManyConnects =
    "429 too many handshakes from this address (--rate-connect)";

}  // namespace

// Buckets

TEST_CASE("a new bucket is full") {
    const Bucket bucket;
    CHECK(bucket.is_full(kStart));
    CHECK(bucket.ready_at(kOneASecond) <= kStart);
    CHECK_FALSE(bucket.lacks_tenth(kOneASecond, kStart));
}

TEST_CASE("a bucket gives a burst at once, then what flows back") {
    Bucket bucket;
    for (int i = 0; i < 4; ++i) {
        CHECK(bucket.ready_at(kOneASecond) <= kStart);
        bucket.take(1, kOneASecond, kStart);
    }
    CHECK(bucket.ready_at(kOneASecond) == kStart + 1s);
    bucket.take(1, kOneASecond, kStart + 1s);
    CHECK(bucket.ready_at(kOneASecond) == kStart + 2s);
    // After a pause it is no fuller than full.
    for (int i = 0; i < 4; ++i) {
        CHECK(bucket.ready_at(kOneASecond) <= kStart + 60s);
        bucket.take(1, kOneASecond, kStart + 60s);
    }
    CHECK(bucket.ready_at(kOneASecond) == kStart + 61s);
}

TEST_CASE("a bucket is full when all that was taken has flowed back") {
    Bucket bucket;
    bucket.take(1, kOneASecond, kStart);
    CHECK_FALSE(bucket.is_full(kStart + 1s - 1ns));
    CHECK(bucket.is_full(kStart + 1s));
    bucket.take(3, kOneASecond, kStart);
    CHECK_FALSE(bucket.is_full(kStart + 4s - 1ns));
    CHECK(bucket.is_full(kStart + 4s));
}

TEST_CASE("what is taken beyond a burst is a debt that takes its time") {
    Bucket bucket;
    bucket.take(100, kOneASecond, kStart);
    CHECK(bucket.ready_at(kOneASecond) == kStart + 97s);
    CHECK_FALSE(bucket.is_full(kStart + 99s));
    CHECK(bucket.is_full(kStart + 100s));
}

TEST_CASE("a rate of 0 takes nothing from a bucket") {
    Bucket bucket;
    bucket.take(1'000'000, kOff, kStart);
    CHECK(bucket.is_full(kStart));
    CHECK(bucket.ready_at(kOff) == Time::min());
    CHECK_FALSE(bucket.lacks_tenth(kOff, kStart));
}

TEST_CASE("a bucket lacks a tenth from a tenth of the burst on") {
    const Rate rate{20, Seconds(10)};
    Bucket bucket;
    bucket.take(1, rate, kStart);
    CHECK_FALSE(bucket.lacks_tenth(rate, kStart));
    bucket.take(1, rate, kStart);
    CHECK(bucket.lacks_tenth(rate, kStart));
    CHECK_FALSE(bucket.lacks_tenth(rate, kStart + 1ns));
}

// Who is counted

TEST_CASE("local clients are not counted unless the operator says so") {
    LimitsConfig config;
    config.exempt_local = false;
    const TestLimits by_default, none_exempt(config);
    for (std::string local : {"127.0.0.1", "127.9.9.9", "::1", "unix"}) {
        CAPTURE(local);
        CHECK_FALSE(by_default.counts(local));
        CHECK(none_exempt.counts(local));
    }
    for (std::string other : {"192.0.2.1", "10.0.0.1", "2001:db8::1"}) {
        CAPTURE(other);
        CHECK(by_default.counts(other));
        CHECK(none_exempt.counts(other));
    }
}

TEST_CASE("a local address that a proxy has forwarded is counted") {
    const TestLimits test;
    CHECK(test.limits.is_counted(address("127.0.0.1"), false));
    CHECK_FALSE(test.limits.is_counted(address("127.0.0.1"), true));
}

TEST_CASE("a trusted proxy is never counted") {
    LimitsConfig config;
    config.exempt_local = false;
    CHECK_FALSE(TestLimits(config, "192.0.2.0/24").counts("192.0.2.1"));
    CHECK_FALSE(TestLimits(config, "loopback").counts("127.0.0.1"));
    CHECK_FALSE(TestLimits(config, "unix").counts("unix"));
    CHECK(TestLimits(config, "192.0.2.0/24").counts("192.0.3.1"));
    CHECK(TestLimits(config, "loopback").counts("unix"));
}

TEST_CASE("the clients of an exempt network are not counted") {
    LimitsConfig config;
    config.exempt_local = false;
    REQUIRE(config.exempt.add("10.0.0.0/8"));
    REQUIRE(config.exempt.add("2001:db8::/32"));
    REQUIRE(config.exempt.add("unix"));
    const TestLimits test(config);
    for (std::string exempt : {"10.0.0.1", "2001:db8::1", "unix"})
        CHECK_FALSE(test.counts(exempt));
    for (std::string other : {"11.0.0.1", "2001:db9::1", "127.0.0.1"})
        CHECK(test.counts(other));
}

// Clients of an address

TEST_CASE("the clients of an address are counted exactly") {
    TestLimits test;
    AddressUse& use = test.add("192.0.2.1");
    CHECK(use.clients == 1);
    CHECK(&test.add("192.0.2.1") == &use);
    CHECK(&test.add("192.0.2.2") != &use);
    CHECK(use.clients == 2);
    Limits::remove_client(use);
    CHECK(use.clients == 1);
    CHECK(&test.add("192.0.2.1") == &use);
    CHECK(use.clients == 2);
}

TEST_CASE("the addresses of an IPv6 network of 64 bits count as one") {
    TestLimits test;
    AddressUse& use = test.add("2001:db8:0:7::1");
    CHECK(&test.add("2001:db8:0:7:ffff:ffff:ffff:ffff") == &use);
    CHECK(&test.add("2001:db8:0:7::") == &use);
    CHECK(use.clients == 3);
    CHECK(test.add("2001:db8:0:6::1").clients == 1);
    CHECK(test.add("2001:db8:0:8::1").clients == 1);
}

// Their first 64 bits are all the same.
TEST_CASE("IPv4 addresses are counted singly, also as mapped into IPv6") {
    TestLimits test;
    AddressUse& use = test.add("192.0.2.1");
    CHECK(&test.add("::ffff:192.0.2.1") == &use);
    CHECK(use.clients == 2);
    CHECK(test.add("192.0.2.0").clients == 1);
    CHECK(test.add("::ffff:192.0.2.3").clients == 1);
    CHECK(test.add("::1").clients == 1);
}

TEST_CASE("all peers of unix sockets count as one address") {
    TestLimits test;
    AddressUse& use = test.add("unix");
    CHECK(&test.add("unix") == &use);
    CHECK(use.clients == 2);
    CHECK(test.add("::").clients == 1);
}

// Too many connections

TEST_CASE("connections over --max-clients are refused with 503") {
    LimitsConfig config;
    config.max_clients = 5;
    TestLimits test(config);
    const AddressUse& use = test.add("192.0.2.1");
    const AddressUse* const not_counted = nullptr;
    for (const AddressUse* each : {&use, not_counted}) {
        CHECK(text_of(test.limits.find_refusal(5, each)) == "");
        CHECK(text_of(test.limits.find_refusal(6, each)) == kTooManyClients);
        CHECK_FALSE(
            test.limits.is_beyond_refusal(5 + Limits::kRefused, each));
        CHECK(test.limits.is_beyond_refusal(6 + Limits::kRefused, each));
    }
}

TEST_CASE("connections over --max-per-address are refused with 429") {
    LimitsConfig config;
    config.max_per_address = 2;
    TestLimits test(config);
    AddressUse& use = test.add("192.0.2.1");
    test.add("192.0.2.1");
    AddressUse& other = test.add("192.0.2.2");
    CHECK(text_of(test.limits.find_refusal(3, &use)) == "");
    test.add("192.0.2.1");
    CHECK(text_of(test.limits.find_refusal(4, &use)) == kTooManyOfAddress);
    CHECK(text_of(test.limits.find_refusal(4, &other)) == "");
    CHECK(text_of(test.limits.find_refusal(4, nullptr)) == "");
    Limits::remove_client(use);
    CHECK(text_of(test.limits.find_refusal(3, &use)) == "");
    // So many more are told why.
    while (use.clients < 2 + Limits::kRefused) test.add("192.0.2.1");
    CHECK_FALSE(test.limits.is_beyond_refusal(100, &use));
    test.add("192.0.2.1");
    CHECK(test.limits.is_beyond_refusal(100, &use));
    CHECK_FALSE(test.limits.is_beyond_refusal(100, &other));
    CHECK_FALSE(test.limits.is_beyond_refusal(100, nullptr));
}

TEST_CASE("limits of connections are off at 0") {
    LimitsConfig config;
    config.max_clients = config.max_per_address = 0;
    TestLimits test(config);
    AddressUse& use = test.add("192.0.2.1");
    use.clients = 1'000'000;
    CHECK(test.limits.config().max_clients == 0);
    CHECK(text_of(test.limits.find_refusal(1'000'000, &use)) == "");
    CHECK_FALSE(test.limits.is_beyond_refusal(1'000'000, &use));
}

TEST_CASE("by default there are fewer clients than descriptors") {
    const auto most = [](size_t descriptors) {
        return TestLimits({}, "", descriptors).limits.config().max_clients;
    };
    CHECK(most(1024) == 1024 - Limits::kReserved);
    CHECK(most(2 * Limits::kReserved) == Limits::kReserved);
    // Half of a few.
    CHECK(most(20) == 10);
    CHECK(most(1) == 1);
    LimitsConfig config;
    config.max_clients = 2000;
    CHECK(TestLimits(config, "", 1024).limits.config().max_clients == 2000);
}

// Handshakes

TEST_CASE("handshakes over --rate-connect are refused with 429") {
    LimitsConfig config;
    config.connects = kOneASecond;
    TestLimits test(config);
    AddressUse& use = test.add("192.0.2.1");
    AddressUse& other = test.add("192.0.2.2");
    const auto connect = [&](AddressUse& by, Time now) {
        return text_of(test.limits.add_connect(by, now));
    };
    for (int i = 0; i < 4; ++i) CHECK(connect(use, kStart) == "");
    // One that is refused takes nothing, or the address would never recover.
    for (int i = 0; i < 100; ++i)
        CHECK(connect(use, kStart) == kTooManyConnects);
    CHECK(connect(other, kStart) == "");
    CHECK(connect(use, kStart + 1s - 1ns) == kTooManyConnects);
    CHECK(connect(use, kStart + 1s) == "");
    CHECK(connect(use, kStart + 1s) == kTooManyConnects);
}

TEST_CASE("by default an address has 60 handshakes at once") {
    TestLimits test;
    AddressUse& use = test.add("192.0.2.1");
    int accepted = 0;
    for (int i = 0; i < 100; ++i)
        if (!test.limits.add_connect(use, kStart)) ++accepted;
    CHECK(accepted == 60);
    for (int i = 0; i < 100; ++i)
        if (!test.limits.add_connect(use, kStart + 10s)) ++accepted;
    CHECK(accepted == 120);
}

TEST_CASE("with --rate-connect=0 no handshake is refused") {
    LimitsConfig config;
    config.connects = kOff;
    TestLimits test(config);
    AddressUse& use = test.add("192.0.2.1");
    int refused = 0;
    for (int i = 0; i < 10'000; ++i)
        if (test.limits.add_connect(use, kStart)) ++refused;
    CHECK(refused == 0);
}

// Publishing

TEST_CASE("a client that has published too many messages must wait") {
    TestLimits test(published_at(kOneASecond, kOff));
    AddressUse& use = test.add("192.0.2.1");
    Published published;
    test.limits.add_published(published, use, 3, 1'000'000, kStart);
    CHECK(test.limits.ready_at(published) <= kStart);
    test.limits.add_published(published, use, 1, 0, kStart);
    CHECK(test.limits.ready_at(published) == kStart + 1s);
    CHECK(test.limits.ready_at(use) <= kStart);
}

TEST_CASE("a client that has published too many bytes must wait") {
    TestLimits test(published_at(kOff, kOneASecond));
    AddressUse& use = test.add("192.0.2.1");
    Published published;
    test.limits.add_published(published, use, 1'000'000, 3, kStart);
    CHECK(test.limits.ready_at(published) <= kStart);
    test.limits.add_published(published, use, 0, 7, kStart);
    CHECK(test.limits.ready_at(published) == kStart + 7s);
}

TEST_CASE("a client must wait for the longer of both its rates") {
    TestLimits test(published_at(kOneASecond, kOneASecond));
    AddressUse& use = test.add("192.0.2.1");
    Published many, large;
    test.limits.add_published(many, use, 9, 5, kStart);
    CHECK(test.limits.ready_at(many) == kStart + 6s);
    test.limits.add_published(large, use, 5, 9, kStart);
    CHECK(test.limits.ready_at(large) == kStart + 6s);
}

TEST_CASE("all clients of an address have ten times the rate of one") {
    for (bool is_bytes : {false, true}) {
        CAPTURE(is_bytes);
        TestLimits test(is_bytes ? published_at(kOff, kOneASecond)
                                 : published_at(kOneASecond, kOff));
        AddressUse& use = test.add("192.0.2.1");
        AddressUse& other = test.add("192.0.2.2");
        const auto publish = [&](uint64_t amount) {
            Published published;
            test.limits.add_published(published, use, is_bytes ? 0 : amount,
                                      is_bytes ? amount : 0, kStart);
            CHECK(test.limits.ready_at(published) <= kStart);
        };
        for (int i = 0; i < 13; ++i) publish(3);
        CHECK(test.limits.ready_at(use) <= kStart);
        publish(1);
        CHECK(test.limits.ready_at(use) > kStart);
        CHECK(test.limits.ready_at(use) <= kStart + 100ms);
        CHECK(test.limits.ready_at(other) <= kStart);
    }
}

TEST_CASE("with rates of 0 nothing that is published is too much") {
    TestLimits test(published_at(kOff, kOff));
    AddressUse& use = test.add("192.0.2.1");
    Published published;
    test.limits.add_published(published, use, 1'000'000, 1 << 30, kStart);
    CHECK(test.limits.ready_at(published) == Time::min());
    CHECK(test.limits.ready_at(use) == Time::min());
    CHECK_FALSE(test.limits.has_published_much(published, kStart));
    CHECK_FALSE(test.limits.has_published_much(use, kStart));
}

TEST_CASE("a tenth of the bytes of a burst is much, messages are not") {
    TestLimits test(published_at(kOneASecond, {20, Seconds(10)}));
    AddressUse& use = test.add("192.0.2.1");
    Published published;
    test.limits.add_published(published, use, 4, 1, kStart);
    CHECK_FALSE(test.limits.has_published_much(published, kStart));
    test.limits.add_published(published, use, 0, 1, kStart);
    CHECK(test.limits.has_published_much(published, kStart));
    CHECK_FALSE(test.limits.has_published_much(published, kStart + 1s));
    // For its address it takes ten times as many.
    test.limits.add_published(published, use, 0, 17, kStart);
    CHECK_FALSE(test.limits.has_published_much(use, kStart));
    test.limits.add_published(published, use, 0, 2, kStart);
    CHECK(test.limits.has_published_much(use, kStart));
}

// Log lines

TEST_CASE("a refusal is logged once a minute for each address") {
    TestLimits test;
    AddressUse& use = test.add("192.0.2.1");
    AddressUse& other = test.add("192.0.2.2");
    AddressUse* const all_together = nullptr;
    for (AddressUse* each : {&use, &other, all_together}) {
        CHECK(test.limits.should_log(each, kStart));
        CHECK_FALSE(test.limits.should_log(each, kStart));
        CHECK_FALSE(test.limits.should_log(each, kStart + 60s - 1ns));
        CHECK(test.limits.should_log(each, kStart + 60s));
        CHECK_FALSE(test.limits.should_log(each, kStart + 61s));
    }
}

// Forgetting

TEST_CASE("addresses that have come and gone take no memory") {
    TestLimits test;
    test.pass_many(200, kStart);
    const size_t before = heap_in_use();
    test.pass_many(100'000, kStart);
    CHECK(heap_in_use() < before + 64 * 2 * sizeof(AddressUse));
}

TEST_CASE("an address with clients is never forgotten") {
    TestLimits test;
    AddressUse& use = test.add("192.0.2.1");
    test.pass_many(10'000, kStart);
    CHECK(&test.add("192.0.2.1") == &use);
    CHECK(use.clients == 2);
}

// Otherwise it would connect again for full buckets.
TEST_CASE("an address is remembered until each of its buckets is full") {
    LimitsConfig config = published_at(kOneASecond, kOneASecond);
    config.connects = kOneASecond;
    enum { Connects, Messages, Bytes, Log };
    for (int which : {Connects, Messages, Bytes, Log}) {
        CAPTURE(which);
        TestLimits test(config);
        const auto is_remembered = [&] {
            AddressUse& use = test.add("192.0.2.1");
            const bool is_new = use.connects.is_full(Time()) &&
                                use.published.messages.is_full(Time()) &&
                                use.published.bytes.is_full(Time()) &&
                                use.next_log == Time();
            Limits::remove_client(use);
            return !is_new;
        };
        AddressUse& use = test.add("192.0.2.1");
        Published published;
        // Each of these is over after 60 seconds.
        switch (which) {
            case Connects: use.connects.take(60, kOneASecond, kStart); break;
            case Messages:
                test.limits.add_published(published, use, 600, 0, kStart);
                break;
            case Bytes:
                test.limits.add_published(published, use, 0, 600, kStart);
                break;
            case Log: CHECK(test.limits.should_log(&use, kStart)); break;
        }
        Limits::remove_client(use);
        test.pass_many(1000, kStart + 59s);
        CHECK(is_remembered());
        test.pass_many(1000, kStart + 61s);
        CHECK_FALSE(is_remembered());
    }
}

TEST_CASE("many addresses that were remembered are forgotten in time") {
    LimitsConfig config;
    config.connects = kOneASecond;
    TestLimits test(config);
    const size_t before = heap_in_use();
    for (int i = 0; i < 10'000; ++i) {
        AddressUse& use = test.add("10.1." + std::to_string(i / 250) + "." +
                                   std::to_string(i % 250));
        test.limits.add_connect(use, kStart);
        Limits::remove_client(use);
        test.limits.forget_unused(kStart);
    }
    CHECK(heap_in_use() > before + 10'000 * sizeof(AddressUse));
    test.pass_many(20'000, kStart + 1s);
    CHECK(heap_in_use() < before + 64 * 2 * sizeof(AddressUse));
}

// Unfinished messages

TEST_CASE("the unfinished messages of all clients are added up") {
    Partials partials;
    CHECK(partials.total() == 0);
    partials.set(7, 0, 100);
    partials.set(8, 0, 300);
    partials.set(9, 0, 200);
    CHECK(partials.total() == 600);
    CHECK(partials.largest() == 8);
    partials.set(9, 200, 400);
    CHECK(partials.total() == 800);
    CHECK(partials.largest() == 9);
    partials.set(9, 400, 50);
    CHECK(partials.total() == 450);
    CHECK(partials.largest() == 8);
    partials.set(8, 300, 300);
    CHECK(partials.total() == 450);
}

TEST_CASE("a client without an unfinished message takes no memory") {
    const size_t before = heap_in_use();
    Partials partials;
    for (uint32_t client = 0; client < 100; ++client) {
        partials.set(client, 0, 100 + client);
        partials.set(client, 100 + client, 0);
    }
    CHECK(heap_in_use() == before);
}

TEST_CASE("a client without an unfinished message is not the largest") {
    Partials partials;
    partials.set(1, 0, 100);
    partials.set(2, 0, 300);
    partials.set(2, 300, 0);
    CHECK(partials.total() == 100);
    CHECK(partials.largest() == 1);
    partials.set(1, 100, 0);
    CHECK(partials.total() == 0);
    partials.set(3, 0, 0);
    CHECK(partials.total() == 0);
    partials.set(4, 0, 1);
    CHECK(partials.largest() == 4);
}

TEST_CASE("clients with messages of the same size are told apart") {
    Partials partials;
    partials.set(1, 0, 100);
    partials.set(2, 0, 100);
    CHECK(partials.total() == 200);
    const uint32_t first = partials.largest();
    partials.set(first, 100, 0);
    CHECK(partials.total() == 100);
    CHECK(partials.largest() == 3 - first);
}
