#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "fixtures/deflated.h"
#include "fixtures/heap.h"
#include "fixtures/standalone_room.h"

using namespace wschat;
using namespace wschat::test;

namespace {

/// A cursor in one of the two logs.
class Receiver {
public:
    Receiver(StandaloneRoom& test, bool deflated)
        : log_(&test.room.log(deflated)), cursor_(log_->open_cursor()) {}
    ~Receiver() { log_->close_cursor(cursor_); }
    Receiver(const Receiver&) = delete;
    Receiver& operator=(const Receiver&) = delete;

    /// Returns the bytes that were appended since the last call.
    std::string receive() {
        std::string received;
        for (;;) {
            const IoVec pieces = log_->pending(cursor_, log_->end());
            if (pieces.count == 0) return received;
            for (size_t i = 0; i < pieces.count; ++i)
                received += pieces.piece[i];
            log_->advance(cursor_, pieces.size);
        }
    }

private:
    Broadcast* log_;
    Broadcast::Cursor cursor_;
};

const std::string kLong(1000, 'a');

}  // namespace

TEST_CASE("a message is appended to both logs, plain and deflated") {
    StandaloneRoom room;
    Receiver plain(room, false);
    Receiver deflating(room, true);
    room.append(kLong);
    const std::string received = deflating.receive();
    CHECK(plain.receive().substr(4) == kLong);
    REQUIRE(received.size() < 126);
    CHECK(received.substr(0, 1) == "\xC1");
    CHECK(inflated(received.substr(2)) == kLong);
}

TEST_CASE("short messages, and those that would grow, are not deflated") {
    StandaloneRoom room;
    Receiver deflating(room, true);
    for (const std::string& text :
         {std::string(127, 'a'), std::string("{}"), std::string()}) {
        room.append(text);
        CHECK(deflating.receive().substr(0, 1) == "\x81");
    }
    std::string noise;
    uint32_t random = 1;
    while (noise.size() < 200) {
        random = random * 1664525 + 1013904223;
        noise += static_cast<char>(random >> 24);
    }
    room.append(noise);
    CHECK(deflating.receive().substr(0, 1) == "\x81");
    room.append(std::string(128, 'a'));
    CHECK(deflating.receive().substr(0, 1) == "\xC1");
}

TEST_CASE("pings are appended to both logs") {
    StandaloneRoom room;
    Receiver plain(room, false);
    Receiver deflating(room, true);
    room.append_ping();
    CHECK(plain.receive() == std::string("\x89\0", 2));
    CHECK(deflating.receive() == std::string("\x89\0", 2));
}

TEST_CASE("a room without members holds no memory") {
    const size_t before = heap_in_use();
    StandaloneRoom room;
    {
        Receiver plain(room, false);
        Receiver deflating(room, true);
        room.append(kLong);
        CHECK(heap_in_use() > before);
    }
    room.append(kLong);
    room.release_if_unused();
    room.release_if_unused();
    CHECK(heap_in_use() == before);
}

TEST_CASE("a client resumes after its last message, or starts as a new one") {
    StandaloneRoom test(3);
    for (int i = 0; i < 5; ++i) test.append("{}");
    REQUIRE(test.room.history().oldest() == 3);
    struct {
        Resume resume;
        size_t history;
        uint64_t first;
        bool recovered;
    } const clients[] = {
        // new clients
        {{}, 0, 6, false},
        {{}, 1, 5, false},
        {{}, 3, 3, false},
        {{}, 4, 3, false},
        {{}, ~size_t{0}, 3, false},
        // clients that miss only retained messages
        {{"epoch", 2}, 0, 3, true},
        {{"epoch", 3}, 0, 4, true},
        {{"epoch", 4}, 3, 5, true},
        {{"epoch", 5}, 0, 6, true},
        {{"epoch", 5}, 3, 6, true},
        // clients that miss other messages, or come from another room
        {{"epoch", 1}, 0, 6, false},
        {{"epoch", 0}, 2, 4, false},
        {{"epoch", 6}, 0, 6, false},
        {{"epoch", 999'999'999'999'999'999}, 1, 5, false},
        {{"epoch", ~uint64_t{0}}, 1, 5, false},
        {{"another", 5}, 0, 6, false},
        {{"epochs", 4}, 2, 4, false},
        {{"", 4}, 0, 6, false},
    };
    for (const auto& row : clients) {
        CAPTURE(row.resume.epoch);
        CAPTURE(row.resume.since);
        const Room::Start start = test.room.start_for(row.resume, row.history);
        CHECK(start.first == row.first);
        CHECK(start.recovered == row.recovered);
    }
}

TEST_CASE("without retention a client that missed nothing still recovers") {
    StandaloneRoom test(0);
    CHECK(test.room.start_for({"epoch", 0}, 10).recovered);
    CHECK(test.room.start_for({"epoch", 0}, 10).first == 1);
    CHECK_FALSE(test.room.start_for({"epoch", 1}, 10).recovered);
    test.append("{}");
    CHECK_FALSE(test.room.start_for({"epoch", 0}, 10).recovered);
    CHECK(test.room.start_for({"epoch", 1}, 10).recovered);
    CHECK(test.room.start_for({}, 10).first == 2);
}

TEST_CASE("a member is removed by its position, and the others stay") {
    StandaloneRoom test;
    Room& room = test.room;
    Member members[5];
    for (size_t i = 0; i < 4; ++i) room.add(members[i]);
    using Members = std::vector<Member*>;
    room.remove(members[1]);
    CHECK((room.members() == Members{&members[0], &members[3], &members[2]}));
    CHECK(members[1].position == Member::kNotIn);
    CHECK(members[3].position == 1);
    room.remove(members[2]);
    CHECK((room.members() == Members{&members[0], &members[3]}));
    room.add(members[4]);
    CHECK(members[4].position == 2);
    room.remove(members[0]);
    CHECK((room.members() == Members{&members[4], &members[3]}));
    room.remove(members[3]);
    room.remove(members[4]);
    CHECK(room.members().empty());
}

TEST_CASE("the memory for members is released when they leave") {
    std::vector<Member> members(1000);
    const size_t before = heap_in_use();
    StandaloneRoom test;
    for (Member& member : members) test.room.add(member);
    const size_t full = heap_in_use();
    for (size_t i = 0; i < 990; ++i) test.room.remove(members[i]);
    CHECK(heap_in_use() - before < (full - before) / 10);
    for (size_t i = 990; i < 1000; ++i) test.room.remove(members[i]);
    CHECK(heap_in_use() - before < 100);
}

TEST_CASE("end_turn() marks the end of both logs") {
    StandaloneRoom test;
    Receiver plain(test, false);
    Receiver deflating(test, true);
    test.append("Hello");
    test.append(kLong);
    CHECK(test.room.log(false).settled_end(test.now) == 0);
    CHECK(test.room.log(true).settled_end(test.now) == 0);
    test.settle();
    for (bool deflated : {false, true}) {
        CHECK(test.room.log(deflated).settled_end(test.now) ==
              test.room.log(deflated).end());
    }
    CHECK(test.room.log(true).end() < test.room.log(false).end());
}
