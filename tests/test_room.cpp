#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "deflated.h"
#include "heap.h"
#include "lobby.h"

using namespace wschat;
using namespace wschat::test;

namespace {

/// Who receives one of the runs.
class Member {
public:
    Member(Lobby& lobby, bool deflated)
        : run_(&lobby.room.run(deflated)), position_(run_->join()) {}
    ~Member() { run_->leave(position_); }
    Member(const Member&) = delete;
    Member& operator=(const Member&) = delete;

    /// The bytes since the last time.
    std::string hear() {
        std::string heard;
        for (;;) {
            const Pieces pieces = run_->pending(position_, run_->end());
            if (pieces.count == 0) return heard;
            for (size_t i = 0; i < pieces.count; ++i) heard += pieces.piece[i];
            run_->advance(position_, pieces.size);
        }
    }

private:
    Broadcast* run_;
    Broadcast::Position position_;
};

const std::string kLong(1000, 'a');

}  // namespace

TEST_CASE("everyone in a room gets a message, deflated or as it is") {
    Lobby room;
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
    Lobby room;
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
    Lobby room;
    Member plain(room, false);
    Member deflating(room, true);
    room.ping();
    CHECK(plain.hear() == std::string("\x89\0", 2));
    CHECK(deflating.hear() == std::string("\x89\0", 2));
}

TEST_CASE("a room that nobody is in holds nothing") {
    const size_t before = heap_in_use();
    Lobby room;
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
