#include <algorithm>
#include <deque>
#include <random>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "fixtures/heap.h"
#include "room/history.h"

using namespace wschat;
using namespace std::chrono_literals;
using wschat::test::allocations;
using wschat::test::array_bytes_in_use;
using wschat::test::heap_in_use;

namespace {

/// Returns an unmasked text frame. REQUIRES: fewer than 126 bytes.
std::string frame_of(const std::string& text) {
    return "\x81" + std::string(1, static_cast<char>(text.size())) + text;
}

std::string frames_of(const std::vector<std::string>& texts) {
    std::string frames;
    for (const std::string& text : texts) frames += frame_of(text);
    return frames;
}

const std::string kPing("\x89\0", 2);

/// A history, its limits and the time, which only the test moves.
class TestHistory {
public:
    explicit TestHistory(const RetentionConfig& limits = {}) : config(limits) {}
    TestHistory(const TestHistory&) = delete;
    TestHistory& operator=(const TestHistory&) = delete;

    void append(const std::string& text) { history.append(text, now); }
    void append_all(const std::vector<std::string>& texts) {
        for (const std::string& text : texts) append(text);
    }

    /// Returns the bytes for a client that begins with this message.
    std::string from(uint64_t number) {
        Broadcast& log = history.log();
        Broadcast::Cursor cursor = history.open_cursor(number);
        std::string got;
        while (cursor.offset() < log.end()) {
            const IoVec pieces = log.pending(cursor, log.end());
            for (size_t i = 0; i < pieces.count; ++i) got += pieces.piece[i];
            log.advance(cursor, pieces.size);
        }
        log.close_cursor(cursor);
        return got;
    }

    /// Returns the frames of all retained messages.
    std::string all() { return from(history.oldest()); }

    /// Returns the capacity of the log's chunks, in bytes.
    size_t log_capacity() const {
        return array_bytes_in_use() - arrays_before_;
    }

    RetentionConfig config;
    History history{config};
    Time now{};

private:
    size_t arrays_before_ = array_bytes_in_use();
};

RetentionConfig at_most(size_t messages, std::chrono::seconds time = 600s,
                        uint64_t bytes = 1 << 20) {
    return {messages, time, bytes};
}

/// Bytes that a retained message takes besides its frame.
constexpr uint64_t kEntry = 24;

}  // namespace

TEST_CASE("a history begins without a message") {
    TestHistory test;
    CHECK(test.history.newest() == 0);
    CHECK(test.history.oldest() == 1);
    CHECK(test.history.size() == 0);
    CHECK(test.history.bytes() == 0);
    CHECK(test.all() == "");
}

TEST_CASE("messages are numbered from 1, and pings are not") {
    TestHistory test;
    test.history.log().append_ping();
    test.append("a");
    CHECK(test.history.newest() == 1);
    test.history.log().append_ping();
    test.append("b");
    CHECK(test.history.newest() == 2);
    CHECK(test.history.oldest() == 1);
    CHECK(test.from(1) == frame_of("a") + kPing + frame_of("b"));
    CHECK(test.from(2) == frame_of("b"));
}

TEST_CASE("a cursor opened at a number reads that message and all after it") {
    TestHistory test;
    const std::vector<std::string> texts{"a", "bb", "", "dddd", "e"};
    test.append_all(texts);
    for (size_t i = 0; i <= texts.size(); ++i) {
        const auto begin = texts.begin() + static_cast<std::ptrdiff_t>(i);
        CHECK(test.from(i + 1) == frames_of({begin, texts.end()}));
    }
}

TEST_CASE("a cursor opened at the next number reads no earlier message") {
    TestHistory test;
    test.append("a");
    Broadcast& log = test.history.log();
    const Broadcast::Cursor cursor = test.history.open_cursor(2);
    test.append("b");
    CHECK(log.pending(cursor, log.end()).size == 3);
    log.close_cursor(cursor);
}

TEST_CASE("the oldest message is dropped when there are too many") {
    for (size_t most : {1u, 2u, 3u, 4u}) {
        CAPTURE(most);
        TestHistory test(at_most(most));
        test.append_all({"a", "b", "c", "d", "e"});
        CHECK(test.history.size() == most);
        CHECK(test.history.oldest() == 6 - most);
        const std::vector<std::string> texts{"a", "b", "c", "d", "e"};
        const auto first = texts.end() - static_cast<std::ptrdiff_t>(most);
        CHECK(test.all() == frames_of({first, texts.end()}));
    }
}

TEST_CASE("a message is dropped after the retention time") {
    TestHistory test(at_most(1000, 10s));
    test.append("a");
    test.now += 4s;
    test.append("b");
    test.now += 6s - 1ns;
    test.history.expire(test.now);
    CHECK(test.history.oldest() == 1);
    test.now += 1ns;
    test.history.expire(test.now);
    CHECK(test.history.oldest() == 2);
    CHECK(test.all() == frame_of("b"));
    test.now += 4s;
    test.append("c");
    CHECK(test.history.oldest() == 3);
    CHECK(test.history.expires_at() == test.now + 10s);
    test.now += 1000s;
    test.history.expire(test.now);
    CHECK(test.history.size() == 0);
    CHECK(test.history.oldest() == 4);
    CHECK(test.history.newest() == 3);
}

TEST_CASE("the oldest messages are dropped when they take too many bytes") {
    // Four frames of 10 bytes, with their entries.
    TestHistory test(at_most(1000, 600s, 4 * (10 + kEntry)));
    for (char c = 'a'; c <= 'f'; ++c) {
        test.append(std::string(8, c));
        CHECK(test.history.bytes() <= test.config.bytes);
    }
    CHECK(test.history.size() == 4);
    CHECK(test.history.bytes() == test.config.bytes);
    CHECK(test.history.oldest() == 3);
    test.append(std::string(9, 'g'));
    CHECK(test.history.size() == 3);
}

// 520 joins pushed all that was said out of a room.
TEST_CASE("announcements do not count as messages that are retained") {
    constexpr auto kAnnouncement = History::Kind::Announcement;
    TestHistory test(at_most(2));
    test.append("a");
    for (int i = 0; i < 10; ++i)
        test.history.append("x", test.now, kAnnouncement);
    test.append("b");
    CHECK(test.history.size() == 12);
    CHECK(test.history.oldest() == 1);
    test.append("c");
    CHECK(test.history.oldest() == 2);
    CHECK(test.history.size() == 12);
    // By their number, time and bytes they are like all others.
    CHECK(test.history.newest() == 13);
    test.history.shrink(3 * (3 + kEntry));
    CHECK(test.all() == frames_of({"x", "b", "c"}));
    test.now += 600s;
    test.history.expire(test.now);
    CHECK(test.history.size() == 0);
}

TEST_CASE("the newest messages begin with one that counts") {
    constexpr auto kAnnouncement = History::Kind::Announcement;
    TestHistory test;
    CHECK(test.history.first_of_newest(3) == 1);
    test.history.append("x", test.now, kAnnouncement);
    CHECK(test.history.first_of_newest(3) == 2);
    test.append("a");
    test.history.append("y", test.now, kAnnouncement);
    test.append("b");
    test.history.append("z", test.now, kAnnouncement);
    CHECK(test.history.first_of_newest(0) == 6);
    CHECK(test.history.first_of_newest(1) == 4);
    CHECK(test.history.first_of_newest(2) == 2);
    CHECK(test.history.first_of_newest(3) == 2);
    // Also when the oldest were dropped.
    test.history.shrink(2 * (3 + kEntry));
    CHECK(test.history.oldest() == 4);
    CHECK(test.history.first_of_newest(2) == 4);
    test.history.shrink(3 + kEntry);
    CHECK(test.history.first_of_newest(2) == 6);
}

TEST_CASE("pings count as bytes from the oldest retained message on") {
    TestHistory test;
    test.history.log().append_ping();
    test.append("a");
    CHECK(test.history.bytes() == 3 + kEntry);
    test.history.log().append_ping();
    CHECK(test.history.bytes() == 5 + kEntry);
}

TEST_CASE("a message over the byte limit is numbered but not retained") {
    TestHistory test(at_most(1000, 600s, 100));
    test.append("a");
    Broadcast& log = test.history.log();
    Broadcast::Cursor client = test.history.open_cursor(2);
    test.append(std::string(100, 'x'));
    CHECK(test.history.newest() == 2);
    CHECK(test.history.size() == 0);
    CHECK(test.history.bytes() == 0);
    CHECK(log.pending(client, log.end()).size == 102);
    log.close_cursor(client);
    CHECK(test.log_capacity() == 0);
    test.append("c");
    CHECK(test.history.oldest() == 3);
    CHECK(test.all() == frame_of("c"));
}

TEST_CASE("without retention messages are numbered and appended") {
    TestHistory test(at_most(0));
    Broadcast& log = test.history.log();
    const Broadcast::Cursor client = test.history.open_cursor(1);
    const size_t before = heap_in_use();
    test.append("a");
    test.append("b");
    CHECK(heap_in_use() == before);
    CHECK(test.history.newest() == 2);
    CHECK(test.history.oldest() == 3);
    CHECK(log.pending(client, log.end()).size == 6);
    test.history.expire(test.now);
    test.history.shrink(0);
    log.close_cursor(client);
    CHECK(test.log_capacity() == 0);
}

TEST_CASE("a history shrinks to the given number of bytes") {
    TestHistory test;
    test.append_all({"a", "b", "c"});
    test.history.shrink(3 * (3 + kEntry));
    CHECK(test.history.size() == 3);
    test.history.shrink(3 * (3 + kEntry) - 1);
    CHECK(test.all() == frames_of({"b", "c"}));
    test.history.shrink(0);
    CHECK(test.history.size() == 0);
    test.history.shrink(0);
    test.append("d");
    CHECK(test.history.oldest() == 4);
    CHECK(test.all() == frame_of("d"));
}

TEST_CASE("dropped messages are freed when no client has to receive them") {
    const size_t before = heap_in_use();
    TestHistory test;
    for (int i = 0; i < 900; ++i) test.append(std::string(1000, 'x'));
    Broadcast& log = test.history.log();
    const Broadcast::Cursor slowest = test.history.open_cursor(1);
    test.history.shrink(100'000);
    CHECK(test.log_capacity() > 900'000);
    log.close_cursor(slowest);
    CHECK(test.log_capacity() < 100'000 + 2 * Broadcast::kMaxChunk);
    test.now += 600s;
    test.history.expire(test.now);
    CHECK(test.log_capacity() == 0);
    CHECK(heap_in_use() == before);
}

TEST_CASE("memory does not grow with the number of messages appended") {
    TestHistory test(at_most(100));
    const std::string text = "a message of some forty bytes, or nearly";
    for (int i = 0; i < 10'000; ++i) test.append(text);
    const size_t before = allocations();
    size_t most = 0;
    for (int i = 0; i < 100'000; ++i) {
        test.append(text);
        most = std::max(most, test.log_capacity());
    }
    CHECK(most <= 2 * Broadcast::kMaxChunk);
    // One for each new chunk.
    CHECK(allocations() - before < 100'000 * 42 / Broadcast::kMaxChunk + 10);
    CHECK(test.history.size() == 100);
}

TEST_CASE("random operations retain what a naive list retains") {
    for (unsigned seed = 1; seed <= 20; ++seed) {
        CAPTURE(seed);
        std::mt19937 random(seed);
        TestHistory test(
            at_most(random() % 40 + 1, std::chrono::seconds(20), 2000));
        struct Retained {
            std::string text;
            Time at;
        };
        std::deque<Retained> model;
        const auto bytes = [&model] {
            uint64_t sum = 0;
            for (const Retained& each : model)
                sum += each.text.size() + 2 + kEntry;
            return sum;
        };
        const auto drop = [&](uint64_t most) {
            while (!model.empty() &&
                   (model.size() > test.config.messages || bytes() > most ||
                    test.now - model.front().at >= test.config.time))
                model.pop_front();
        };
        int wrong = 0;
        for (int step = 0; step < 2000; ++step) {
            const auto dice = random() % 20;
            test.now += std::chrono::milliseconds(random() % 1000);
            if (dice < 14) {
                const std::string text(random() % 120, 'x');
                test.append(text);
                model.push_back({text, test.now});
                drop(test.config.bytes);
            } else if (dice == 14) {
                test.history.shrink(500);
                drop(500);
                test.history.expire(test.now);
            } else {
                test.history.expire(test.now);
                drop(test.config.bytes);
            }
            std::string expected;
            for (const Retained& each : model) expected += frame_of(each.text);
            if (test.all() != expected ||
                test.history.size() != model.size() ||
                test.history.bytes() != bytes())
                ++wrong;
            const uint64_t some =
                test.history.oldest() + random() % (model.size() + 1);
            const size_t skipped = some - test.history.oldest();
            std::string remaining;
            for (size_t i = skipped; i < model.size(); ++i)
                remaining += frame_of(model[i].text);
            if (test.from(some) != remaining) ++wrong;
        }
        CHECK(wrong == 0);
    }
}
