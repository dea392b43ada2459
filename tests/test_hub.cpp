#include "hub.h"

#include <chrono>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include "client.h"
#include "fixtures/client_frames.h"
#include "fixtures/deflated.h"
#include "fixtures/heap.h"
#include "fixtures/request_head.h"
#include "fixtures/route_fields.h"
#include "fixtures/server_frames.h"

using namespace wschat;
using namespace wschat::test;
using namespace std::chrono_literals;

namespace {

using Texts = std::vector<std::string>;

const Time kStart = Time() + 1000s;

std::string system_text(const std::string& text) {
    return R"({"type":"system","message":")" + text + R"("})";
}

std::string notice_text(const std::string& reason) {
    return R"({"type":"error","message":"not relayed: )" + reason + R"("})";
}

/// A member and its cursor.
struct TestMember {
    explicit TestMember(const std::string& at = "192.0.2.1", bool v1 = false) {
        member.address = address(at);
        member.v1 = v1;
    }

    /// Returns the texts that were appended for it since the last call; a ping
    /// is "ping".
    Texts receive() {
        Texts texts;
        std::string bytes;
        while (cursor.is_started()) {
            cursor.switch_log_at_end();
            const IoVec next = cursor.pending(cursor.end());
            if (next.count == 0) break;
            for (size_t i = 0; i < next.count; ++i) bytes += next.piece[i];
            cursor.advance(next.size);
        }
        for (const ServerFrame& frame : frames_in(bytes))
            texts.push_back(frame.first == 0x89   ? "ping"
                            : frame.first == 0xC1 ? inflated(frame.payload)
                                                  : frame.payload);
        return texts;
    }

    Member member;
    RoomCursor cursor;
};

/// A member whose address is counted as `use`; null: it is not counted.
struct CountedMember : TestMember {
    explicit CountedMember(AddressUse* use) { member.use = use; }
};

/// A hub with a clock that only the test moves.
class TestHub {
public:
    explicit TestHub(Announce announce = Announce::None) {
        settings.announce = announce;
        hub.begin_turn(now_);
    }
    TestHub(const TestHub&) = delete;
    TestHub& operator=(const TestHub&) = delete;

    void move_clock(Duration by) {
        now_ += by;
        hub.begin_turn(now_);
        hub.run_timers();
    }

    /// Returns the hello; nothing if the room can't be created.
    std::optional<std::string> join(TestMember& test_member,
                                    const std::string& room = "/",
                                    const Resume& resume = {},
                                    bool deflated = false) {
        const Joined joined = hub.join(test_member.member, test_member.cursor,
                                       {room, resume, deflated});
        refusal = joined.refusal ? joined.refusal : "";
        if (joined.refusal) return std::nullopt;
        return joined.hello;
    }

    void leave(TestMember& test_member) {
        hub.leave(test_member.member);
        test_member.cursor.stop();
        hub.release(test_member.member);
    }

    std::string submit(const TestMember& test_member,
                       std::string_view text = "{}") {
        return hub.submit(test_member.member, text).json;
    }

    Response publish(const std::string& body, const std::string& room = "/",
                     bool is_lines = false) {
        PublishRequest request;
        request.room = room;
        request.body = body;
        request.size = body.size();
        request.is_lines = is_lines;
        return hub.publish(request);
    }

    Texts changed() {
        Texts names;
        for (const Room* room : hub.take_changed())
            names.push_back(room->name());
        return names;
    }

    Settings settings;
    Hub hub{settings};
    std::string refusal;  // of the last join; empty if it was accepted

private:
    Time now_ = kStart;
};

std::string body_of(const Response& response) {
    return response.bytes.substr(response.bytes.find("\r\n\r\n") + 4);
}

}  // namespace

// Joining and leaving

TEST_CASE("a member receives the messages sent while it is in the room") {
    TestHub test;
    TestMember ada, bob;
    test.join(ada);
    test.submit(ada, "[1]");
    test.join(bob);
    CHECK(test.hub.members() == 2);
    CHECK(test.submit(bob, "[2]") == "");
    CHECK(ada.receive() == Texts{"[1]", "[2]"});
    CHECK(bob.receive() == Texts{"[2]"});
    test.leave(ada);
    test.submit(bob, "[3]");
    CHECK(ada.receive() == Texts{});
    CHECK(bob.receive() == Texts{"[3]"});
    CHECK(test.hub.members() == 1);
    test.leave(bob);
}

TEST_CASE("a message is received only in its room") {
    TestHub test;
    TestMember ada, bob;
    test.join(ada, "/a");
    test.join(bob, "/b");
    test.submit(ada, "[1]");
    test.submit(bob, "[2]");
    CHECK(ada.receive() == Texts{"[1]"});
    CHECK(bob.receive() == Texts{"[2]"});
    test.leave(ada);
    test.leave(bob);
}

TEST_CASE("a client that speaks wschat.v1 gets a hello, others do not") {
    TestHub test;
    TestMember old, v1("192.0.2.1", true);
    CHECK(test.join(old, "/x") == "");
    test.submit(old, "[1]");
    const auto hello = test.join(v1, "/x");
    REQUIRE(hello);
    CHECK(hello->find(R"({"type":"hello","room":"/x","epoch":")") == 0);
    CHECK(hello->find(R"("first":2,"last":1,"clients":2,"recovered":false,)") !=
          std::string::npos);
    test.leave(old);
    test.leave(v1);
}

TEST_CASE("a hello tells the largest message, and what is announced") {
    TestHub test(Announce::Count);
    test.settings.reader_config.max_message = 4096;
    TestMember v1("192.0.2.1", true);
    const auto hello = test.join(v1);
    REQUIRE(hello);
    CHECK(hello->find(R"("maxMessage":4096,"announce":"count"})") !=
          std::string::npos);
    test.leave(v1);
}

TEST_CASE("a client that resumes receives what it has missed") {
    TestHub test;
    TestMember ada, bob("192.0.2.1", true), again("192.0.2.1", true);
    test.join(ada);
    test.join(bob);
    const std::string epoch = bob.member.entry->room.epoch();
    test.submit(ada, "[1]");
    test.leave(bob);
    test.submit(ada, "[2]");
    test.submit(ada, "[3]");
    const auto hello = test.join(again, "/", {epoch, 1});
    CHECK(hello->find(R"("first":2,"last":3,"clients":2,"recovered":true,)") !=
          std::string::npos);
    CHECK(again.receive() == Texts{"[2]", "[3]"});
    test.leave(ada);
    test.leave(again);
}

TEST_CASE("a new member receives --history retained messages") {
    TestHub test;
    test.settings.rooms_config.history = 2;
    TestMember ada, bob;
    test.join(ada);
    for (const char* text : {"[1]", "[2]", "[3]"}) test.submit(ada, text);
    test.join(bob);
    CHECK(bob.receive() == Texts{"[2]", "[3]"});
    test.leave(ada);
    test.leave(bob);
}

TEST_CASE("a member that receives deflated messages gets the same texts") {
    TestHub test;
    TestMember ada, bob;
    test.join(ada);
    test.join(bob, "/", {}, true);
    const std::string text = "\"" + std::string(500, 'x') + "\"";
    test.submit(ada, text);
    CHECK(bob.receive() == Texts{text});
    CHECK(ada.receive() == Texts{text});
    test.leave(ada);
    test.leave(bob);
}

TEST_CASE("over --max-rooms a join of a new room fails and changes nothing") {
    TestHub test(Announce::Address);
    test.settings.rooms_config.most = 1;
    TestMember ada, bob;
    test.join(ada, "/a");
    CHECK(test.changed() == Texts{"/a"});
    CHECK_FALSE(test.join(bob, "/b"));
    CHECK(test.hub.members() == 1);
    CHECK_FALSE(test.hub.has_changed());
    CHECK_FALSE(bob.cursor.is_started());
    CHECK(bob.member.entry == nullptr);
    CHECK(test.join(bob, "/a"));
    test.leave(ada);
    test.leave(bob);
}

TEST_CASE("leaving twice, or a room never joined, does nothing") {
    TestHub test(Announce::Address);
    TestMember ada, bob, not_joined;
    test.join(ada);
    test.join(bob);
    ada.receive();
    test.hub.leave(not_joined.member);
    test.hub.leave(bob.member);
    test.hub.leave(bob.member);
    CHECK(ada.receive() ==
          Texts{system_text("192.0.2.1 disconnected")});
    CHECK(test.hub.members() == 1);
    test.leave(bob);
    test.hub.release(not_joined.member);
    test.leave(ada);
}

TEST_CASE("a room without members and messages holds no memory") {
    TestHub test;
    const size_t before = heap_in_use();
    for (int i = 0; i < 10; ++i) {
        TestMember ada;
        test.join(ada, "/" + std::to_string(i));
        test.leave(ada);
    }
    CHECK(heap_in_use() == before);
}

// Rooms of one address

TEST_CASE("over --max-rooms-per-address no room is made for this address") {
    TestHub test(Announce::Address);
    test.settings.limits.max_rooms_per_address = 2;
    AddressUse one, other;
    CountedMember a(&one), b(&one), refused(&one), elsewhere(&other);
    test.join(a, "/a");
    test.join(b, "/b");
    CHECK(one.rooms == 2);
    CHECK(test.changed() == Texts{"/a", "/b"});
    CHECK_FALSE(test.join(refused, "/c"));
    CHECK(test.refusal ==
          "too many rooms of this address (--max-rooms-per-address)");
    // Nothing is left of it.
    CHECK(one.rooms == 2);
    CHECK(test.hub.members() == 2);
    CHECK(refused.member.entry == nullptr);
    CHECK_FALSE(refused.cursor.is_started());
    CHECK_FALSE(test.hub.has_changed());
    // Rooms that have members are open to all.
    CHECK(test.join(refused, "/a"));
    CHECK(test.join(elsewhere, "/c"));
    for (TestMember* each : {&a, &b, &refused, &elsewhere}) test.leave(*each);
}

TEST_CASE("rooms of one address are counted until the last member leaves") {
    TestHub test;
    test.settings.limits.max_rooms_per_address = 1;
    AddressUse use;
    CountedMember first(&use), second(&use), third(&use);
    test.join(first, "/a");
    test.join(second, "/a");
    CHECK(use.rooms == 1);
    test.leave(first);
    CHECK(use.rooms == 1);
    CHECK_FALSE(test.join(third, "/b"));
    test.hub.leave(second.member);
    CHECK(use.rooms == 0);
    CHECK(test.join(third, "/b"));
    CHECK(use.rooms == 1);
    test.leave(second);
    test.leave(third);
    CHECK(use.rooms == 0);
}

TEST_CASE("a room that exists without members is not open to an address") {
    TestHub test;
    test.settings.limits.max_rooms_per_address = 1;
    AddressUse use;
    CountedMember first(&use), second(&use);
    test.join(first, "/a");
    test.publish("[1]", "/b");
    CHECK_FALSE(test.join(second, "/b"));
    test.leave(first);
    CHECK(test.join(second, "/b"));
    test.leave(second);
}

TEST_CASE("a room that others have joined is counted for no address") {
    TestHub test;
    AddressUse one, other;
    CountedMember ada(&one), bob(&other), eve(&one), mel(&other);
    test.join(ada);
    CHECK(one.rooms == 1);
    test.join(bob);
    CHECK(one.rooms == 0);
    CHECK(other.rooms == 0);
    // Nor when more of them come.
    test.join(eve);
    test.join(mel);
    CHECK(one.rooms == 0);
    CHECK(other.rooms == 0);
    test.leave(bob);
    CHECK(one.rooms == 0);
    test.leave(mel);
    CHECK(one.rooms == 1);
    CHECK(other.rooms == 0);
    test.leave(eve);
    CHECK(one.rooms == 1);
    test.join(bob);
    test.leave(ada);
    CHECK(one.rooms == 0);
    CHECK(other.rooms == 1);
    test.leave(bob);
    CHECK(other.rooms == 0);
}

TEST_CASE("a room with a member that is not counted is counted for nobody") {
    for (bool is_exempt_first : {true, false}) {
        CAPTURE(is_exempt_first);
        TestHub test;
        AddressUse use;
        CountedMember exempt(nullptr), counted(&use), another(&use);
        test.join(is_exempt_first ? exempt : counted);
        test.join(is_exempt_first ? counted : exempt);
        test.join(another);
        CHECK(use.rooms == 0);
        test.leave(another);
        CHECK(use.rooms == 0);
        test.leave(exempt);
        CHECK(use.rooms == 1);
        test.leave(counted);
        CHECK(use.rooms == 0);
    }
}

TEST_CASE("members that are not counted may have any number of rooms") {
    TestHub test;
    test.settings.limits.max_rooms_per_address = 1;
    std::deque<TestMember> members(20);
    for (size_t i = 0; i < members.size(); ++i)
        CHECK(test.join(members[i], "/" + std::to_string(i)));
    for (TestMember& each : members) test.leave(each);
}

TEST_CASE("with --max-rooms-per-address=0 rooms are counted, not limited") {
    TestHub test;
    test.settings.limits.max_rooms_per_address = 0;
    AddressUse use;
    std::deque<CountedMember> members;
    for (size_t i = 0; i < 200; ++i) {
        members.emplace_back(&use);
        CHECK(test.join(members.back(), "/" + std::to_string(i)));
    }
    CHECK(use.rooms == 200);
    for (CountedMember& each : members) test.leave(each);
    CHECK(use.rooms == 0);
}

TEST_CASE("a join that fails for --max-rooms counts no room of the address") {
    TestHub test;
    test.settings.rooms_config.most = 1;
    AddressUse use;
    CountedMember ada(&use), bob(&use);
    test.join(ada, "/a");
    CHECK_FALSE(test.join(bob, "/b"));
    CHECK(test.refusal == "too many rooms");
    CHECK(use.rooms == 1);
    test.leave(ada);
    CHECK(use.rooms == 0);
}

TEST_CASE("random joins and leaves keep the count of a naive one") {
    std::mt19937 random(1);
    TestHub test;
    test.settings.limits.max_rooms_per_address = 0;
    constexpr size_t kRooms = 4;
    AddressUse uses[3];
    std::deque<CountedMember> members;
    for (int i = 0; i < 12; ++i)
        members.emplace_back(i % 4 < 3 ? &uses[i % 4] : nullptr);
    std::map<CountedMember*, size_t> rooms;  // of those that are members
    int wrong = 0;
    for (int step = 0; step < 20'000; ++step) {
        CountedMember& each = members[random() % members.size()];
        if (rooms.erase(&each)) {
            test.leave(each);
        } else {
            const size_t room = rooms[&each] = random() % kRooms;
            test.join(each, "/" + std::to_string(room));
        }
        std::map<const AddressUse*, size_t> expected;
        for (size_t room = 0; room < kRooms; ++room) {
            std::set<const AddressUse*> present;
            for (const auto& [member, its_room] : rooms)
                if (its_room == room) present.insert(member->member.use);
            if (present.size() == 1) ++expected[*present.begin()];
        }
        for (const AddressUse& use : uses)
            if (use.rooms != expected[&use]) ++wrong;
    }
    CHECK(wrong == 0);
    for (const auto& [member, room] : rooms) test.leave(*member);
}

// Announcements

TEST_CASE("joins and leaves are announced with the address, to all members") {
    TestHub test(Announce::Address);
    TestMember ada("192.0.2.1"), bob("2001:db8::1"), eve("unix");
    test.join(ada);
    test.join(bob);
    test.join(eve);
    CHECK(ada.receive() == Texts{system_text("192.0.2.1 connected"),
                                 system_text("2001:db8::1 connected"),
                                 system_text("unix connected")});
    CHECK(bob.receive() == Texts{system_text("2001:db8::1 connected"),
                                 system_text("unix connected")});
    test.hub.leave(bob.member);
    CHECK(ada.receive() == Texts{system_text("2001:db8::1 disconnected")});
    for (TestMember* test_member : {&ada, &bob, &eve}) test.leave(*test_member);
}

// Regression: each join was announced, and 30,000 of them sent 3 MiB to each
// member of a room.
TEST_CASE("announcements beyond 20 in a second are folded into one") {
    TestHub test(Announce::Address);
    TestMember ada;
    test.join(ada);
    std::deque<TestMember> others(37);
    for (TestMember& other : others) test.join(other);
    for (size_t i = 0; i < 12; ++i) test.leave(others[i]);
    CHECK(ada.receive().size() == 20);
    CHECK(test.hub.next_timer() == kStart + 1s);
    test.move_clock(999ms);
    CHECK(ada.receive().empty());
    test.move_clock(1ms);
    CHECK(ada.receive() ==
          Texts{system_text("18 connected, 12 disconnected")});
    // Then they are single again.
    test.leave(others[12]);
    CHECK(ada.receive() == Texts{system_text("192.0.2.1 disconnected")});
    test.leave(ada);
    for (size_t i = 13; i < others.size(); ++i) test.leave(others[i]);
}

// Regression: each join of the flood postponed the announcement.
TEST_CASE("folded announcements are made although more clients join") {
    TestHub test(Announce::Address);
    TestMember ada;
    test.join(ada);
    std::deque<TestMember> others(40);
    for (size_t i = 0; i < 25; ++i) test.join(others[i]);
    CHECK(ada.receive().size() == 20);
    // A join is served before the timers of its turn.
    test.hub.begin_turn(kStart + 1s);
    for (size_t i = 25; i < 40; ++i) test.join(others[i]);
    test.hub.run_timers();
    CHECK(ada.receive() == Texts{system_text("21 connected")});
    test.leave(ada);
    for (TestMember& other : others) test.leave(other);
}

TEST_CASE("each room folds its own announcements, and one that is left none") {
    TestHub test(Announce::Address);
    TestMember ada, bob;
    test.join(ada, "/a");
    test.join(bob, "/b");
    std::deque<TestMember> others(30);
    for (TestMember& other : others) test.join(other, "/b");
    CHECK(ada.receive().size() == 1);
    CHECK(bob.receive().size() == 20);
    test.leave(bob);
    for (TestMember& other : others) test.leave(other);
    test.move_clock(1s);
    CHECK(ada.receive().empty());
    test.leave(ada);
}

TEST_CASE("nothing is announced with --announce=none") {
    TestHub test(Announce::None);
    TestMember ada, bob;
    test.join(ada);
    test.join(bob);
    test.leave(bob);
    test.move_clock(10s);
    CHECK(ada.receive() == Texts{});
    test.leave(ada);
}

TEST_CASE("with --announce=count, a count follows at most once a second") {
    TestHub test(Announce::Count);
    TestMember ada, bob, eve;
    test.join(ada);
    CHECK(test.hub.next_timer() <= kStart);
    test.move_clock(0s);
    CHECK(ada.receive() == Texts{system_text("1 online")});
    test.join(bob);
    test.join(eve);
    test.leave(eve);
    CHECK(test.hub.next_timer() == kStart + 1s);
    test.move_clock(999ms);
    CHECK(ada.receive() == Texts{});
    test.move_clock(1ms);
    CHECK(ada.receive() == Texts{system_text("2 online")});
    // No further announcement is due.
    CHECK(test.hub.next_timer() > kStart + 10s);
    test.leave(ada);
    test.leave(bob);
}

TEST_CASE("only rooms whose number of members has changed get a count") {
    TestHub test(Announce::Count);
    TestMember ada, bob, eve, mel;
    test.join(ada, "/a");
    test.join(bob, "/b");
    test.move_clock(0s);
    CHECK(ada.receive() == Texts{system_text("1 online")});
    CHECK(bob.receive() == Texts{system_text("1 online")});
    test.join(eve, "/b");
    test.move_clock(1s);
    CHECK(ada.receive() == Texts{});
    CHECK(bob.receive() == Texts{system_text("2 online")});
    // One leaves, another one joins.
    test.leave(eve);
    test.join(mel, "/b");
    test.move_clock(1s);
    CHECK(bob.receive() == Texts{});
    test.leave(mel);
    test.move_clock(1s);
    CHECK(bob.receive() == Texts{system_text("1 online")});
    test.leave(ada);
    test.leave(bob);
}

TEST_CASE("an empty room gets no count") {
    TestHub test(Announce::Count);
    TestMember ada;
    test.join(ada, "/a");
    test.submit(ada, "[1]");
    test.move_clock(0s);
    ada.receive();
    const uint64_t newest = ada.member.entry->room.history().newest();
    test.hub.leave(ada.member);
    test.move_clock(1s);
    CHECK(ada.member.entry->room.history().newest() == newest);
    test.leave(ada);
}

// Regression: the announcement that the last member has left was retained, and
// so was its room.
TEST_CASE("an empty room is not told who has left") {
    TestHub test(Announce::Address);
    TestMember ada;
    test.join(ada, "/a");
    const size_t before = heap_in_use();
    const History& history = ada.member.entry->room.history();
    const uint64_t newest = history.newest();
    const size_t retained = history.size();
    test.hub.leave(ada.member);
    CHECK(history.newest() == newest);
    CHECK(history.size() == retained);
    CHECK(heap_in_use() <= before);
    test.leave(ada);
}

TEST_CASE("an empty room is not told what was folded either") {
    TestHub test(Announce::Address);
    TestMember ada;
    test.join(ada, "/a");
    std::deque<TestMember> others(30);
    for (TestMember& other : others) test.join(other, "/a");
    for (TestMember& other : others) test.leave(other);
    const History& history = ada.member.entry->room.history();
    const uint64_t newest = history.newest();
    test.hub.leave(ada.member);
    test.move_clock(5s);
    CHECK(history.newest() == newest);
    test.leave(ada);
}

TEST_CASE("a server that stops announces nothing any more") {
    for (Announce announce : {Announce::Address, Announce::Count}) {
        TestHub test(announce);
        TestMember ada, bob;
        test.join(ada);
        test.join(bob);
        ada.receive();
        test.hub.stop_announcing();
        test.leave(bob);
        test.move_clock(5s);
        CHECK(ada.receive() == Texts{});
        CHECK(test.hub.next_timer() > kStart + 10s);
        test.leave(ada);
    }
}

// Submitting

TEST_CASE("a message that is not relayed is answered to its sender alone") {
    TestHub test;
    TestMember ada, bob;
    test.join(ada);
    test.join(bob);
    CHECK(test.submit(ada, "null") == "");
    CHECK(test.submit(ada, "{") == notice_text("unexpected end at byte 1"));
    CHECK(test.submit(ada, R"({"type":"system"})") ==
          notice_text(R"(the type \"system\" is reserved)"));
    CHECK(test.submit(ada, R"({"type":"ping"})") ==
          notice_text(R"(the type \"ping\" is reserved)"));
    CHECK(ada.receive() == Texts{});
    CHECK(bob.receive() == Texts{});
    CHECK_FALSE(test.hub.has_changed());
    test.leave(ada);
    test.leave(bob);
}

TEST_CASE("a member that speaks wschat.v1 gets a pong for the type ping") {
    TestHub test;
    TestMember ada("192.0.2.1", true);
    test.join(ada);
    CHECK(test.submit(ada, R"({"type":"ping"})") == R"({"type":"pong"})");
    CHECK(ada.receive() == Texts{});
    test.leave(ada);
}

TEST_CASE("a grant lets a member send the type system") {
    TestHub test;
    TestMember ada;
    ada.member.grants.may_send_system = true;
    test.join(ada);
    CHECK(test.submit(ada, R"({"type":"system"})") == "");
    CHECK(ada.receive() == Texts{R"({"type":"system"})"});
    test.leave(ada);
}

TEST_CASE("a message of a sender without a room goes to the room /") {
    TestHub test;
    TestMember ada, bob, raw;
    test.join(ada, "/");
    test.join(bob, "/b");
    CHECK(test.submit(raw, "[1]") == "");
    CHECK(ada.receive() == Texts{"[1]"});
    CHECK(bob.receive() == Texts{});
    CHECK(test.hub.members() == 2);
    test.leave(ada);
    test.leave(bob);
}

TEST_CASE("a sender without a room gets a notice if / can't be created") {
    TestHub test;
    test.settings.rooms_config.most = 1;
    TestMember ada, raw;
    test.join(ada, "/a");
    CHECK(test.submit(raw, "[1]") == notice_text("too many rooms"));
    test.leave(ada);
}

// Publishing

TEST_CASE("a publisher gets a receipt, and members get the message") {
    TestHub test;
    TestMember ada, bob;
    test.join(ada, "/news");
    test.join(bob, "/news");
    const Response response = test.publish("[1]", "/news");
    CHECK(response.status == 200);
    CHECK(body_of(response) ==
          "{\"room\":\"/news\",\"clients\":2,\"number\":1}\n");
    CHECK(ada.receive() == Texts{"[1]"});
    CHECK(bob.receive() == Texts{"[1]"});
    test.leave(ada);
    test.leave(bob);
}

TEST_CASE("each line is published, or none if one is refused") {
    TestHub test;
    TestMember ada;
    test.join(ada);
    CHECK(test.publish("[1]\n[2]\n", "/", true).status == 200);
    CHECK(ada.receive() == Texts{"[1]", "[2]"});
    const Response refused = test.publish("[3]\n{\n[4]\n", "/", true);
    CHECK(refused.status == 400);
    CHECK(refused.why == "not relayed: line 2: unexpected end at byte 1");
    CHECK(ada.receive() == Texts{});
    test.leave(ada);
}

TEST_CASE("a message for an empty room is retained, or refused with 503") {
    TestHub test;
    test.settings.rooms_config.retention.bytes = 100;
    const std::string large = "\"" + std::string(100, 'x') + "\"";
    CHECK(test.publish("[1]").status == 200);
    const Response refused = test.publish("[2]\n" + large, "/", true);
    CHECK(refused.status == 503);
    CHECK(refused.why ==
          "room is empty and the message exceeds the retention limit");
    // Nothing of the refused body was published.
    CHECK(body_of(test.publish("[2]")) ==
          "{\"room\":\"/\",\"clients\":0,\"number\":2}\n");
    TestMember ada;
    test.join(ada);
    CHECK(test.publish(large).status == 200);
    CHECK(ada.receive() == Texts{large});
    test.leave(ada);
}

TEST_CASE("without retention, a message for an empty room is accepted") {
    TestHub test;
    test.settings.rooms_config.retention.messages = 0;
    CHECK(test.publish("[1]").status == 200);
}

TEST_CASE("messages that an empty room can retain only in part are refused") {
    TestHub test;
    test.settings.rooms_config.retention.messages = 2;
    CHECK(test.publish("[1]\n[2]\n[3]\n", "/", true).status == 503);
    CHECK(body_of(test.publish("[1]\n[2]\n", "/", true)) ==
          "{\"room\":\"/\",\"clients\":0,\"number\":2}\n");
}

TEST_CASE("a body that is refused costs no other room its place") {
    TestHub test;
    test.settings.rooms_config.most = 1;
    test.settings.rooms_config.retention.bytes = 100;
    CHECK(test.publish("[1]", "/a").status == 200);
    const std::string large = "\"" + std::string(100, 'x') + "\"";
    CHECK(test.publish(large, "/b").status == 503);
    CHECK(body_of(test.publish("[2]", "/a")) ==
          "{\"room\":\"/a\",\"clients\":0,\"number\":2}\n");
}

TEST_CASE("over --max-rooms, a publisher is refused with 503") {
    TestHub test;
    test.settings.rooms_config.most = 1;
    TestMember ada;
    test.join(ada, "/a");
    CHECK(test.publish("[1]", "/b").status == 503);
    CHECK(test.publish("[1]", "/a").status == 200);
    test.leave(ada);
}

// Rooms with new messages

TEST_CASE("rooms with new messages for members are named once") {
    TestHub test;
    TestMember ada, bob, eve;
    test.join(ada, "/a");
    test.join(bob, "/b");
    test.join(eve, "/c");
    CHECK_FALSE(test.hub.has_changed());
    test.publish("[1]", "/empty");
    CHECK_FALSE(test.hub.has_changed());
    test.submit(bob);
    test.submit(ada);
    test.submit(bob);
    CHECK(test.hub.has_changed());
    CHECK(test.changed() == Texts{"/b", "/a"});
    CHECK_FALSE(test.hub.has_changed());
    test.submit(ada);
    CHECK(test.changed() == Texts{"/a"});
    for (TestMember* test_member : {&ada, &bob, &eve}) test.leave(*test_member);
}

// If a client is dropped during the flush, its leave is announced. That must
// not make all messages of the turn a backlog of the other clients.
TEST_CASE("a message appended during a flush is no backlog in that turn") {
    TestHub test;
    TestMember ada;
    test.join(ada);
    test.submit(ada);
    const std::vector<Room*> changed = test.hub.take_changed();
    test.submit(ada, "[\"while flushing\"]");
    CHECK(ada.cursor.backlog(kStart) == 0);
    CHECK(test.changed() == Texts{"/"});
    changed[0]->end_turn(kStart);
    CHECK(ada.cursor.backlog(kStart + Broadcast::kSettled) > 0);
    test.leave(ada);
}

TEST_CASE("a room that is deleted is not among the changed ones") {
    TestHub test;
    test.settings.rooms_config.retention.messages = 0;
    TestMember ada, bob;
    test.join(ada, "/a");
    test.join(bob, "/b");
    test.submit(ada);
    test.submit(bob);
    test.leave(ada);
    CHECK(test.changed() == Texts{"/b"});
    test.leave(bob);
}

TEST_CASE("a ping goes to all members, and has no number") {
    TestHub test;
    TestMember ada, bob, eve;
    test.join(ada, "/a");
    test.join(bob, "/a", {}, true);
    test.join(eve, "/e");
    test.publish("[1]", "/empty");
    test.hub.ping();
    CHECK(test.changed() == Texts{"/a", "/e"});
    for (TestMember* test_member : {&ada, &bob, &eve})
        CHECK(test_member->receive() == Texts{"ping"});
    CHECK(ada.member.entry->room.history().newest() == 0);
    for (TestMember* test_member : {&ada, &bob, &eve}) test.leave(*test_member);
}

// Regression: they were dropped with the pings only, so with --ping-interval=0
// never.
TEST_CASE("expired messages of members' rooms are dropped without pings") {
    TestHub test;
    test.settings.rooms_config.retention.time = 10s;
    TestMember ada;
    test.join(ada);
    test.submit(ada, "[1]");
    const History& history = ada.member.entry->room.history();
    CHECK(history.size() == 1);
    CHECK(test.hub.next_timer() <= kStart + 60s);
    test.move_clock(60s);
    CHECK(history.size() == 0);
    test.leave(ada);
}

TEST_CASE("a room whose messages have expired leaves nothing to wake up for") {
    TestHub test;
    test.settings.rooms_config.retention.time = 10s;
    TestMember ada;
    test.join(ada);
    test.submit(ada, "[1]");
    for (int i = 0; i < 4; ++i) test.move_clock(60s);
    CHECK(test.hub.next_timer() == Time::max());
    test.leave(ada);
}

TEST_CASE("an empty room is deleted when its messages have expired") {
    TestHub test;
    test.settings.rooms_config.retention.time = 10s;
    test.publish("[1]", "/a");
    CHECK(test.hub.next_timer() == kStart + 10s);
    test.move_clock(9s);
    CHECK(body_of(test.publish("[2]", "/a")).find("\"number\":2") !=
          std::string::npos);
    test.move_clock(10s);
    CHECK(body_of(test.publish("[1]", "/a")).find("\"number\":1") !=
          std::string::npos);
}

TEST_CASE("the number of members is described in words") {
    CHECK(describe_members(0) == "0 clients");
    CHECK(describe_members(1) == "1 client");
    CHECK(describe_members(2) == "2 clients");
}

// The cost of a message

namespace {

/// A room of clients. A message goes through the same functions as in the
/// daemon, except that a socket accepts all bytes.
class Relay {
public:
    explicit Relay(size_t members, const std::string& extension = "X: y") {
        for (size_t i = 0; i < members; ++i) join(extension);
        flush();
    }
    ~Relay() {
        for (Client& client : clients_) {
            test_.hub.leave(client.member());
            client.drop();
            test_.hub.release(client.member());
        }
    }
    Relay(const Relay&) = delete;
    Relay& operator=(const Relay&) = delete;

    /// Feeds text frames to the first client, in one piece.
    void receive(const std::string& frames) {
        input_ = frames;
        Bytes input{input_.data(), input_.size()};
        Client& sender = clients_.front();
        for (;;) {
            const ClientInput next = sender.next(input);
            if (std::get_if<input::NeedMore>(&next)) return;
            const Reply reply = test_.hub.submit(
                sender.member(), std::get<input::Message>(next).text);
            REQUIRE(reply.json.empty());
        }
    }

    void flush() {
        for (Room* room : test_.hub.take_changed()) {
            for (Client& client : clients_) flush(client);
            room->end_turn(kStart);
        }
    }

    uint64_t delivered = 0;  // bytes

private:
    void join(const std::string& extension) {
        clients_.emplace_back(
            Accepted{Accepted::State::Peer, Fd(), address("192.0.2.7")},
            config_, nullptr);
        Client& client = clients_.back();
        std::string head = Head().without("Origin").with(extension).text();
        Bytes input{head.data(), head.size()};
        const ClientInput next = client.next(input);
        const auto& request = std::get<input::RequestHead>(next);
        const RouteFields to =
            route_fields(*request.head, request.peer, router_);
        REQUIRE(to.response.status == 101);
        test_.hub.join(
            client.member(), client.outbox().cursor(),
            {"/", {}, to.upgrade.agreement.compression.server_may_deflate});
        client.upgrade(to.upgrade, "");
        flush(client);
    }

    void flush(Client& client) {
        Client::Flush flush = client.begin_flush(256 << 10);
        while (flush.next.count > 0) {
            delivered += flush.next.size;
            client.continue_flush(flush,
                                  {IoResult::State::Done, flush.next.size});
        }
    }

    std::string input_;
    ReaderConfig config_;
    RouterConfig router_;
    TestHub test_;
    std::deque<Client> clients_;
};

struct Cost {
    size_t allocations;
    uint64_t delivered;
};

/// Returns the cost of `turns` turns with this number of messages in each.
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
    // First let all buffers grow to their final size.
    work(2000);
    const size_t before = allocations();
    const uint64_t delivered = relay.delivered;
    work(turns);
    return {allocations() - before, relay.delivered - delivered};
}

}  // namespace

TEST_CASE("a message allocates no memory per receiving client") {
    constexpr int kTurns = 5000;
    for (std::string extension :
         {"X: y", "Sec-WebSocket-Extensions: permessage-deflate"}) {
        for (int messages : {1, 10}) {
            CAPTURE(extension);
            CAPTURE(messages);
            Relay one(1, extension);
            Relay hundred(100, extension);
            const Cost alone = cost_of(one, kTurns, messages);
            const Cost many = cost_of(hundred, kTurns, messages);
            CHECK(many.delivered == 100 * alone.delivered);
            CHECK(many.delivered > 0);
            CHECK(many.allocations == alone.allocations);
            // One for the list of changed rooms in each turn, and one for each
            // new chunk of the log.
            const auto all = static_cast<size_t>(kTurns * messages);
            CHECK(many.allocations <= kTurns + all / 100);
        }
    }
}
