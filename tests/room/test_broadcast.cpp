#include <algorithm>
#include <chrono>
#include <random>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "room/broadcast.h"
#include "fixtures/heap.h"

using namespace std::chrono_literals;
using namespace wschat;
using wschat::test::array_bytes_in_use;
using wschat::test::heap_in_use;

namespace {

constexpr size_t kMin = Broadcast::kMinChunk;
constexpr size_t kMax = Broadcast::kMaxChunk;
constexpr size_t kAll = ~size_t{0};

/// Returns a text whose frame has this many bytes. REQUIRES: there is one.
std::string text_of_frame(size_t size, char fill = 'x') {
    const size_t header = size < 128 ? 2 : size < 65540 ? 4 : 10;
    return std::string(size - header, fill);
}

/// Returns an unmasked text frame (RFC 6455, section 5.2), without the code of
/// frame.cpp.
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

/// True if the bytes are a sequence of whole frames.
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

/// A log, and the memory of its chunks. REQUIRES: no other log changes while it
/// lives.
struct MeasuredLog {
    Broadcast log;
    size_t arrays_before = array_bytes_in_use();

    /// Returns the capacity of all chunks, in bytes.
    size_t capacity() const { return array_bytes_in_use() - arrays_before; }
};

/// A reader of a log: its cursor, and the bytes that it has got.
class Reader {
public:
    explicit Reader(Broadcast& log) : log_(&log), cursor_(log.open_cursor()) {}

    /// Opens its cursor at an offset, from the cursor of another reader.
    Reader(const Reader& other, uint64_t offset)
        : log_(other.log_), cursor_(log_->open_cursor(other.cursor_, offset)) {}

    /// Reads up to `most` of the bytes that are pending up to `target`. Returns
    /// how many.
    size_t read(size_t most, uint64_t target) {
        const IoVec pieces = log_->pending(cursor_, target);
        size_t left = std::min(most, pieces.size);
        const size_t taken = left;
        for (size_t i = 0; i < pieces.count; ++i) {
            got_ += pieces.piece[i].substr(0, left);
            left -= std::min(left, pieces.piece[i].size());
        }
        log_->advance(cursor_, taken);
        return taken;
    }

    size_t read(size_t most) { return read(most, log_->end()); }

    Reader& read_all() {
        while (read(kAll) > 0) {
        }
        return *this;
    }

    void close_cursor() { log_->close_cursor(cursor_); }

    IoVec pending() const { return log_->pending(cursor_, log_->end()); }
    uint64_t offset() const { return cursor_.offset(); }
    const std::string& got() const { return got_; }

private:
    Broadcast* log_;
    Broadcast::Cursor cursor_;
    std::string got_;
};

/// Appends the text until the log takes more memory. Returns how much more.
size_t growth(MeasuredLog& measured, const std::string& text) {
    const size_t before = measured.capacity();
    while (measured.capacity() == before) measured.log.append(text);
    return measured.capacity() - before;
}

/// Readers of one log, and a naive model to compare them with: all frames that
/// were appended, in one string.
class RandomReaders {
public:
    explicit RandomReaders(unsigned seed) : random_(seed) {}

    void append() {
        const size_t size = below(40) == 0  ? below(200'000)
                            : below(8) == 0 ? below(9000)
                                            : below(300);
        const std::string text(size, static_cast<char>('a' + below(26)));
        log().append(text);
        appended_ += frame_of(text);
    }

    void append_ping() {
        log().append_ping();
        appended_ += std::string("\x89\0", 2);
    }

    void open_cursor() {
        readers_.push_back({Reader(log()), appended_.size()});
    }

    void close_cursor() {
        const size_t i = below(readers_.size());
        readers_[i].reader.close_cursor();
        readers_.erase(readers_.begin() + static_cast<std::ptrdiff_t>(i));
    }

    /// Lets one reader read some bytes.
    void read() {
        Reader& reader = readers_[below(readers_.size())].reader;
        const size_t most = below(3) == 0 ? below(100'000) : below(500);
        const uint64_t target =
            reader.offset() + below(log().end() - reader.offset() + 1);
        reader.read(most, target);
    }

    void read_all() {
        for (Entry& each : readers_) each.reader.read_all();
    }

    size_t size() const { return readers_.size(); }
    size_t capacity() const { return measured_.capacity(); }
    uint64_t below(uint64_t n) { return random_() % n; }

    /// Counts the readers whose bytes differ from those of the model.
    int wrong() const {
        int count = measured_.log.end() == appended_.size() ? 0 : 1;
        for (const Entry& each : readers_) {
            const std::string& got = each.reader.got();
            if (appended_.compare(each.start, got.size(), got) != 0 ||
                each.reader.offset() != each.start + got.size())
                ++count;
        }
        return count;
    }

private:
    struct Entry {
        Reader reader;
        size_t start;  // the size of the model when the cursor was opened
    };

    Broadcast& log() { return measured_.log; }

    std::mt19937 random_;
    MeasuredLog measured_;
    std::string appended_;
    std::vector<Entry> readers_;
};

}  // namespace

TEST_CASE("a text is appended as one unmasked text frame") {
    Broadcast log;
    Reader reader(log);
    log.append("Hello");
    CHECK(reader.read_all().got() == "\x81\x05Hello");
}

TEST_CASE("a ping is an empty frame between the others") {
    Broadcast log;
    Reader reader(log);
    log.append("a");
    log.append_ping();
    log.append("b");
    CHECK(reader.read_all().got() ==
          frame_of("a") + std::string("\x89\0", 2) + frame_of("b"));
}

TEST_CASE("texts of every length form are framed") {
    for (size_t size : {0u, 1u, 125u, 126u, 127u, 65535u, 65536u, 70000u}) {
        CAPTURE(size);
        const std::string text(size, 'x');
        Broadcast log;
        Reader reader(log);
        log.append(text);
        CHECK(log.end() == frame_of(text).size());
        CHECK((reader.read_all().got() == frame_of(text)));
    }
}

TEST_CASE("a log without cursors stores no bytes") {
    MeasuredLog measured;
    Broadcast& log = measured.log;
    CHECK(measured.capacity() == 0);
    log.append("Hello");
    log.append_ping();
    log.append(std::string(100'000, 'x'));
    CHECK(measured.capacity() == 0);
    CHECK(log.end() == 7 + 2 + 100'010);
}

TEST_CASE("a reader gets the frames appended since its cursor was opened") {
    Broadcast log;
    log.append("before anyone");
    Reader first(log);
    CHECK(first.offset() == log.end());
    CHECK(first.pending().count == 0);
    log.append("one");
    Reader second(log);
    CHECK(second.pending().count == 0);
    log.append("two");
    CHECK(first.read_all().got() == "\x81\x03one\x81\x03two");
    CHECK(second.read_all().got() == "\x81\x03two");
    CHECK(first.read(kAll) == 0);
}

TEST_CASE("the pending bytes end at the target") {
    Broadcast log;
    Reader reader(log);
    log.append("one");
    const uint64_t target = log.end();
    log.append("two");
    CHECK(reader.read(2, target) == 2);
    CHECK(reader.read(kAll, target) == 3);
    CHECK(reader.read(kAll, target) == 0);
    CHECK(reader.got() == "\x81\x03one");
    CHECK(reader.read_all().got() == "\x81\x03one\x81\x03two");
}

TEST_CASE("a target may lie many chunks ahead") {
    Broadcast log;
    Reader reader(log);
    std::string expected;
    std::vector<uint64_t> targets;
    for (int i = 0; i < 500; ++i) {
        const std::string text(static_cast<size_t>(i * 7), 'x');
        log.append(text);
        expected += frame_of(text);
        targets.push_back(log.end());
    }
    for (uint64_t target : targets) {
        while (reader.read(1000, target) > 0) {
        }
        CHECK(reader.offset() == target);
    }
    CHECK((reader.got() == expected));
}

TEST_CASE("readers get all frames, however many bytes they read at once") {
    for (unsigned seed = 1; seed <= 20; ++seed) {
        CAPTURE(seed);
        RandomReaders readers(seed);
        readers.open_cursor();
        for (int step = 0; step < 2000; ++step) {
            const uint64_t dice = readers.below(20);
            if (dice == 0 && readers.size() < 12)
                readers.open_cursor();
            else if (dice == 1 && readers.size() > 0)
                readers.close_cursor();
            else if (dice == 2)
                readers.append_ping();
            else if (dice < 8)
                readers.append();
            else if (readers.size() > 0)
                readers.read();
        }
        CHECK(readers.wrong() == 0);
        readers.read_all();
        CHECK(readers.wrong() == 0);
        CHECK(readers.capacity() <= 200'010);
        while (readers.size() > 0) readers.close_cursor();
        CHECK(readers.capacity() == 0);
    }
}

TEST_CASE("offsets keep growing while there is no cursor") {
    Broadcast log;
    Reader first(log);
    log.append("one");
    first.close_cursor();
    log.append("two");
    Reader second(log);
    CHECK(second.offset() == 10);
    log.append("three");
    CHECK(second.read_all().got() == "\x81\x05three");
    CHECK(second.offset() == 17);
}

TEST_CASE("a frame never spans chunks") {
    Broadcast log;
    Reader reader(log);
    std::mt19937 random(1);
    for (int i = 0; i < 3000; ++i)
        log.append(
            std::string(random() % (i % 100 == 0 ? 150'000 : 3000), 'x'));
    int pieces_seen = 0;
    while (reader.offset() < log.end()) {
        const IoVec pieces = reader.pending();
        for (size_t i = 0; i < pieces.count; ++i)
            CHECK(are_whole_frames(pieces.piece[i]));
        pieces_seen += static_cast<int>(pieces.count);
        reader.read(pieces.size);
    }
    CHECK(pieces_seen > 50);
}

TEST_CASE("chunks grow from 256 bytes to 64 KiB") {
    MeasuredLog measured;
    Broadcast& log = measured.log;
    Reader reader(log);
    CHECK(measured.capacity() == kMin);
    for (size_t size = 2 * kMin; size <= kMax; size *= 2)
        CHECK(growth(measured, "a text of 100 bytes or so") == size);
    CHECK(growth(measured, "more") == kMax);
    CHECK(growth(measured, "more") == kMax);
}

TEST_CASE("a chunk is filled to its last byte") {
    MeasuredLog measured;
    Broadcast& log = measured.log;
    Reader reader(log);
    for (size_t i = 0; i < kMin / 64; ++i) log.append(text_of_frame(64));
    CHECK(measured.capacity() == kMin);
    CHECK(reader.pending().count == 1);
    log.append_ping();
    CHECK(measured.capacity() == kMin + 2 * kMin);
    CHECK(reader.pending().count == 2);
}

TEST_CASE("a frame that is larger than a chunk gets a chunk of its size") {
    MeasuredLog measured;
    Broadcast& log = measured.log;
    Reader reader(log);
    log.append(text_of_frame(1000));
    CHECK(measured.capacity() == kMin + 1000);
    log.append(text_of_frame(kMax + 100));
    // The next chunk is there already: see "a large message is freed".
    CHECK(measured.capacity() == kMin + 1000 + kMax + 100 + kMin);
    log.append("small");
    CHECK(measured.capacity() == kMin + 1000 + kMax + 100 + kMin);
    log.append(text_of_frame(1 << 20));
    CHECK(measured.capacity() ==
          kMin + 1000 + kMax + 100 + kMin + (1 << 20) + kMin);
    CHECK(reader.pending().count == 4);
}

TEST_CASE("more chunks than one IoVec holds are read in several calls") {
    Broadcast log;
    Reader reader(log);
    std::string expected;
    for (size_t i = 0; i < 2 * IoVec::kMax + 2; ++i) {
        const char c = static_cast<char>('a' + i);
        log.append(text_of_frame(kMax, c));
        expected += frame_of(text_of_frame(kMax, c));
    }
    const IoVec pieces = reader.pending();
    CHECK(pieces.count == IoVec::kMax);
    CHECK(pieces.size == IoVec::kMax * kMax);
    CHECK(reader.read(kAll) == IoVec::kMax * kMax);
    CHECK(reader.read(kAll) == IoVec::kMax * kMax);
    CHECK(reader.read(kAll) == 2 * kMax);
    CHECK(reader.read(kAll) == 0);
    CHECK((reader.got() == expected));
}

TEST_CASE("chunks are freed when the last cursor has passed them") {
    MeasuredLog measured;
    Broadcast& log = measured.log;
    Reader fast(log);
    Reader slow(log);
    for (int i = 0; i < 10; ++i) log.append(text_of_frame(kMax));
    CHECK(measured.capacity() == kMin + 10 * kMax);
    fast.read_all();
    CHECK(measured.capacity() == kMin + 10 * kMax);
    slow.read(kMax - 1);
    CHECK(measured.capacity() == 10 * kMax);
    slow.read(1);
    CHECK(measured.capacity() == 9 * kMax);
    slow.read(3 * kMax);
    CHECK(measured.capacity() == 6 * kMax);
    slow.read_all();
    CHECK(measured.capacity() == kMax);
}

TEST_CASE("chunks are freed when the last cursor in them is closed") {
    MeasuredLog measured;
    Broadcast& log = measured.log;
    Reader slow(log);
    for (int i = 0; i < 5; ++i) log.append(text_of_frame(kMax));
    Reader middle(log);
    for (int i = 0; i < 5; ++i) log.append(text_of_frame(kMax));
    Reader fast(log);
    middle.close_cursor();
    CHECK(measured.capacity() == kMin + 10 * kMax);
    slow.close_cursor();
    CHECK(measured.capacity() == kMax);
    fast.close_cursor();
    CHECK(measured.capacity() == 0);
}

TEST_CASE("memory does not grow while all readers keep up") {
    MeasuredLog measured;
    Broadcast& log = measured.log;
    Broadcast::Cursor cursors[] = {log.open_cursor(), log.open_cursor()};
    const size_t before = heap_in_use();
    size_t most = 0;
    size_t most_on_heap = 0;
    for (int i = 0; i < 200'000; ++i) {
        log.append("a message of some forty bytes, or nearly");
        most = std::max(most, measured.capacity());
        most_on_heap = std::max(most_on_heap, heap_in_use());
        for (Broadcast::Cursor& cursor : cursors)
            log.advance(cursor, log.pending(cursor, log.end()).size);
    }
    CHECK(most <= 2 * kMax);
    CHECK(most_on_heap - before < 2 * kMax + 1000);
    CHECK(measured.capacity() == kMax);
}

TEST_CASE("a thousand cursors that never move need as much memory as one") {
    const auto memory_with = [](int members) {
        Broadcast log;
        for (int i = 0; i < members; ++i) log.open_cursor();
        const size_t before = heap_in_use();
        for (int i = 0; i < 5000; ++i) log.append(std::string(200, 'x'));
        return heap_in_use() - before;
    };
    const size_t one = memory_with(1);
    const size_t thousand = memory_with(1000);
    CHECK(one > 5000 * 200);
    CHECK(one < 5000 * 200 * 11 / 10 + 2 * kMax);
    CHECK(thousand == one);
}

TEST_CASE("a further cursor allocates nothing") {
    Broadcast log;
    log.open_cursor();
    log.append("x");
    const size_t before = heap_in_use();
    for (int i = 0; i < 1000; ++i) log.open_cursor();
    const size_t after = heap_in_use();
    CHECK(after == before);
}

// Cursors opened further back, and turns

TEST_CASE("a cursor opened further back reads all frames from there") {
    MeasuredLog measured;
    Broadcast& log = measured.log;
    Reader keeper(log);
    std::string expected;
    std::vector<uint64_t> frames{0};
    for (size_t i = 0; i < 400; ++i) {
        const std::string text(i * 11 % 3000, static_cast<char>('a' + i % 26));
        log.append(text);
        expected += frame_of(text);
        frames.push_back(log.end());
    }
    CHECK(keeper.pending().count == IoVec::kMax);
    for (uint64_t offset : frames) {
        CAPTURE(offset);
        const size_t capacity = measured.capacity();
        Reader reader(keeper, offset);
        CHECK(log.cursors() == 2);
        CHECK(reader.offset() == offset);
        CHECK((reader.read_all().got() == expected.substr(offset)));
        reader.close_cursor();
        CHECK(measured.capacity() == capacity);
    }
    CHECK(keeper.offset() == 0);
    CHECK((keeper.read_all().got() == expected));
}

TEST_CASE("a cursor opened further back keeps its chunks in memory") {
    MeasuredLog measured;
    Broadcast& log = measured.log;
    Reader keeper(log);
    for (int i = 0; i < 10; ++i) log.append(text_of_frame(kMax));
    Reader middle(keeper, 5 * kMax);
    Reader last(keeper, 10 * kMax);
    keeper.close_cursor();
    CHECK(measured.capacity() == 5 * kMax);
    middle.read(2 * kMax);
    CHECK(measured.capacity() == 3 * kMax);
    middle.close_cursor();
    CHECK(measured.capacity() == kMax);
    CHECK(last.pending().count == 0);
    last.close_cursor();
    CHECK(measured.capacity() == 0);
}

TEST_CASE("a cursor opened further back moves no other cursor") {
    Broadcast log;
    log.append("before");
    Reader keeper(log);
    log.append("one");
    const uint64_t second = log.end();
    log.append("two");
    Reader reader(keeper, second);
    CHECK(reader.read_all().got() == "\x81\x03two");
    CHECK(keeper.read_all().got() == "\x81\x03one\x81\x03two");
    Reader at_end(keeper, log.end());
    CHECK(at_end.pending().count == 0);
    log.append("three");
    CHECK(at_end.read_all().got() == "\x81\x05three");
}

TEST_CASE("settled_end() leaves out what was appended in the last second") {
    const Time start = Time() + 1h;
    Broadcast log;
    CHECK(log.settled_end(start) == 0);
    log.append("Hello");
    log.end_turn(start);
    CHECK(log.settled_end(start) == 0);
    CHECK(log.settled_end(start + 999ms) == 0);
    CHECK(log.settled_end(start + 1s) == 7);
    log.append_ping();
    log.end_turn(start + 1s);
    CHECK(log.settled_end(start + 1s) == 7);
    CHECK(log.settled_end(start + 2s) == 9);
}

TEST_CASE("settled_end() follows a steady flow within two seconds") {
    const Time start = Time() + 1h;
    Broadcast log;
    for (int tenth = 0; tenth < 50; ++tenth) {
        const Time now = start + tenth * 100ms;
        log.append("Hello");
        log.end_turn(now);
        const auto frames_at = [](int tenths) {
            return 7 * static_cast<uint64_t>(std::max(tenths + 1, 0));
        };
        CHECK(log.settled_end(now) <= frames_at(tenth - 10));
        CHECK(log.settled_end(now) >= frames_at(tenth - 20));
    }
}

TEST_CASE("a log counts what it stores for cursors that are behind") {
    uint64_t stored = 0;
    {
        Broadcast log(&stored);
        const Broadcast::Cursor slow = log.open_cursor();
        Broadcast::Cursor fast = log.open_cursor();
        CHECK(stored == 0);
        log.append(std::string(100'000, 'x'));
        log.append("end");
        CHECK(stored >= 100'000);
        while (log.pending(fast, log.end()).size > 0)
            log.advance(fast, log.pending(fast, log.end()).size);
        CHECK(stored >= 100'000);
        log.close_cursor(slow);
        CHECK(stored == 0);
        log.append(std::string(100'000, 'x'));
        CHECK(stored >= 100'000);
        log.close_cursor(fast);
        CHECK(stored == 0);
        (void)log.open_cursor();
        log.append(std::string(100'000, 'x'));
        CHECK(stored >= 100'000);
    }
    CHECK(stored == 0);
}

TEST_CASE("a large message is freed once all have been sent it") {
    const size_t before = heap_in_use();
    Broadcast log;
    Broadcast::Cursor cursor = log.open_cursor();
    log.append(std::string(1 << 20, 'x'));
    log.advance(cursor, log.pending(cursor, log.end()).size);
    CHECK(cursor.offset() == log.end());
    CHECK(heap_in_use() - before < Broadcast::kMaxChunk);
    log.close_cursor(cursor);
}

TEST_CASE("a deflated text is one frame with RSV1 set") {
    Broadcast log;
    Reader reader(log);
    log.append_deflated("abc");
    log.append("d");
    CHECK(reader.read_all().got() ==
          "\xC1\x03"
          "abc\x81\x01"
          "d");
}
