#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "fixtures/deflated.h"
#include "fixtures/heap.h"
#include "fixtures/standalone_room.h"

using namespace wschat;
using namespace wschat::test;

namespace {

/// A cursor in one of the logs, and the bytes that it has passed.
class Receiver {
public:
    Receiver(StandaloneRoom& lobby, bool deflated)
        : log_(&lobby.room.log(deflated)), cursor_(log_->open_cursor()) {}
    ~Receiver() { log_->close_cursor(cursor_); }
    Receiver(const Receiver&) = delete;
    Receiver& operator=(const Receiver&) = delete;

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
    Receiver plain(room, false);
    Receiver deflating(room, true);
    room.append(kLong);
    const std::string heard = deflating.hear();
    CHECK(plain.hear().substr(4) == kLong);
    REQUIRE(heard.size() < 126);
    CHECK(heard.substr(0, 1) == "\xC1");
    CHECK(inflated(heard.substr(2)) == kLong);
}

TEST_CASE("short messages, and what would grow, are not deflated") {
    StandaloneRoom room;
    Receiver deflating(room, true);
    for (const std::string& text :
         {std::string(127, 'a'), std::string("{}"), std::string()}) {
        room.append(text);
        CHECK(deflating.hear().substr(0, 1) == "\x81");
    }
    std::string noise;
    uint32_t random = 1;
    while (noise.size() < 200) {
        random = random * 1664525 + 1013904223;
        noise += static_cast<char>(random >> 24);
    }
    room.append(noise);
    CHECK(deflating.hear().substr(0, 1) == "\x81");
    room.append(std::string(128, 'a'));
    CHECK(deflating.hear().substr(0, 1) == "\xC1");
}

TEST_CASE("pings go to both kinds of members") {
    StandaloneRoom room;
    Receiver plain(room, false);
    Receiver deflating(room, true);
    room.append_ping();
    CHECK(plain.hear() == std::string("\x89\0", 2));
    CHECK(deflating.hear() == std::string("\x89\0", 2));
}

TEST_CASE("a room that nobody is in holds nothing") {
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

TEST_CASE("a client begins where it left off, or as a newcomer") {
    StandaloneRoom lobby(3);
    for (int i = 0; i < 5; ++i) lobby.append("{}");
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
    lobby.append("{}");
    CHECK_FALSE(lobby.room.start_for({"epoch", 0}, 10).recovered);
    CHECK(lobby.room.start_for({"epoch", 1}, 10).recovered);
    CHECK(lobby.room.start_for({}, 10).first == 2);
}

TEST_CASE("a member that leaves is found by its position, and no other goes") {
    StandaloneRoom lobby;
    Room& room = lobby.room;
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

TEST_CASE("the memory for members is given back when they leave") {
    std::vector<Member> members(1000);
    const size_t before = heap_in_use();
    StandaloneRoom lobby;
    for (Member& member : members) lobby.room.add(member);
    const size_t full = heap_in_use();
    for (size_t i = 0; i < 990; ++i) lobby.room.remove(members[i]);
    CHECK(heap_in_use() - before < (full - before) / 10);
    for (size_t i = 990; i < 1000; ++i) lobby.room.remove(members[i]);
    CHECK(heap_in_use() - before < 100);
}

TEST_CASE("what was published until then is old, in both runs") {
    StandaloneRoom lobby;
    Receiver plain(lobby, false);
    Receiver deflating(lobby, true);
    lobby.append("Hello");
    lobby.append(kLong);
    CHECK(lobby.room.log(false).end_of_last_turn() == 0);
    CHECK(lobby.room.log(true).end_of_last_turn() == 0);
    lobby.end_turn();
    for (bool deflated : {false, true}) {
        CHECK(lobby.room.log(deflated).end_of_last_turn() ==
              lobby.room.log(deflated).end());
    }
    CHECK(lobby.room.log(true).end() < lobby.room.log(false).end());
}
