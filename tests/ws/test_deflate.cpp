#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "fixtures/client_frames.h"
#include "ws/deflate.h"
#include "fixtures/deflated.h"
#include "fixtures/heap.h"

using namespace wschat;
using namespace wschat::test;

using Result = Inflater::Result;

namespace {

constexpr uint64_t kNoLimit = uint64_t{1} << 40;

struct Inflated {
    Result result;
    std::string text{};

    bool operator==(const Inflated& other) const {
        return result == other.result && text == other.text;
    }
};

/// Inflates a message that arrives in pieces of `size` bytes.
Inflated inflate_in_pieces(std::string_view message, size_t size,
                           uint64_t limit = kNoLimit) {
    Inflater inflater;
    Inflated out{Result::Good};
    while (!message.empty() && out.result == Result::Good) {
        const std::string piece(message.substr(0, size));
        message.remove_prefix(piece.size());
        out.result = inflater.inflate(piece, out.text, limit);
    }
    if (out.result == Result::Good)
        out.result = inflater.finish(out.text, limit);
    return out;
}

Inflated inflate_all(std::string_view message, uint64_t limit = kNoLimit) {
    return inflate_in_pieces(message, message.size() + 1, limit);
}

/// Returns a text of JSON messages that resemble each other.
std::string chat(size_t size) {
    std::string text;
    for (int i = 0; text.size() < size; ++i)
        text += R"({"type":"message","message":"number )" + std::to_string(i) +
                R"("})";
    text.resize(size);
    return text;
}

}  // namespace

TEST_CASE("zlib inflates what the deflater returns") {
    Deflater deflater;
    for (size_t size : {0u, 1u, 127u, 128u, 1000u, 16u << 10, (16u << 10) + 1u,
                        65536u, 1u << 20, 3'000'000u}) {
        CAPTURE(size);
        const std::string text = chat(size);
        const std::string out(deflater.deflate(text));
        CHECK((inflated(out) == text));
        if (size >= 1000) CHECK(out.size() < text.size() / 3);
    }
}

TEST_CASE("bytes that can't be compressed are deflated correctly") {
    std::string noise;
    uint32_t random = 1;
    while (noise.size() < 200'000) {
        random = random * 1664525 + 1013904223;
        noise += static_cast<char>(random >> 24);
    }
    Deflater deflater;
    CHECK((inflated(deflater.deflate(noise)) == noise));
}

TEST_CASE("a message does not refer to an earlier one") {
    Deflater deflater;
    const std::string first(deflater.deflate(chat(1000)));
    const std::string second(deflater.deflate(chat(1000)));
    CHECK((first == second));
}

TEST_CASE("an unused deflater releases its memory") {
    Deflater deflater;
    const size_t before = heap_in_use();
    deflater.deflate(chat(1 << 20));
    CHECK(heap_in_use() > before + 10'000);
    deflater.release_if_unused();
    deflater.release_if_unused();
    CHECK(heap_in_use() == before);
    CHECK((inflated(deflater.deflate(chat(500))) == chat(500)));
}

TEST_CASE("a deflater in use keeps its memory") {
    Deflater deflater;
    const size_t before = heap_in_use();
    deflater.release_if_unused();
    deflater.deflate(chat(500));
    const size_t in_use = heap_in_use();
    deflater.release_if_unused();
    CHECK(heap_in_use() == in_use);
    deflater.deflate(chat(500));
    deflater.release_if_unused();
    CHECK(heap_in_use() == in_use);
    deflater.release_if_unused();
    CHECK(heap_in_use() == before);
    deflater.release_if_unused();
    CHECK((inflated(deflater.deflate(chat(500))) == chat(500)));
}

TEST_CASE("the buffer of a large message is freed at the next one") {
    Deflater deflater;
    deflater.deflate(chat(100));
    const size_t before = heap_in_use();
    deflater.deflate(chat(20 << 20));
    CHECK(heap_in_use() > before + (64 << 10));
    deflater.deflate(chat(100));
    CHECK(heap_in_use() <= before + (64 << 10));
}

TEST_CASE("the examples of RFC 7692, section 7.2.3, are inflated") {
    const std::vector<std::string> examples{
        bytes({0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00}),
        // A stored block.
        bytes(
            {0x00, 0x05, 0x00, 0xFA, 0xFF, 0x48, 0x65, 0x6C, 0x6C, 0x6F, 0x00}),
        // A block that ends the stream.
        bytes({0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00, 0x00}),
        // Two blocks.
        bytes({0xF2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xFF, 0xFF, 0xCA, 0xC9, 0xC9,
               0x07, 0x00})};
    for (const std::string& example : examples)
        for (size_t size = 1; size <= example.size(); ++size)
            CHECK(inflate_in_pieces(example, size) ==
                  Inflated{Result::Good, "Hello"});
}

TEST_CASE("messages with any window are inflated from pieces of any size") {
    for (int bits = 9; bits <= 15; ++bits) {
        CAPTURE(bits);
        const std::string text = chat(5000);
        const std::string message = deflated(text, bits);
        for (size_t size : {size_t{1}, size_t{2}, size_t{7}, message.size()})
            CHECK((inflate_in_pieces(message, size) ==
                   Inflated{Result::Good, text}));
    }
}

TEST_CASE("a message may consist of several streams") {
    std::string twice = deflated("one", 15, Z_FINISH);
    twice.pop_back();  // only the last stream has a byte behind it
    twice += deflated(" and two", 15, Z_FINISH);
    for (size_t size = 1; size <= twice.size(); ++size)
        CHECK(inflate_in_pieces(twice, size) ==
              Inflated{Result::Good, "one and two"});
    CHECK(inflate_all("").result == Result::Good);
}

TEST_CASE("a message as long as the limit is inflated, a longer one refused") {
    for (size_t limit : {1u, 100u, 16u << 10, 50'000u}) {
        CAPTURE(limit);
        const std::string exact = chat(limit);
        CHECK((inflate_all(deflated(exact), limit) ==
               Inflated{Result::Good, exact}));
        const Inflated more = inflate_all(deflated(chat(limit + 1)), limit);
        CHECK(more.result == Result::TooBig);
        CHECK(more.text.size() == limit);
    }
}

TEST_CASE("a compression bomb takes no more memory than the limit") {
    const std::string bomb = deflated(std::string(100 << 20, ' '));
    CHECK(bomb.size() < 110'000);
    const Inflated out = inflate_all(bomb, 1 << 20);
    CHECK(out.result == Result::TooBig);
    CHECK(out.text.size() == 1 << 20);
    CHECK(out.text.capacity() <= 2 << 20);
}

TEST_CASE("malformed deflated data is corrupt") {
    // A block of the reserved type 3; a stored block whose lengths differ; a
    // distance that reaches over the beginning.
    for (const std::string& message :
         {bytes({0x06}), bytes({0x00, 0x05, 0x00, 0x00, 0x00, 0x48}),
          bytes({0x02, 0x02, 0x00})})
        for (size_t size = 1; size <= message.size(); ++size)
            CHECK(inflate_in_pieces(message, size).result == Result::Corrupt);
}
