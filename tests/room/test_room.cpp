#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "fixtures/deflated.h"
#include "fixtures/heap.h"
#include "fixtures/standalone_room.h"

using namespace wschat;
using namespace wschat::test;

namespace {

/// Who receives one of the runs.
class Member {
public:
    Member(StandaloneRoom& lobby, bool deflated)
        : log_(&lobby.room.log(deflated)), cursor_(log_->open_cursor()) {}
    ~Member() { log_->close_cursor(cursor_); }
    Member(const Member&) = delete;
    Member& operator=(const Member&) = delete;

    /// The bytes since the last time.
    std::string hear() {
        std::string heard;
        for (;;) {
            const IoVec pieces = log_->pending(cursor_, log_->end());
            if (pieces.count == 0) return heard;
            for (size_t i = 0; i < pieces.count; ++i) heard += pieces.piece[i];
            log_->advance(cursor_, pieces.size);
        }
    }

private:
    Broadcast* log_;
    Broadcast::Cursor cursor_;
};

const std::string kLong(1000, 'a');

}  // namespace

TEST_CASE("everyone in a room gets a message, deflated or as it is") {
    StandaloneRoom room;
    Member plain(room, false);
    Member deflating(room, true);
    room.publish(kLong);
    const std::string heard = deflating.hear();
    CHECK(plain.hear().substr(4) == kLong);
    REQUIRE(heard.size() < 126);
    CHECK(heard.substr(0, 1) == "\xC1");
    CHECK(inflated(heard.substr(2)) == kLong);
}

TEST_CASE("short messages, and what would grow, are not deflated") {
    StandaloneRoom room;
    Member deflating(room, true);
    for (const std::string& text :
         {std::string(127, 'a'), std::string("{}"), std::string()}) {
        room.publish(text);
        CHECK(deflating.hear().substr(0, 1) == "\x81");
    }
    std::string noise;
    uint32_t random = 1;
    while (noise.size() < 200) {
        random = random * 1664525 + 1013904223;
        noise += static_cast<char>(random >> 24);
    }
    room.publish(noise);
    CHECK(deflating.hear().substr(0, 1) == "\x81");
    room.publish(std::string(128, 'a'));
    CHECK(deflating.hear().substr(0, 1) == "\xC1");
}

TEST_CASE("pings go to both kinds of members") {
    StandaloneRoom room;
    Member plain(room, false);
    Member deflating(room, true);
    room.ping();
    CHECK(plain.hear() == std::string("\x89\0", 2));
    CHECK(deflating.hear() == std::string("\x89\0", 2));
}

TEST_CASE("a room that nobody is in holds nothing") {
    const size_t before = heap_in_use();
    StandaloneRoom room;
    {
        Member plain(room, false);
        Member deflating(room, true);
        room.publish(kLong);
        CHECK(heap_in_use() > before);
    }
    room.publish(kLong);
    room.rest();
    room.rest();
    CHECK(heap_in_use() == before);
}

TEST_CASE("a client begins where it left off, or as a newcomer") {
    StandaloneRoom lobby(3);
    for (int i = 0; i < 5; ++i) lobby.publish("{}");
    REQUIRE(lobby.room.history().oldest() == 3);
    struct {
        Resume resume;
        size_t newcomers_get;
        uint64_t first;
        bool recovered;
    } const clients[] = {
        // newcomers
        {{}, 0, 6, false},
        {{}, 1, 5, false},
        {{}, 3, 3, false},
        {{}, 4, 3, false},
        {{}, ~size_t{0}, 3, false},
        // those who miss nothing that is not kept
        {{"epoch", 2}, 0, 3, true},
        {{"epoch", 3}, 0, 4, true},
        {{"epoch", 4}, 3, 5, true},
        {{"epoch", 5}, 0, 6, true},
        {{"epoch", 5}, 3, 6, true},
        // those who miss more, or were never here
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
        const Room::Start start =
            lobby.room.start_for(row.resume, row.newcomers_get);
        CHECK(start.first == row.first);
        CHECK(start.recovered == row.recovered);
    }
}

TEST_CASE(
    "where nothing is kept, who misses nothing has recovered all the same") {
    StandaloneRoom lobby(0);
    CHECK(lobby.room.start_for({"epoch", 0}, 10).recovered);
    CHECK(lobby.room.start_for({"epoch", 0}, 10).first == 1);
    CHECK_FALSE(lobby.room.start_for({"epoch", 1}, 10).recovered);
    lobby.publish("{}");
    CHECK_FALSE(lobby.room.start_for({"epoch", 0}, 10).recovered);
    CHECK(lobby.room.start_for({"epoch", 1}, 10).recovered);
    CHECK(lobby.room.start_for({}, 10).first == 2);
}

TEST_CASE("members have seats, and the last one takes that of who leaves") {
    StandaloneRoom lobby;
    Room& room = lobby.room;
    CHECK(room.enter(10) == 0);
    CHECK(room.enter(11) == 1);
    CHECK(room.enter(12) == 2);
    CHECK(room.enter(13) == 3);
    room.leave(1);
    CHECK(room.members() == std::vector<uint32_t>{10, 13, 12});
    room.leave(2);
    CHECK(room.members() == std::vector<uint32_t>{10, 13});
    room.rename(1, 7);
    CHECK(room.members() == std::vector<uint32_t>{10, 7});
    CHECK(room.enter(14) == 2);
    room.leave(0);
    CHECK(room.members() == std::vector<uint32_t>{14, 7});
    room.leave(0);
    room.leave(0);
    CHECK(room.members().empty());
}

TEST_CASE("seats that nobody takes any more are given back") {
    const size_t before = heap_in_use();
    StandaloneRoom lobby;
    for (uint32_t i = 0; i < 1000; ++i) lobby.room.enter(i);
    const size_t full = heap_in_use();
    while (lobby.room.members().size() > 10) lobby.room.leave(0);
    CHECK(heap_in_use() - before < (full - before) / 10);
    while (!lobby.room.members().empty()) lobby.room.leave(0);
    CHECK(heap_in_use() - before < 100);
}

TEST_CASE("what was published until then is old, in both runs") {
    StandaloneRoom lobby;
    Member plain(lobby, false);
    Member deflating(lobby, true);
    lobby.publish("Hello");
    lobby.publish(kLong);
    CHECK(lobby.room.log(false).end_of_last_turn() == 0);
    CHECK(lobby.room.log(true).end_of_last_turn() == 0);
    lobby.mark();
    for (bool deflated : {false, true}) {
        CHECK(lobby.room.log(deflated).end_of_last_turn() ==
              lobby.room.log(deflated).end());
    }
    CHECK(lobby.room.log(true).end() < lobby.room.log(false).end());
}
