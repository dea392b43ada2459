#include "deadlines.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <optional>
#include <random>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "fixtures/heap.h"

using namespace wschat;
using namespace wschat::test;
using namespace std::chrono_literals;

using Kind = Deadlines::Kind;

namespace {

const Time kStart = Time() + 1000s;

/// Takes all expired deadlines. Returns their clients, in the order of their
/// times.
std::vector<uint32_t> take_all(Deadlines& deadlines, Time now) {
    std::vector<uint32_t> clients;
    while (const auto expired = deadlines.take_expired(now))
        clients.push_back(expired->client);
    return clients;
}

using Clients = std::vector<uint32_t>;

}  // namespace

TEST_CASE("without deadlines nothing is due") {
    Deadlines deadlines;
    CHECK(deadlines.next() == Time::max());
    CHECK_FALSE(deadlines.take_expired(Time::max()));
    CHECK_FALSE(deadlines.is_set(3, Kind::Step));
    deadlines.clear(3);
    CHECK(deadlines.next() == Time::max());
}

TEST_CASE("a deadline expires at its time, once") {
    Deadlines deadlines;
    deadlines.set(7, Kind::Send, kStart + 5s);
    CHECK(deadlines.is_set(7, Kind::Send));
    CHECK_FALSE(deadlines.is_set(7, Kind::Step));
    CHECK(deadlines.next() == kStart + 5s);
    CHECK_FALSE(deadlines.take_expired(kStart + 5s - 1ns));
    const auto expired = deadlines.take_expired(kStart + 5s);
    REQUIRE(expired);
    CHECK(expired->client == 7);
    CHECK((expired->kind == Kind::Send));
    CHECK_FALSE(deadlines.is_set(7, Kind::Send));
    CHECK_FALSE(deadlines.take_expired(kStart + 5s));
    CHECK(deadlines.next() == Time::max());
}

TEST_CASE("deadlines expire in the order of their times") {
    Deadlines deadlines;
    deadlines.set(1, Kind::Step, kStart + 3s);
    deadlines.set(2, Kind::Step, kStart + 1s);
    deadlines.set(3, Kind::Send, kStart + 2s);
    CHECK(take_all(deadlines, kStart + 2s) == Clients{2, 3});
    CHECK(take_all(deadlines, kStart + 9s) == Clients{1});
}

TEST_CASE("a client has one deadline of each kind") {
    Deadlines deadlines;
    deadlines.set(1, Kind::Step, kStart + 1s);
    deadlines.set(1, Kind::Send, kStart + 2s);
    deadlines.set(1, Kind::Hold, kStart + 3s);
    CHECK((deadlines.take_expired(kStart + 9s)->kind == Kind::Step));
    CHECK((deadlines.take_expired(kStart + 9s)->kind == Kind::Send));
    CHECK((deadlines.take_expired(kStart + 9s)->kind == Kind::Hold));
    CHECK_FALSE(deadlines.take_expired(kStart + 9s));
}

TEST_CASE("the deadlines of a client expire in any order of their kinds") {
    std::vector<Kind> kinds{Kind::Step, Kind::Send, Kind::Hold};
    do {
        Deadlines deadlines;
        // The last one is set first.
        deadlines.set(1, kinds[2], kStart + 3s);
        deadlines.set(1, kinds[1], kStart + 2s);
        deadlines.set(1, kinds[0], kStart + 1s);
        Time at = kStart;
        for (Kind kind : kinds) {
            at += 1s;
            CHECK(deadlines.next() == at);
            const auto expired = deadlines.take_expired(at);
            REQUIRE(expired);
            CHECK((expired->kind == kind));
            CHECK_FALSE(deadlines.is_set(1, kind));
            CHECK_FALSE(deadlines.take_expired(at));
        }
    } while (std::next_permutation(kinds.begin(), kinds.end()));
}

TEST_CASE("clearing one kind of deadline leaves the others") {
    Deadlines deadlines;
    for (Kind kind : {Kind::Step, Kind::Send, Kind::Hold})
        deadlines.set(1, kind, kStart + 1s);
    deadlines.clear(1, Kind::Hold);
    CHECK_FALSE(deadlines.is_set(1, Kind::Hold));
    CHECK(deadlines.is_set(1, Kind::Step));
    CHECK(deadlines.is_set(1, Kind::Send));
    CHECK(take_all(deadlines, kStart + 1s) == Clients{1, 1});
}

TEST_CASE("a deadline can be moved, to later and to earlier") {
    Deadlines deadlines;
    deadlines.set(1, Kind::Step, kStart + 2s);
    deadlines.set(1, Kind::Step, kStart + 4s);
    CHECK(deadlines.next() == kStart + 4s);
    CHECK_FALSE(deadlines.take_expired(kStart + 3s));
    deadlines.set(1, Kind::Step, kStart + 3s);
    CHECK(deadlines.next() == kStart + 3s);
    CHECK(take_all(deadlines, kStart + 9s) == Clients{1});
}

// Otherwise the daemon would wake up with nothing to do.
TEST_CASE("a deadline is postponed if it is set") {
    Deadlines deadlines;
    deadlines.postpone(7, Kind::Step, 1s);
    CHECK_FALSE(deadlines.is_set(7, Kind::Step));
    deadlines.set(7, Kind::Step, kStart);
    deadlines.postpone(7, Kind::Step, 2s);
    deadlines.postpone(7, Kind::Send, 2s);
    CHECK_FALSE(deadlines.is_set(7, Kind::Send));
    CHECK(deadlines.next() == kStart + 2s);
}

TEST_CASE("a deadline that was cleared is not the next one") {
    Deadlines deadlines;
    deadlines.set(1, Kind::Step, kStart + 1s);
    deadlines.set(2, Kind::Send, kStart + 2s);
    deadlines.clear(1, Kind::Step);
    CHECK(deadlines.next() == kStart + 2s);
    deadlines.clear(2);
    CHECK(deadlines.next() == Time::max());
}

TEST_CASE("a client with a reused id has only its own deadlines") {
    Deadlines deadlines;
    deadlines.set(1, Kind::Step, kStart + 1s);
    deadlines.set(1, Kind::Send, kStart + 1s);
    deadlines.set(1, Kind::Hold, kStart + 1s);
    deadlines.clear(1);
    deadlines.set(1, Kind::Step, kStart + 5s);
    CHECK_FALSE(deadlines.take_expired(kStart + 4s));
    CHECK(take_all(deadlines, kStart + 5s) == Clients{1});
}

TEST_CASE("many short connections need no more memory than the first ones") {
    Deadlines deadlines;
    deadlines.set(0, Kind::Step, kStart);
    deadlines.clear(0);
    size_t before = 0;
    for (int i = 0; i < 100'000; ++i) {
        const Time now = kStart + i * 1us;
        deadlines.set(0, Kind::Step, now + 10s);
        deadlines.set(0, Kind::Send, now + 30s);
        deadlines.set(0, Kind::Hold, now + 1s);
        deadlines.clear(0);
        if (i == 100) before = heap_in_use();
    }
    CHECK(heap_in_use() == before);
}

TEST_CASE("a deadline needs no more memory if another one expires often") {
    Deadlines deadlines;
    size_t before = 0;
    Time now = kStart;
    // Another client's: what is outdated behind it is not found.
    deadlines.set(1, Kind::Step, now + 500s);
    for (int i = 0; i < 100'000; ++i) {
        now += 1ms;
        deadlines.set(0, Kind::Step, now + 1000s);
        deadlines.set(0, Kind::Hold, now + 1ms);
        CHECK(take_all(deadlines, now + 1ms) == Clients{0});
        CHECK(deadlines.next() > now + 1ms);
        if (i == 100) before = heap_in_use();
    }
    CHECK(heap_in_use() == before);
}

TEST_CASE("random operations keep the deadlines of a naive map") {
    std::mt19937 random(1);
    Deadlines deadlines;
    std::map<std::pair<uint32_t, Kind>, Time> expected;
    int wrong = 0;
    Time now = kStart;
    for (int step = 0; step < 50'000; ++step) {
        const auto client = static_cast<uint32_t>(random() % 20);
        const auto kind = static_cast<Kind>(random() % 3);
        const auto dice = random() % 10;
        if (dice < 6) {
            const Time at = now + std::chrono::milliseconds(random() % 500);
            deadlines.set(client, kind, at);
            expected[{client, kind}] = at;
        } else if (dice < 8) {
            deadlines.clear(client, kind);
            expected.erase({client, kind});
        } else {
            now += std::chrono::milliseconds(random() % 100);
            while (const auto expired = deadlines.take_expired(now)) {
                const auto found =
                    expected.find({expired->client, expired->kind});
                if (found == expected.end() || found->second > now) ++wrong;
                if (found != expected.end()) expected.erase(found);
            }
        }
        Time next = Time::max();
        for (const auto& each : expected)
            if (each.second < next) next = each.second;
        if (dice >= 8 && next <= now) ++wrong;
        if (deadlines.next() != next) ++wrong;
    }
    CHECK(wrong == 0);
}

TEST_CASE("pings are due one interval after another") {
    PingSchedule pings;
    CHECK(pings.next() == Time::max());
    pings.start(kStart, 25s);
    CHECK(pings.next() == kStart + 25s);
    pings.advance(kStart + 26s);
    CHECK(pings.next() == kStart + 51s);
    pings.stop();
    CHECK(pings.next() == Time::max());
}

TEST_CASE("a client may leave two pings unanswered") {
    PingSchedule pings;
    pings.start(kStart, 25s);
    CHECK(pings.advance(kStart + 25s) == Time::min());
    CHECK(pings.advance(kStart + 50s) == Time::min());
    CHECK(pings.advance(kStart + 75s) == kStart + 25s);
    CHECK(pings.advance(kStart + 100s) == kStart + 50s);
}
