#include <deque>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "room/relay_rules.h"
#include "client.h"
#include "fixtures/client_frames.h"
#include "fixtures/heap.h"
#include "fixtures/request_head.h"
#include "room/rooms.h"

using namespace wschat;
using namespace std::chrono_literals;
using namespace wschat::test;

namespace {

/// What a message takes besides its frame.
constexpr uint64_t kEntry = 16;

RoomsConfig most(size_t rooms) {
    RoomsConfig rules;
    rules.most = rooms;
    return rules;
}

RoomsConfig keep_total(uint64_t bytes) {
    RoomsConfig rules;
    rules.retained_total = bytes;
    return rules;
}

/// Rooms with their rules, at a time that stands still unless told.
class House {
public:
    explicit House(const RoomsConfig& limits = {}) : rules(limits) {}
    House(const House&) = delete;
    House& operator=(const House&) = delete;

    Room* open(const std::string& name) { return rooms.open(name, now); }

    /// A client comes. REQUIRES: there is place.
    Room& enter(const std::string& name, uint32_t member = 0) {
        Room* room = open(name);
        REQUIRE(room);
        rooms.hold(*room);
        room->enter(member);
        return *room;
    }

    /// The first member goes.
    void leave(Room& room) {
        room.leave(0);
        rooms.release(room);
    }

    void publish(Room& room, std::string_view text = "{}") {
        rooms.publish(room, text, now);
    }

    /// As somebody who is no client. REQUIRES: there is place.
    Room& publish_to(const std::string& name, const std::string& text = "{}") {
        Room* room = open(name);
        REQUIRE(room);
        publish(*room, text);
        return *room;
    }

    /// Whether there is such a room where something was published. If there
    /// was none, there is one now.
    bool has(const std::string& name) {
        Room* room = open(name);
        return room && room->history().newest() > 0;
    }

    std::vector<std::string> news() { return names(rooms.take_news()); }
    std::vector<std::string> recounted() {
        return names(rooms.take_recounted());
    }

    RoomsConfig rules;
    Rooms rooms{rules};
    Rooms::Time now{};

private:
    static std::vector<std::string> names(const std::vector<Room*>& found) {
        std::vector<std::string> all;
        for (const Room* room : found) all.push_back(room->name());
        return all;
    }
};

using Names = std::vector<std::string>;

/// A room full of clients, in which each message goes all the way that it goes
/// in the daemon but for the sockets, which take all that they are given.
class Relay {
public:
    explicit Relay(uint32_t members, const std::string& extension = "X: y") {
        house.rules.retention.messages = 100;
        for (uint32_t i = 0; i < members; ++i) enter(i, extension);
        flush();
    }
    ~Relay() {
        for (Client& client : clients_) client.drop();
    }
    Relay(const Relay&) = delete;
    Relay& operator=(const Relay&) = delete;

    /// Text frames that arrive together.
    void receive(const std::string& frames) {
        input_ = frames;
        Bytes input{input_.data(), input_.size()};
        for (;;) {
            const Event event = clients_.front().next(input);
            if (event.kind == Event::Kind::NeedMore) return;
            const RelayDecision ruling = decide_relay(event.payload, {});
            REQUIRE((ruling.verdict == RelayDecision::Verdict::Relay));
            house.publish(*room_, event.payload);
        }
    }

    void flush() {
        for (Room* room : house.rooms.take_news()) {
            for (uint32_t member : room->members()) flush(clients_[member]);
            room->mark();
        }
    }

    House house;
    uint64_t delivered = 0;  // bytes

private:
    void enter(uint32_t member, const std::string& extension) {
        clients_.emplace_back(
            Accepted{Accepted::State::Peer, Fd(), {"192.0.2.7"}}, reading_,
            nullptr);
        Client& client = clients_.back();
        std::string head = Head().without("Origin").with(extension).text();
        Bytes input{head.data(), head.size()};
        const auto admission = client.shake_hands(input, gate_);
        REQUIRE(admission);
        client.answer(*admission);
        REQUIRE((client.state() == Client::State::Open));
        room_ = &house.enter("/", member);
        client.join(*room_, 1);
        flush(client);
    }

    void flush(Client& client) {
        Client::Flush flush = client.begin_flush();
        while (flush.next.count > 0) {
            delivered += flush.next.size;
            client.go_on(flush, {IoResult::State::Done, flush.next.size});
        }
    }

    std::string input_;
    ReaderConfig reading_;
    RouterConfig gate_;
    std::deque<Client> clients_;
    Room* room_ = nullptr;
};

struct Cost {
    size_t allocations;
    uint64_t delivered;
};

/// What so many turns cost in each of which so many messages come.
Cost cost_of(Relay& relay, int turns, int messages) {
    const std::string text =
        R"({"type":"message","name":"somebody","message":")" +
        std::string(100, 'x') + R"("})";
    std::string frames;
    for (int i = 0; i < messages; ++i) frames += text_frame(text);
    const auto work = [&](int times) {
        for (int i = 0; i < times; ++i) {
            relay.receive(frames);
            relay.flush();
        }
    };
    // Until all buffers are as large as they will be.
    work(2000);
    const size_t before = allocations();
    const uint64_t delivered = relay.delivered;
    work(turns);
    return {allocations() - before, relay.delivered - delivered};
}

}  // namespace

TEST_CASE("a room is made when somebody comes, and found from then on") {
    House house;
    Room& room = house.enter("/a");
    CHECK(room.name() == "/a");
    CHECK(house.open("/a") == &room);
    CHECK(house.rooms.size() == 1);
    CHECK(house.open("/A") != &room);
    CHECK(house.open("/") != &room);
    CHECK(house.rooms.size() == 3);
    CHECK(house.open(std::string("/a\0b", 4))->name().size() == 4);
}

TEST_CASE("each room counts its own messages") {
    House house;
    Room& a = house.enter("/a");
    Room& b = house.enter("/b");
    house.publish(a);
    house.publish(a);
    house.publish(b);
    CHECK(a.history().newest() == 2);
    CHECK(b.history().newest() == 1);
}

TEST_CASE("a room that is made anew counts anew, and says so") {
    House house;
    std::set<std::string> epochs;
    for (int i = 0; i < 20; ++i) {
        Room& room = house.enter("/a");
        CHECK(room.history().newest() == 0);
        CHECK(room.epoch().size() == 12);
        CHECK(room.epoch().find_first_not_of("0123456789abcdef") ==
              std::string::npos);
        epochs.insert(room.epoch());
        house.leave(room);
    }
    CHECK(epochs.size() == 20);
}

TEST_CASE("a room is gone when nobody holds it and nothing is kept") {
    const size_t before = heap_in_use();
    {
        House house;
        Room& room = house.enter("/a");
        house.enter("/a");
        house.leave(room);
        CHECK(house.rooms.size() == 1);
        CHECK(house.open("/a") == &room);
        house.leave(room);
        CHECK(house.rooms.size() == 0);
        CHECK(heap_in_use() == before);
    }
    CHECK(heap_in_use() == before);
}

TEST_CASE("a room with kept messages stays, for their time") {
    House house;
    house.rules.retention.time = 10s;
    Room& room = house.enter("/a");
    house.publish(room);
    house.now += 4s;
    house.publish(room);
    CHECK(house.rooms.next_expiry() == Rooms::Time::max());
    house.now += 1s;
    house.leave(room);
    CHECK(house.rooms.size() == 1);
    CHECK(house.rooms.next_expiry() == Rooms::Time{} + 14s);
    house.rooms.expire(Rooms::Time{} + 14s - 1ns);
    CHECK(house.open("/a") == &room);
    CHECK(room.history().size() == 2);
    house.rooms.expire(Rooms::Time{} + 14s);
    CHECK(house.rooms.size() == 0);
    CHECK(house.rooms.next_expiry() == Rooms::Time::max());
}

TEST_CASE("who comes back to a room in time finds it as it was") {
    House house;
    house.rules.retention.time = 10s;
    Room& room = house.enter("/a");
    const std::string epoch = room.epoch();
    house.publish(room);
    house.leave(room);
    house.now += 9s;
    house.rooms.expire(house.now);
    CHECK(&house.enter("/a") == &room);
    CHECK(room.epoch() == epoch);
    CHECK(room.history().size() == 1);
    house.now += 1s;
    house.rooms.expire(house.now);
    CHECK(house.rooms.size() == 1);
    CHECK(house.open("/a")->history().size() == 0);
    CHECK(room.history().newest() == 1);
    house.leave(room);
    CHECK(house.rooms.size() == 0);
}

TEST_CASE("a room that nobody came to and nothing was kept in does not last") {
    House house;
    house.rules.retention.messages = 0;
    house.publish_to("/a");
    house.open("/b");
    CHECK(house.rooms.size() == 2);
    CHECK(house.rooms.next_expiry() <= house.now);
    house.rooms.expire(house.now);
    CHECK(house.rooms.size() == 0);
}

TEST_CASE("a room that is opened has forgotten what was kept for its time") {
    House house;
    house.rules.retention.time = 10s;
    Room& room = house.publish_to("/a");
    house.now += 5s;
    house.publish(room);
    house.now += 5s;
    CHECK(house.open("/a")->history().oldest() == 2);
}

// Limits

TEST_CASE("where there is no place for one more, idle rooms go, oldest first") {
    House house(most(3));
    house.publish_to("/a");
    house.publish_to("/b");
    house.publish_to("/c");
    REQUIRE(house.open("/d"));
    CHECK(house.rooms.size() == 3);
    CHECK(house.has("/b"));
    CHECK(house.has("/c"));
    CHECK_FALSE(house.has("/a"));
}

TEST_CASE("a room is as old as what was last published there") {
    House house(most(3));
    Room& a = house.publish_to("/a");
    house.publish_to("/b");
    house.publish_to("/c");
    house.publish(a);
    REQUIRE(house.open("/d"));
    CHECK(house.has("/a"));
    CHECK(house.has("/c"));
}

TEST_CASE("a room is as old as when the last one left it") {
    House house(most(3));
    Room& a = house.enter("/a");
    house.publish(a);
    house.publish_to("/b");
    house.publish_to("/c");
    house.leave(a);
    REQUIRE(house.open("/d"));
    CHECK(house.has("/a"));
    CHECK(house.has("/c"));
}

TEST_CASE("opening a room does not make it younger") {
    House house(most(2));
    house.publish_to("/a");
    house.publish_to("/b");
    house.open("/a");
    REQUIRE(house.open("/c"));
    CHECK(house.has("/b"));
}

TEST_CASE("a room that somebody holds is never given up for another") {
    House house(most(2));
    Room& a = house.enter("/a");
    Room& b = house.enter("/b");
    house.publish(b);
    CHECK(house.open("/c") == nullptr);
    CHECK(house.open("/a") == &a);
    CHECK(house.open("/b") == &b);
    CHECK(house.rooms.size() == 2);
    house.leave(b);
    CHECK(house.open("/c") != nullptr);
    CHECK(house.rooms.size() == 2);
    CHECK(house.open("/a") == &a);
}

TEST_CASE("all rooms together keep no more than they may: idle ones go first") {
    const uint64_t each = 100 + 2 + kEntry;
    const std::string text(100, 'x');
    House house(keep_total(4 * each));
    Room& held = house.enter("/held");
    house.publish(held, text);
    house.publish_to("/a", text);
    house.publish_to("/b", text);
    Room& c = house.publish_to("/c", text);
    CHECK(house.rooms.size() == 4);
    house.publish(c, text);
    CHECK(house.rooms.size() == 3);
    CHECK(held.history().size() == 1);
    CHECK(c.history().size() == 2);
    house.publish(held, text);
    CHECK(house.rooms.size() == 2);
    CHECK(held.history().size() == 2);
    house.publish(held, text);
    CHECK(house.rooms.size() == 1);
    CHECK(held.history().size() == 3);
}

TEST_CASE(
    "over the limit a room forgets what it kept itself, not what others") {
    const uint64_t each = 100 + 2 + kEntry;
    const std::string text(100, 'x');
    House house(keep_total(4 * each));
    Room& a = house.enter("/a");
    Room& b = house.enter("/b");
    for (int i = 0; i < 3; ++i) house.publish(a, text);
    for (int i = 0; i < 3; ++i) house.publish(b, text);
    CHECK(a.history().size() == 3);
    CHECK(b.history().size() == 1);
    CHECK(b.history().oldest() == 3);
    house.publish(a, text);
    CHECK(a.history().size() == 3);
    CHECK(b.history().size() == 1);
}

TEST_CASE("an idle room that is over the limit alone forgets its own") {
    const uint64_t each = 100 + 2 + kEntry;
    const std::string text(100, 'x');
    House house(keep_total(2 * each));
    Room& room = house.publish_to("/a", text);
    for (int i = 0; i < 5; ++i) house.publish(room, text);
    CHECK(house.rooms.size() == 1);
    CHECK(room.history().size() == 2);
    house.publish(room, std::string(1000, 'x'));
    CHECK(house.open("/a") == &room);
    CHECK(room.history().size() == 0);
    CHECK(room.history().newest() == 7);
    house.rooms.expire(house.now);
    CHECK(house.rooms.size() == 0);
}

TEST_CASE("there is place for a room where all that may be kept is kept") {
    const std::string text(100, 'x');
    House house(keep_total(2 * (100 + 2 + kEntry)));
    Room& held = house.enter("/held");
    house.publish(held, text);
    Room& idle = house.publish_to("/idle", text);
    Room& made = house.enter("/made");
    CHECK(house.rooms.size() == 3);
    house.publish(idle, text);
    CHECK(held.history().size() == 1);
    CHECK(idle.history().size() == 1);
    house.publish(made, text);
    CHECK(house.rooms.size() == 2);
    CHECK(held.history().size() == 1);
    CHECK(made.history().size() == 1);
}

TEST_CASE("what all rooms keep stays below the limit, whatever happens") {
    for (unsigned seed = 1; seed <= 10; ++seed) {
        CAPTURE(seed);
        std::mt19937 random(seed);
        RoomsConfig rules = keep_total(5000);
        rules.most = 8;
        rules.retention.time = 20s;
        rules.retention.messages = 20;
        const size_t before = heap_in_use();
        {
            House house(rules);
            std::map<Room*, int> members;
            int wrong = 0;
            for (int step = 0; step < 3000; ++step) {
                house.now += std::chrono::milliseconds(random() % 500);
                const std::string name = "/" + std::to_string(random() % 12);
                const auto dice = random() % 10;
                Room* room = nullptr;
                if (dice < 6) room = house.open(name);
                if (dice < 2 && room && members.size() < 6) {
                    house.enter(name);
                    ++members[room];
                } else if (dice < 6 && room) {
                    house.publish(*room, std::string(random() % 600, 'x'));
                } else if (dice < 8 && !members.empty()) {
                    const auto some = std::next(
                        members.begin(),
                        static_cast<std::ptrdiff_t>(random() % members.size()));
                    Room* left = some->first;
                    if (--some->second == 0) members.erase(some);
                    house.leave(*left);
                } else if (dice == 8) {
                    house.rooms.expire(house.now);
                } else {
                    house.rooms.ping(house.now);
                    for (Room* news : house.rooms.take_news())
                        if (members.count(news) == 0) ++wrong;
                }
                uint64_t kept = 0;
                for (const auto& each : members)
                    kept += each.first->history().bytes();
                // A ping is not counted before the next one.
                if (kept > rules.retained_total + 200 ||
                    house.rooms.size() > rules.most)
                    ++wrong;
            }
            for (const auto& each : members)
                for (int i = 0; i < each.second; ++i) house.leave(*each.first);
            CHECK(wrong == 0);
            house.now += 20s;
            house.rooms.ping(house.now);
            house.rooms.ping(house.now);
            house.rooms.expire(house.now);
            CHECK(house.rooms.size() == 0);
            CHECK(house.rooms.has_news() == false);
        }
        CHECK(heap_in_use() == before);
    }
}

// News

TEST_CASE("news is what was published to rooms with members, told once") {
    House house;
    Room& a = house.enter("/a");
    Room& b = house.enter("/b");
    house.enter("/c");
    CHECK_FALSE(house.rooms.has_news());
    house.publish_to("/nobody");
    CHECK_FALSE(house.rooms.has_news());
    house.publish(b);
    house.publish(a);
    house.publish(b);
    CHECK(house.rooms.has_news());
    CHECK(house.news() == Names{"/b", "/a"});
    CHECK_FALSE(house.rooms.has_news());
    CHECK(house.news() == Names{});
    house.publish(a);
    CHECK(house.news() == Names{"/a"});
}

// A client that was lost while the others were written to made all that had
// come in the same turn their backlog.
TEST_CASE("what is published while news is written makes no news old") {
    House house;
    Room& room = house.enter("/a");
    house.publish(room);
    house.rooms.take_news();
    house.publish(room, "\"somebody is lost\"");
    CHECK(room.log(false).marked() == 0);
    CHECK(room.log(true).marked() == 0);
    CHECK(house.news() == Names{"/a"});
}

TEST_CASE("a room that is left by all has no news") {
    House house;
    Room& a = house.enter("/a");
    Room& b = house.enter("/b");
    house.publish(a);
    house.publish(b);
    house.leave(a);
    CHECK(house.news() == Names{"/b"});
    Room& again = house.enter("/a");
    CHECK_FALSE(house.rooms.has_news());
    house.publish(again);
    CHECK(house.news() == Names{"/a"});
}

TEST_CASE("a ping is news to all members, and numbered nowhere") {
    House house;
    Room& a = house.enter("/a");
    house.enter("/b");
    Room& nobody = house.publish_to("/nobody");
    const uint64_t end = nobody.log(false).end();
    house.rooms.ping(house.now);
    CHECK(a.log(false).end() == 2);
    CHECK(a.log(true).end() == 2);
    CHECK(a.history().newest() == 0);
    CHECK(nobody.log(false).end() == end);
    CHECK(house.news() == Names{"/a", "/b"});
}

TEST_CASE("a ping comes with forgetting what was kept for its time") {
    House house;
    house.rules.retention.time = 10s;
    Room& a = house.enter("/a");
    house.publish(a);
    Room& nobody = house.publish_to("/nobody");
    house.now += 10s;
    house.rooms.ping(house.now);
    CHECK(a.history().size() == 0);
    CHECK(nobody.history().size() == 0);
    CHECK(house.rooms.size() == 2);
    house.rooms.expire(house.now);
    CHECK(house.rooms.size() == 1);
}

TEST_CASE("rooms that fall silent give back what compression took") {
    House house;
    Room& room = house.enter("/a");
    Broadcast& log = room.log(true);
    const Broadcast::Cursor position = run.join();
    const size_t before = heap_in_use();
    house.publish(room, std::string(2000, 'x'));
    CHECK(heap_in_use() > before + 16'000);
    house.rooms.ping(house.now);
    house.rooms.ping(house.now);
    CHECK(heap_in_use() < before + 8'000);
    run.leave(position);
}

// Numbers of members

TEST_CASE("a room is recounted if it has another number of members") {
    House house;
    CHECK(house.recounted() == Names{});
    Room& a = house.enter("/a");
    Room& b = house.enter("/b");
    CHECK(house.recounted() == Names{"/a", "/b"});
    CHECK(house.recounted() == Names{});
    house.publish(a);
    house.enter("/b");
    CHECK(house.recounted() == Names{"/b"});
    // One goes, another comes.
    house.leave(b);
    house.enter("/b");
    CHECK(house.recounted() == Names{});
    house.leave(b);
    CHECK(house.recounted() == Names{"/b"});
    // Nobody is there to be told.
    house.leave(a);
    CHECK(house.recounted() == Names{});
    house.enter("/a");
    CHECK(house.recounted() == Names{"/a"});
}

// What a message costs

TEST_CASE("a message costs no memory for each who receives it") {
    constexpr int kTurns = 5000;
    for (std::string extension :
         {"X: y", "Sec-WebSocket-Extensions: permessage-deflate"}) {
        for (int messages : {1, 10}) {
            CAPTURE(extension);
            CAPTURE(messages);
            Relay one(1, extension);
            Relay hundred(100, extension);
            const Cost alone = cost_of(one, kTurns, messages);
            const Cost crowd = cost_of(hundred, kTurns, messages);
            CHECK(crowd.delivered == 100 * alone.delivered);
            CHECK(crowd.delivered > 0);
            CHECK(crowd.allocations == alone.allocations);
            // The list of rooms with news in each turn, and now and then a
            // chunk of the run.
            const auto all = static_cast<size_t>(kTurns * messages);
            CHECK(crowd.allocations <= kTurns + all / 100);
        }
    }
}
