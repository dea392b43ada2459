#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "room/broadcast.h"
#include "fixtures/heap.h"

using namespace wschat;
using wschat::test::heap_in_use;

namespace {

constexpr size_t kMin = Broadcast::kMinChunk;
constexpr size_t kMax = Broadcast::kMaxChunk;
constexpr size_t kAll = ~size_t{0};

/// A text whose frame takes this many bytes. REQUIRES: there is one.
std::string text_of_frame(size_t size, char fill = 'x') {
    const size_t header = size < 128 ? 2 : size < 65540 ? 4 : 10;
    return std::string(size - header, fill);
}

/// A frame as RFC 6455, section 5.2, has it. Written apart from frame.cpp.
std::string frame_of(const std::string& text) {
    std::string frame = "\x81";
    const size_t extended = text.size() < 126 ? 0 : text.size() < 65536 ? 2 : 8;
    frame += static_cast<char>(extended == 0   ? text.size()
                               : extended == 2 ? 126
                                               : 127);
    for (size_t i = extended; i-- > 0;)
        frame += static_cast<char>(text.size() >> (8 * i) & 0xFF);
    return frame + text;
}

/// Whether the bytes are a row of whole frames.
bool are_whole_frames(std::string_view bytes) {
    while (bytes.size() >= 2) {
        const size_t extended = bytes[1] < 126 ? 0 : bytes[1] == 126 ? 2 : 8;
        size_t length = extended ? 0 : static_cast<size_t>(bytes[1]);
        if (bytes.size() < 2 + extended) return false;
        for (size_t i = 0; i < extended; ++i)
            length = length << 8 | static_cast<uint8_t>(bytes[2 + i]);
        if (bytes.size() - 2 - extended < length) return false;
        bytes.remove_prefix(2 + extended + length);
    }
    return bytes.empty();
}

/// Who has joined a run, and what was got from there.
class Member {
public:
    explicit Member(Broadcast& run) : run_(&run), position_(run.open_cursor()) {}

    /// Where another one is, or further on.
    Member(const Member& other, uint64_t offset)
        : run_(other.run_), position_(run_->open_cursor(other.position_, offset)) {}

    /// Takes at most so many of the bytes that are pending, towards a target.
    size_t take(size_t most, uint64_t target) {
        const IoVec pieces = run_->pending(position_, target);
        size_t left = std::min(most, pieces.size);
        const size_t taken = left;
        for (size_t i = 0; i < pieces.count; ++i) {
            got_ += pieces.piece[i].substr(0, left);
            left -= std::min(left, pieces.piece[i].size());
        }
        run_->advance(position_, taken);
        return taken;
    }

    size_t take(size_t most) { return take(most, run_->end()); }

    Member& take_all() {
        while (take(kAll) > 0) {
        }
        return *this;
    }

    void close_cursor() { run_->close_cursor(position_); }

    IoVec pending() const { return run_->pending(position_, run_->end()); }
    uint64_t offset() const { return position_.offset(); }
    const std::string& got() const { return got_; }

private:
    Broadcast* run_;
    Broadcast::Cursor position_;
    std::string got_;
};

/// Publishes until the run takes more memory. Returns how much more.
size_t growth(Broadcast& run, const std::string& text) {
    const size_t before = run.capacity();
    while (run.capacity() == before) run.append(text);
    return run.capacity() - before;
}

/// Members of one run, and the naive model that they are compared with: all
/// that was published, in one string.
class Room {
public:
    explicit Room(unsigned seed) : random_(seed) {}

    void append() {
        const size_t size = below(40) == 0  ? below(200'000)
                            : below(8) == 0 ? below(9000)
                                            : below(300);
        const std::string text(size, static_cast<char>('a' + below(26)));
        run_.append(text);
        published_ += frame_of(text);
    }

    void append_ping() {
        run_.append_ping();
        published_ += std::string("\x89\0", 2);
    }

    void open_cursor() { walkers_.push_back({Member(run_), published_.size()}); }

    void close_cursor() {
        const size_t i = below(walkers_.size());
        walkers_[i].member.close_cursor();
        walkers_.erase(walkers_.begin() + static_cast<std::ptrdiff_t>(i));
    }

    /// Some member takes some bytes.
    void take() {
        Walker& walker = walkers_[below(walkers_.size())];
        const size_t most = below(3) == 0 ? below(100'000) : below(500);
        const uint64_t target = walker.member.offset() +
                                below(run_.end() - walker.member.offset() + 1);
        walker.member.take(most, target);
    }

    void take_all() {
        for (Walker& walker : walkers_) walker.member.take_all();
    }

    size_t size() const { return walkers_.size(); }
    const Broadcast& run() const { return run_; }
    uint64_t below(uint64_t n) { return random_() % n; }

    /// Counts the members who did not get just what the model says.
    int wrong() const {
        int count = run_.end() == published_.size() ? 0 : 1;
        for (const Walker& walker : walkers_) {
            const std::string& got = walker.member.got();
            if (published_.compare(walker.start, got.size(), got) != 0 ||
                walker.member.offset() != walker.start + got.size())
                ++count;
        }
        return count;
    }

private:
    struct Walker {
        Member member;
        size_t start;  // the model's size when the member joined
    };

    std::mt19937 random_;
    Broadcast run_;
    std::string published_;
    std::vector<Walker> walkers_;
};

}  // namespace

TEST_CASE("what is published is one unmasked text frame") {
    Broadcast run;
    Member member(run);
    run.append("Hello");
    CHECK(member.take_all().got() == "\x81\x05Hello");
}

TEST_CASE("a ping is an empty frame of its kind, between the others") {
    Broadcast run;
    Member member(run);
    run.append("a");
    run.append_ping();
    run.append("b");
    CHECK(member.take_all().got() ==
          frame_of("a") + std::string("\x89\0", 2) + frame_of("b"));
}

TEST_CASE("texts of every length form are framed") {
    for (size_t size : {0u, 1u, 125u, 126u, 127u, 65535u, 65536u, 70000u}) {
        CAPTURE(size);
        const std::string text(size, 'x');
        Broadcast run;
        Member member(run);
        run.append(text);
        CHECK(run.end() == frame_of(text).size());
        CHECK((member.take_all().got() == frame_of(text)));
    }
}

TEST_CASE("a run without cursors keeps nothing") {
    Broadcast run;
    CHECK(run.capacity() == 0);
    run.append("Hello");
    run.append_ping();
    run.append(std::string(100'000, 'x'));
    CHECK(run.capacity() == 0);
    CHECK(run.end() == 7 + 2 + 100'010);
}

TEST_CASE("a member gets what was published since it joined") {
    Broadcast run;
    run.append("before anyone");
    Member first(run);
    CHECK(first.offset() == run.end());
    CHECK(first.pending().count == 0);
    run.append("one");
    Member second(run);
    CHECK(second.pending().count == 0);
    run.append("two");
    CHECK(first.take_all().got() == "\x81\x03one\x81\x03two");
    CHECK(second.take_all().got() == "\x81\x03two");
    CHECK(first.take(kAll) == 0);
}

TEST_CASE("what is pending ends at the target") {
    Broadcast run;
    Member member(run);
    run.append("one");
    const uint64_t target = run.end();
    run.append("two");
    CHECK(member.take(2, target) == 2);
    CHECK(member.take(kAll, target) == 3);
    CHECK(member.take(kAll, target) == 0);
    CHECK(member.got() == "\x81\x03one");
    CHECK(member.take_all().got() == "\x81\x03one\x81\x03two");
}

TEST_CASE("a target may lie many chunks ahead") {
    Broadcast run;
    Member member(run);
    std::string expected;
    std::vector<uint64_t> targets;
    for (int i = 0; i < 500; ++i) {
        const std::string text(static_cast<size_t>(i * 7), 'x');
        run.append(text);
        expected += frame_of(text);
        targets.push_back(run.end());
    }
    for (uint64_t target : targets) {
        while (member.take(1000, target) > 0) {
        }
        CHECK(member.offset() == target);
    }
    CHECK((member.got() == expected));
}

TEST_CASE("members get what was published, whatever pieces they take") {
    for (unsigned seed = 1; seed <= 20; ++seed) {
        CAPTURE(seed);
        Room room(seed);
        room.open_cursor();
        for (int step = 0; step < 2000; ++step) {
            const uint64_t dice = room.below(20);
            if (dice == 0 && room.size() < 12)
                room.open_cursor();
            else if (dice == 1 && room.size() > 0)
                room.close_cursor();
            else if (dice == 2)
                room.append_ping();
            else if (dice < 8)
                room.append();
            else if (room.size() > 0)
                room.take();
        }
        CHECK(room.wrong() == 0);
        room.take_all();
        CHECK(room.wrong() == 0);
        CHECK(room.run().capacity() <= 200'010);
        while (room.size() > 0) room.close_cursor();
        CHECK(room.run().capacity() == 0);
    }
}

TEST_CASE("a run that was empty for a while goes on counting") {
    Broadcast run;
    Member first(run);
    run.append("one");
    first.close_cursor();
    run.append("two");
    Member second(run);
    CHECK(second.offset() == 10);
    run.append("three");
    CHECK(second.take_all().got() == "\x81\x05three");
    CHECK(second.offset() == 17);
}

TEST_CASE("a frame never spans chunks") {
    Broadcast run;
    Member member(run);
    std::mt19937 random(1);
    for (int i = 0; i < 3000; ++i)
        run.append(
            std::string(random() % (i % 100 == 0 ? 150'000 : 3000), 'x'));
    int pieces_seen = 0;
    while (member.offset() < run.end()) {
        const IoVec pieces = member.pending();
        for (size_t i = 0; i < pieces.count; ++i)
            CHECK(are_whole_frames(pieces.piece[i]));
        pieces_seen += static_cast<int>(pieces.count);
        member.take(pieces.size);
    }
    CHECK(pieces_seen > 50);
}

TEST_CASE("chunks grow from 256 bytes to 64 KiB") {
    Broadcast run;
    Member member(run);
    CHECK(run.capacity() == kMin);
    for (size_t size = 2 * kMin; size <= kMax; size *= 2)
        CHECK(growth(run, "a text of 100 bytes or so") == size);
    CHECK(growth(run, "more") == kMax);
    CHECK(growth(run, "more") == kMax);
}

TEST_CASE("a chunk is filled to its last byte") {
    Broadcast run;
    Member member(run);
    for (size_t i = 0; i < kMin / 64; ++i) run.append(text_of_frame(64));
    CHECK(run.capacity() == kMin);
    CHECK(member.pending().count == 1);
    run.append_ping();
    CHECK(run.capacity() == kMin + 2 * kMin);
    CHECK(member.pending().count == 2);
}

TEST_CASE("a frame that is larger than a chunk gets one of its own") {
    Broadcast run;
    Member member(run);
    run.append(text_of_frame(1000));
    CHECK(run.capacity() == kMin + 1000);
    run.append(text_of_frame(kMax + 100));
    CHECK(run.capacity() == kMin + 1000 + kMax + 100);
    run.append("small");
    CHECK(run.capacity() == kMin + 1000 + kMax + 100 + kMax);
    run.append(text_of_frame(1 << 20));
    CHECK(run.capacity() == kMin + 1000 + kMax + 100 + kMax + (1 << 20));
    CHECK(member.pending().count == 4);
}

TEST_CASE("more chunks than one send takes are taken in several turns") {
    Broadcast run;
    Member member(run);
    std::string expected;
    for (size_t i = 0; i < 2 * IoVec::kMax + 2; ++i) {
        const char c = static_cast<char>('a' + i);
        run.append(text_of_frame(kMax, c));
        expected += frame_of(text_of_frame(kMax, c));
    }
    const IoVec pieces = member.pending();
    CHECK(pieces.count == IoVec::kMax);
    CHECK(pieces.size == IoVec::kMax * kMax);
    CHECK(member.take(kAll) == IoVec::kMax * kMax);
    CHECK(member.take(kAll) == IoVec::kMax * kMax);
    CHECK(member.take(kAll) == 2 * kMax);
    CHECK(member.take(kAll) == 0);
    CHECK((member.got() == expected));
}

TEST_CASE("chunks are freed when the hindmost has passed them") {
    Broadcast run;
    Member fast(run);
    Member slow(run);
    for (int i = 0; i < 10; ++i) run.append(text_of_frame(kMax));
    CHECK(run.capacity() == kMin + 10 * kMax);
    fast.take_all();
    CHECK(run.capacity() == kMin + 10 * kMax);
    slow.take(kMax - 1);
    CHECK(run.capacity() == 10 * kMax);
    slow.take(1);
    CHECK(run.capacity() == 9 * kMax);
    slow.take(3 * kMax);
    CHECK(run.capacity() == 6 * kMax);
    slow.take_all();
    CHECK(run.capacity() == kMax);
}

TEST_CASE("chunks are freed when the hindmost leaves") {
    Broadcast run;
    Member slow(run);
    for (int i = 0; i < 5; ++i) run.append(text_of_frame(kMax));
    Member middle(run);
    for (int i = 0; i < 5; ++i) run.append(text_of_frame(kMax));
    Member fast(run);
    middle.close_cursor();
    CHECK(run.capacity() == kMin + 10 * kMax);
    slow.close_cursor();
    CHECK(run.capacity() == kMax);
    fast.close_cursor();
    CHECK(run.capacity() == 0);
}

TEST_CASE("a run that is read takes no more memory, however long it gets") {
    Broadcast run;
    Broadcast::Cursor cursors[] = {run.open_cursor(), run.open_cursor()};
    const size_t before = heap_in_use();
    size_t most = 0;
    size_t most_on_heap = 0;
    for (int i = 0; i < 200'000; ++i) {
        run.append("a message of some forty bytes, or nearly");
        most = std::max(most, run.capacity());
        most_on_heap = std::max(most_on_heap, heap_in_use());
        for (Broadcast::Cursor& cursor : cursors)
            run.advance(cursor, run.pending(cursor, run.end()).size);
    }
    CHECK(most <= 2 * kMax);
    CHECK(most_on_heap - before < 2 * kMax + 1000);
    CHECK(run.capacity() == kMax);
}

TEST_CASE("a thousand members who never read cost what one does") {
    const auto memory_with = [](int members) {
        Broadcast run;
        for (int i = 0; i < members; ++i) run.open_cursor();
        const size_t before = heap_in_use();
        for (int i = 0; i < 5000; ++i) run.append(std::string(200, 'x'));
        return heap_in_use() - before;
    };
    const size_t one = memory_with(1);
    const size_t thousand = memory_with(1000);
    CHECK(one > 5000 * 200);
    CHECK(one < 5000 * 200 * 11 / 10 + 2 * kMax);
    CHECK(thousand == one);
}

TEST_CASE("nobody is allocated for") {
    Broadcast run;
    run.open_cursor();
    run.append("x");
    const size_t before = heap_in_use();
    for (int i = 0; i < 1000; ++i) run.open_cursor();
    const size_t after = heap_in_use();
    CHECK(after == before);
}

// Joining further back, and what is old

TEST_CASE("who joins further back gets all from there, where others are") {
    Broadcast run;
    Member keeper(run);
    std::string expected;
    std::vector<uint64_t> frames{0};
    for (size_t i = 0; i < 400; ++i) {
        const std::string text(i * 11 % 3000, static_cast<char>('a' + i % 26));
        run.append(text);
        expected += frame_of(text);
        frames.push_back(run.end());
    }
    CHECK(keeper.pending().count == IoVec::kMax);
    for (uint64_t offset : frames) {
        CAPTURE(offset);
        const size_t capacity = run.capacity();
        Member member(keeper, offset);
        CHECK(run.cursors() == 2);
        CHECK(member.offset() == offset);
        CHECK((member.take_all().got() == expected.substr(offset)));
        member.close_cursor();
        CHECK(run.capacity() == capacity);
    }
    CHECK(keeper.offset() == 0);
    CHECK((keeper.take_all().got() == expected));
}

TEST_CASE("who joins further back holds what is there, as anybody does") {
    Broadcast run;
    Member keeper(run);
    for (int i = 0; i < 10; ++i) run.append(text_of_frame(kMax));
    Member middle(keeper, 5 * kMax);
    Member last(keeper, 10 * kMax);
    keeper.close_cursor();
    CHECK(run.capacity() == 5 * kMax);
    middle.take(2 * kMax);
    CHECK(run.capacity() == 3 * kMax);
    middle.close_cursor();
    CHECK(run.capacity() == kMax);
    CHECK(last.pending().count == 0);
    last.close_cursor();
    CHECK(run.capacity() == 0);
}

TEST_CASE("joining further back moves nobody else") {
    Broadcast run;
    run.append("before");
    Member keeper(run);
    run.append("one");
    const uint64_t second = run.end();
    run.append("two");
    Member member(keeper, second);
    CHECK(member.take_all().got() == "\x81\x03two");
    CHECK(keeper.take_all().got() == "\x81\x03one\x81\x03two");
    Member at_end(keeper, run.end());
    CHECK(at_end.pending().count == 0);
    run.append("three");
    CHECK(at_end.take_all().got() == "\x81\x05three");
}

TEST_CASE("what was appended before the mark is old") {
    Broadcast run;
    CHECK(run.end_of_last_turn() == 0);
    run.append("Hello");
    CHECK(run.end_of_last_turn() == 0);
    run.end_turn();
    CHECK(run.end_of_last_turn() == 7);
    run.append_ping();
    CHECK(run.end_of_last_turn() == 7);
    run.end_turn();
    run.end_turn();
    CHECK(run.end_of_last_turn() == 9);
}

TEST_CASE("a deflated text is one frame with its bit set") {
    Broadcast run;
    Member member(run);
    run.append_deflated("abc");
    run.append("d");
    CHECK(member.take_all().got() ==
          "\xC1\x03"
          "abc\x81\x01"
          "d");
}
