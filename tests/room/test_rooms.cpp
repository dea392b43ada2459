#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "fixtures/heap.h"
#include "room/rooms.h"

using namespace wschat;
using namespace std::chrono_literals;
using namespace wschat::test;

namespace {

/// What retaining a message takes beside its frame.
constexpr uint64_t kEntry = 16;

RoomsConfig most(size_t rooms) {
    RoomsConfig config;
    config.most = rooms;
    return config;
}

RoomsConfig retained_total(uint64_t bytes) {
    RoomsConfig config;
    config.retained_total = bytes;
    return config;
}

/// Rooms with their limits, at a time that stands still unless moved.
class House {
public:
    explicit House(const RoomsConfig& limits = {}) : config(limits) {}
    House(const House&) = delete;
    House& operator=(const House&) = delete;

    RoomEntry* open(const std::string& name) { return rooms.open(name, now); }

    /// A client joins. REQUIRES: there is a place.
    RoomEntry& enter(const std::string& name) {
        RoomEntry* entry = open(name);
        REQUIRE(entry);
        rooms.hold(*entry);
        return *entry;
    }

    void leave(RoomEntry& entry) { rooms.release(entry); }

    void append(RoomEntry& entry, std::string_view text = "{}") {
        rooms.append(entry, text, now);
    }

    /// Publishes from outside the room. REQUIRES: there is a place.
    RoomEntry& append_to(const std::string& name,
                         const std::string& text = "{}") {
        RoomEntry* entry = open(name);
        REQUIRE(entry);
        append(*entry, text);
        return *entry;
    }

    /// Whether there is such a room where something was published. If there
    /// was none, there is one now.
    bool has(const std::string& name) {
        RoomEntry* entry = open(name);
        return entry && entry->room.history().newest() > 0;
    }

    size_t size() const { return rooms.all().size(); }

    RoomsConfig config;
    Rooms rooms{config};
    Time now{};
};

}  // namespace

TEST_CASE("a room is made when somebody comes, and found from then on") {
    House house;
    RoomEntry& room = house.enter("/a");
    CHECK(room.room.name() == "/a");
    CHECK(house.open("/a") == &room);
    CHECK(house.size() == 1);
    CHECK(house.open("/A") != &room);
    CHECK(house.open("/") != &room);
    CHECK(house.size() == 3);
    CHECK(house.open(std::string("/a\0b", 4))->room.name().size() == 4);
}

TEST_CASE("each room counts its own messages") {
    House house;
    RoomEntry& a = house.enter("/a");
    RoomEntry& b = house.enter("/b");
    house.append(a);
    house.append(a);
    house.append(b);
    CHECK(a.room.history().newest() == 2);
    CHECK(b.room.history().newest() == 1);
}

TEST_CASE("a room that is made anew counts anew, and says so") {
    House house;
    std::set<std::string> epochs;
    for (int i = 0; i < 20; ++i) {
        RoomEntry& room = house.enter("/a");
        CHECK(room.room.history().newest() == 0);
        CHECK(room.room.epoch().size() == 12);
        CHECK(room.room.epoch().find_first_not_of("0123456789abcdef") ==
              std::string::npos);
        epochs.insert(room.room.epoch());
        house.leave(room);
    }
    CHECK(epochs.size() == 20);
}

TEST_CASE("a room is gone when nobody holds it and nothing is kept") {
    const size_t before = heap_in_use();
    {
        House house;
        RoomEntry& room = house.enter("/a");
        house.enter("/a");
        house.leave(room);
        CHECK(house.size() == 1);
        CHECK(house.open("/a") == &room);
        house.leave(room);
        CHECK(house.size() == 0);
        CHECK(heap_in_use() == before);
    }
    CHECK(heap_in_use() == before);
}

TEST_CASE("a room with kept messages stays, for their time") {
    House house;
    house.config.retention.time = 10s;
    RoomEntry& room = house.enter("/a");
    house.append(room);
    house.now += 4s;
    house.append(room);
    CHECK(house.rooms.next_expiry() == Time::max());
    house.now += 1s;
    house.leave(room);
    CHECK(house.size() == 1);
    CHECK(house.rooms.next_expiry() == Time{} + 14s);
    house.rooms.expire(Time{} + 14s - 1ns);
    CHECK(house.open("/a") == &room);
    CHECK(room.room.history().size() == 2);
    house.rooms.expire(Time{} + 14s);
    CHECK(house.size() == 0);
    CHECK(house.rooms.next_expiry() == Time::max());
}

TEST_CASE("who comes back to a room in time finds it as it was") {
    House house;
    house.config.retention.time = 10s;
    RoomEntry& room = house.enter("/a");
    const std::string epoch = room.room.epoch();
    house.append(room);
    house.leave(room);
    house.now += 9s;
    house.rooms.expire(house.now);
    CHECK(&house.enter("/a") == &room);
    CHECK(room.room.epoch() == epoch);
    CHECK(room.room.history().size() == 1);
    house.now += 1s;
    house.rooms.expire(house.now);
    CHECK(house.size() == 1);
    CHECK(house.open("/a")->room.history().size() == 0);
    CHECK(room.room.history().newest() == 1);
    house.leave(room);
    CHECK(house.size() == 0);
}

TEST_CASE("a room that nobody came to and nothing was kept in does not last") {
    House house;
    house.config.retention.messages = 0;
    house.append_to("/a");
    house.open("/b");
    CHECK(house.size() == 2);
    CHECK(house.rooms.next_expiry() <= house.now);
    house.rooms.expire(house.now);
    CHECK(house.size() == 0);
}

TEST_CASE("a room that is opened has forgotten what was kept for its time") {
    House house;
    house.config.retention.time = 10s;
    RoomEntry& room = house.append_to("/a");
    house.now += 5s;
    house.append(room);
    house.now += 5s;
    CHECK(house.open("/a")->room.history().oldest() == 2);
}

// Limits

TEST_CASE("where there is no place for one more, idle rooms go, oldest first") {
    House house(most(3));
    house.append_to("/a");
    house.append_to("/b");
    house.append_to("/c");
    REQUIRE(house.open("/d"));
    CHECK(house.size() == 3);
    CHECK(house.has("/b"));
    CHECK(house.has("/c"));
    CHECK_FALSE(house.has("/a"));
}

TEST_CASE("a room is as old as what was last published there") {
    House house(most(3));
    RoomEntry& a = house.append_to("/a");
    house.append_to("/b");
    house.append_to("/c");
    house.append(a);
    REQUIRE(house.open("/d"));
    CHECK(house.has("/a"));
    CHECK(house.has("/c"));
}

TEST_CASE("a room is as old as when the last one left it") {
    House house(most(3));
    RoomEntry& a = house.enter("/a");
    house.append(a);
    house.append_to("/b");
    house.append_to("/c");
    house.leave(a);
    REQUIRE(house.open("/d"));
    CHECK(house.has("/a"));
    CHECK(house.has("/c"));
}

TEST_CASE("opening a room does not make it younger") {
    House house(most(2));
    house.append_to("/a");
    house.append_to("/b");
    house.open("/a");
    REQUIRE(house.open("/c"));
    CHECK(house.has("/b"));
}

TEST_CASE("a room that somebody holds is never given up for another") {
    House house(most(2));
    RoomEntry& a = house.enter("/a");
    RoomEntry& b = house.enter("/b");
    house.append(b);
    CHECK(house.open("/c") == nullptr);
    CHECK(house.open("/a") == &a);
    CHECK(house.open("/b") == &b);
    CHECK(house.size() == 2);
    house.leave(b);
    CHECK(house.open("/c") != nullptr);
    CHECK(house.size() == 2);
    CHECK(house.open("/a") == &a);
}

TEST_CASE("all rooms together keep no more than they may: idle ones go first") {
    const uint64_t each = 100 + 2 + kEntry;
    const std::string text(100, 'x');
    House house(retained_total(4 * each));
    RoomEntry& held = house.enter("/held");
    house.append(held, text);
    house.append_to("/a", text);
    house.append_to("/b", text);
    RoomEntry& c = house.append_to("/c", text);
    CHECK(house.size() == 4);
    house.append(c, text);
    CHECK(house.size() == 3);
    CHECK(held.room.history().size() == 1);
    CHECK(c.room.history().size() == 2);
    house.append(held, text);
    CHECK(house.size() == 2);
    CHECK(held.room.history().size() == 2);
    house.append(held, text);
    CHECK(house.size() == 1);
    CHECK(held.room.history().size() == 3);
}

TEST_CASE(
    "over the limit a room forgets what it kept itself, not what others") {
    const uint64_t each = 100 + 2 + kEntry;
    const std::string text(100, 'x');
    House house(retained_total(4 * each));
    RoomEntry& a = house.enter("/a");
    RoomEntry& b = house.enter("/b");
    for (int i = 0; i < 3; ++i) house.append(a, text);
    for (int i = 0; i < 3; ++i) house.append(b, text);
    CHECK(a.room.history().size() == 3);
    CHECK(b.room.history().size() == 1);
    CHECK(b.room.history().oldest() == 3);
    house.append(a, text);
    CHECK(a.room.history().size() == 3);
    CHECK(b.room.history().size() == 1);
}

TEST_CASE("an idle room that is over the limit alone forgets its own") {
    const uint64_t each = 100 + 2 + kEntry;
    const std::string text(100, 'x');
    House house(retained_total(2 * each));
    RoomEntry& room = house.append_to("/a", text);
    for (int i = 0; i < 5; ++i) house.append(room, text);
    CHECK(house.size() == 1);
    CHECK(room.room.history().size() == 2);
    house.append(room, std::string(1000, 'x'));
    CHECK(house.open("/a") == &room);
    CHECK(room.room.history().size() == 0);
    CHECK(room.room.history().newest() == 7);
    house.rooms.expire(house.now);
    CHECK(house.size() == 0);
}

TEST_CASE("there is place for a room where all that may be kept is kept") {
    const std::string text(100, 'x');
    House house(retained_total(2 * (100 + 2 + kEntry)));
    RoomEntry& held = house.enter("/held");
    house.append(held, text);
    RoomEntry& idle = house.append_to("/idle", text);
    RoomEntry& made = house.enter("/made");
    CHECK(house.size() == 3);
    house.append(idle, text);
    CHECK(held.room.history().size() == 1);
    CHECK(idle.room.history().size() == 1);
    house.append(made, text);
    CHECK(house.size() == 2);
    CHECK(held.room.history().size() == 1);
    CHECK(made.room.history().size() == 1);
}

TEST_CASE("what all rooms keep stays below the limit, whatever happens") {
    for (unsigned seed = 1; seed <= 10; ++seed) {
        CAPTURE(seed);
        std::mt19937 random(seed);
        RoomsConfig config = retained_total(5000);
        config.most = 8;
        config.retention.time = 20s;
        config.retention.messages = 20;
        const size_t before = heap_in_use();
        {
            House house(config);
            std::map<RoomEntry*, int> members;
            int wrong = 0;
            for (int step = 0; step < 3000; ++step) {
                house.now += std::chrono::milliseconds(random() % 500);
                const std::string name = "/" + std::to_string(random() % 12);
                const auto dice = random() % 10;
                RoomEntry* room = nullptr;
                if (dice < 6) room = house.open(name);
                if (dice < 2 && room && members.size() < 6) {
                    house.enter(name);
                    ++members[room];
                } else if (dice < 6 && room) {
                    house.append(*room, std::string(random() % 600, 'x'));
                } else if (dice < 8 && !members.empty()) {
                    const auto some = std::next(
                        members.begin(),
                        static_cast<std::ptrdiff_t>(random() % members.size()));
                    RoomEntry* left = some->first;
                    if (--some->second == 0) members.erase(some);
                    house.leave(*left);
                } else if (dice == 8) {
                    house.rooms.expire(house.now);
                } else {
                    house.rooms.clean_up(house.now);
                }
                uint64_t kept = 0;
                for (const auto& each : members)
                    kept += each.first->room.history().bytes();
                if (kept > config.retained_total ||
                    house.size() > config.most)
                    ++wrong;
            }
            for (const auto& each : members)
                for (int i = 0; i < each.second; ++i) house.leave(*each.first);
            CHECK(wrong == 0);
            house.now += 20s;
            house.rooms.clean_up(house.now);
            house.rooms.clean_up(house.now);
            house.rooms.expire(house.now);
            CHECK(house.size() == 0);
        }
        CHECK(heap_in_use() == before);
    }
}

TEST_CASE("cleaning up drops the messages that have expired in all rooms") {
    House house;
    house.config.retention.time = 10s;
    RoomEntry& a = house.enter("/a");
    house.append(a);
    RoomEntry& nobody = house.append_to("/nobody");
    house.now += 10s;
    house.rooms.clean_up(house.now);
    CHECK(a.room.history().size() == 0);
    CHECK(nobody.room.history().size() == 0);
    CHECK(house.size() == 2);
    house.rooms.expire(house.now);
    CHECK(house.size() == 1);
}

TEST_CASE("rooms that fall silent give back what compression took") {
    House house;
    RoomEntry& room = house.enter("/a");
    Broadcast& log = room.room.log(true);
    const Broadcast::Cursor cursor = log.open_cursor();
    const size_t before = heap_in_use();
    house.append(room, std::string(2000, 'x'));
    CHECK(heap_in_use() > before + 16'000);
    house.rooms.clean_up(house.now);
    house.rooms.clean_up(house.now);
    CHECK(heap_in_use() < before + 8'000);
    log.close_cursor(cursor);
}

TEST_CASE("it is known before whether a message will be retained") {
    const std::string text(100, 'x');
    const uint64_t each = 100 + 2 + kEntry;
    struct {
        uint64_t total;  // for all rooms
        uint64_t own;    // for one room
        bool fits;
    } const rows[] = {{each, each, true},
                      {each - 1, each, false},
                      {each, each - 1, false},
                      {each * 9, each * 9, true}};
    for (const auto& row : rows) {
        RoomsConfig config = retained_total(row.total);
        config.retention.bytes = row.own;
        House house(config);
        RoomEntry& room = *house.open("/a");
        CHECK(house.rooms.can_retain(room, text.size()) == row.fits);
        house.append(room, text);
        CHECK((room.room.history().size() == 1) == row.fits);
    }
    RoomsConfig none;
    none.retention.messages = 0;
    House house(none);
    CHECK_FALSE(house.rooms.can_retain(*house.open("/a"), 1));
}

TEST_CASE("idle rooms give way to a message, held ones do not") {
    const std::string text(100, 'x');
    House house(retained_total(2 * (100 + 2 + kEntry)));
    RoomEntry& held = house.enter("/held");
    house.append(held, text);
    house.append_to("/idle", text);
    RoomEntry& room = *house.open("/room");
    CHECK(house.rooms.can_retain(room, 100));
    CHECK_FALSE(house.rooms.can_retain(room, 101));
    house.append(held, text);
    CHECK_FALSE(house.rooms.can_retain(room, 100));
    CHECK_FALSE(house.rooms.can_retain(room, 1));
    // The held room drops its own oldest.
    CHECK(house.rooms.can_retain(held, 100));
    CHECK(house.rooms.can_retain(held, 200));
}
