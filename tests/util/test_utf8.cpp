#include <algorithm>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "util/utf8.h"

using namespace wschat;

namespace {

/// What a checker must find in a text, derived slowly from the definition: code
/// points, not bytes, are compared with the bounds of RFC 3629.
struct Reference {
    size_t bad = 0;    // index of the first byte that cannot stand there
    size_t whole = 0;  // length of the longest prefix of whole characters
};

// The code points that take so many bytes.
constexpr uint32_t kFirst[] = {0, 0, 0x80, 0x800, 0x10000};
constexpr uint32_t kLast[] = {0, 0x7F, 0x7FF, 0xFFFF, 0x10FFFF};

uint8_t byte_at(std::string_view text, size_t i) {
    return static_cast<uint8_t>(text[i]);
}

/// Returns how many bytes a character has that begins so; 0 if none does.
size_t character_size(uint8_t lead) {
    if (lead < 0x80) return 1;
    if ((lead & 0xE0) == 0xC0) return 2;
    if ((lead & 0xF0) == 0xE0) return 3;
    if ((lead & 0xF8) == 0xF0) return 4;
    return 0;
}

/// True if a code point from low to high may be written in so many bytes.
bool some_code_point(uint32_t low, uint32_t high, size_t size) {
    low = std::max(low, kFirst[size]);
    high = std::min(high, kLast[size]);
    bool all_surrogates = low >= 0xD800 && high <= 0xDFFF;
    return low <= high && !all_surrogates;
}

/// True if these bytes begin a character, or are one.
bool begins_character(std::string_view bytes) {
    size_t size = character_size(byte_at(bytes, 0));
    if (size == 0) return false;
    uint32_t low =
        byte_at(bytes, 0) & (size == 1 ? 0x7Fu : 0xFFu >> (size + 1));
    uint32_t high = low;
    for (size_t i = 1; i < size; ++i) {
        bool there = i < bytes.size();
        if (there && (byte_at(bytes, i) & 0xC0) != 0x80) return false;
        low = low << 6 | (there ? byte_at(bytes, i) & 0x3Fu : 0);
        high = high << 6 | (there ? byte_at(bytes, i) & 0x3Fu : 0x3Fu);
    }
    return some_code_point(low, high, size);
}

Reference refer(std::string_view text) {
    Reference result;
    for (size_t i = 0; i < text.size(); ++i) {
        size_t so_far = i + 1 - result.whole;
        if (!begins_character(text.substr(result.whole, so_far))) break;
        result.bad = i + 1;
        if (so_far == character_size(byte_at(text, result.whole)))
            result.whole = i + 1;
    }
    return result;
}

std::string encode(uint32_t code_point, size_t size) {
    if (size == 1) return std::string(1, static_cast<char>(code_point));
    std::string bytes;
    for (; bytes.size() + 1 < size; code_point >>= 6)
        bytes.insert(bytes.begin(),
                     static_cast<char>(0x80 | (code_point & 0x3F)));
    uint32_t lead = (0xF00u >> size & 0xFF) | code_point;
    return static_cast<char>(lead) + bytes;
}

/// Feeds a copy of exactly the text's size, so that a sanitizer sees any read
/// behind its end.
size_t feed(Utf8Checker& checker, std::string_view piece) {
    std::vector<char> copy(piece.begin(), piece.end());
    return checker.feed({copy.data(), copy.size()});
}

/// Feeds the text in pieces of `size` bytes after a first one of `first`.
/// Returns the index in the text of the first bad byte.
size_t feed_pieces(Utf8Checker& checker, std::string_view text, size_t first,
                   size_t size) {
    size_t begin = 0;
    for (size_t n = first; begin < text.size(); n = size) {
        std::string_view piece = text.substr(begin, n);
        size_t good = feed(checker, piece);
        begin += good;
        if (good < piece.size()) break;
    }
    return begin;
}

void check_pieces(std::string_view text, size_t first, size_t size) {
    Reference expected = refer(text);
    Utf8Checker checker;
    CAPTURE(first);
    CAPTURE(size);
    CHECK(feed_pieces(checker, text, first, size) == expected.bad);
    if (expected.bad == text.size())
        CHECK(checker.complete() == (expected.whole == text.size()));
}

void check_in_every_way(const std::string& text) {
    CAPTURE(text.size());
    check_pieces(text, text.size(), 1);
    check_pieces(text, 1, 1);
    for (size_t first = 1; first < text.size(); ++first)
        check_pieces(text, first, text.size());
    CHECK(valid_utf8_prefix(text) == refer(text).whole);
}

/// Checks the bytes alone, and at all distances from the ends of a longer text.
void check_everywhere(const std::string& bytes) {
    check_in_every_way(bytes);
    for (size_t before = 1; before <= 17; ++before)
        for (size_t after : {size_t{0}, size_t{1}, size_t{33}})
            check_in_every_way(std::string(before, 'a') + bytes +
                               std::string(after, 'z'));
}

bool agrees_with_reference(std::string_view text) {
    Reference expected = refer(text);
    Utf8Checker checker;
    if (checker.feed(text) != expected.bad) return false;
    if (valid_utf8_prefix(text) != expected.whole) return false;
    return expected.bad < text.size() ||
           checker.complete() == (expected.whole == text.size());
}

/// The same, but at a distance from the start of an allocation, and up to its
/// end.
bool agrees_at(size_t distance, const std::string& text) {
    std::vector<char> copy(distance);
    copy.insert(copy.end(), text.begin(), text.end());
    return agrees_with_reference({copy.data() + distance, text.size()});
}

/// Counts the bytes that, put behind `front`, have another result than the
/// reference.
int disagreements(std::string front) {
    int count = 0;
    front += '\0';
    for (int last = 0; last < 256; ++last) {
        front.back() = static_cast<char>(last);
        if (!agrees_with_reference(front)) ++count;
    }
    return count;
}

}  // namespace

TEST_CASE("an empty text is valid UTF-8") {
    Utf8Checker checker;
    CHECK(checker.feed("") == 0);
    CHECK(checker.complete());
    CHECK(valid_utf8_prefix("") == 0);
}

TEST_CASE("legal characters are valid wherever they stand and are cut") {
    const std::string legal[] = {
        std::string(1, '\0'),  // U+0000
        "\x7F",                // U+007F
        "\xC2\x80",            // U+0080
        "\xDF\xBF",            // U+07FF
        "\xE0\xA0\x80",        // U+0800
        "\xE0\xBF\xBF",        // U+0FFF
        "\xE1\x80\x80",        // U+1000
        "\xEC\xBF\xBF",        // U+CFFF
        "\xED\x80\x80",        // U+D000
        "\xED\x9F\xBF",        // U+D7FF
        "\xEE\x80\x80",        // U+E000
        "\xEF\xBB\xBF",        // U+FEFF, the byte order mark
        "\xEF\xBF\xBE",        // U+FFFE
        "\xEF\xBF\xBF",        // U+FFFF
        "\xF0\x90\x80\x80",    // U+10000
        "\xF0\xBF\xBF\xBF",    // U+3FFFF
        "\xF1\x80\x80\x80",    // U+40000
        "\xF3\xBF\xBF\xBF",    // U+FFFFF
        "\xF4\x80\x80\x80",    // U+100000
        "\xF4\x8F\xBF\xBF",    // U+10FFFF
        "\xCE\xBA\xE1\xBD\xB9\xCF\x83\xCE\xBC\xCE\xB5",  // a word
    };
    for (const std::string& text : legal) {
        CAPTURE(text);
        CHECK(valid_utf8_prefix(text) == text.size());
        check_everywhere(text);
    }
}

TEST_CASE("illegal bytes are found at once") {
    struct {
        std::string bytes;
        size_t bad;
    } const illegal[] = {
        // continuation bytes without a start
        {"\x80", 0},
        {"\xBF", 0},
        {"a\x80", 1},
        {"\xC2\x80\x80", 2},
        // overlong forms
        {"\xC0\x80", 0},
        {"\xC0\xAF", 0},
        {"\xC1\xBF", 0},
        {"\xE0\x80\x80", 1},
        {"\xE0\x9F\xBF", 1},
        {"\xF0\x80\x80\x80", 1},
        {"\xF0\x8F\xBF\xBF", 1},
        // surrogates
        {"\xED\xA0\x80", 1},
        {"\xED\xAF\xBF", 1},
        {"\xED\xB0\x80", 1},
        {"\xED\xBF\xBF", 1},
        {"\xED\xA0\xBD\xED\xB8\x80", 1},
        // above U+10FFFF
        {"\xF4\x90\x80\x80", 1},
        {"\xF4\xBF\xBF\xBF", 1},
        {"\xF5\x80\x80\x80", 0},
        {"\xF7\xBF\xBF\xBF", 0},
        // five and six bytes, and no character at all
        {"\xF8\x88\x80\x80\x80", 0},
        {"\xFC\x84\x80\x80\x80\x80", 0},
        {"\xFE", 0},
        {"\xFF", 0},
        // incomplete characters
        {"\xC2z", 1},
        {"\xC2\xC2\x80", 1},
        {"\xE1z", 1},
        {"\xE1\x80z", 2},
        {"\xE1\x80\xE1\x80\x80", 2},
        {"\xF1z", 1},
        {"\xF1\x80z", 2},
        {"\xF1\x80\x80z", 3},
        {"\xF1\x80\x80\xFF", 3},
        {"\xCE\xBA\xE1\xBD\xB9\xED\xA0\x80z", 6},
    };
    for (const auto& row : illegal) {
        CAPTURE(row.bytes);
        Utf8Checker checker;
        CHECK(checker.feed(row.bytes) == row.bad);
        check_everywhere(row.bytes);
    }
}

TEST_CASE("a text that ends inside a character is not complete") {
    for (std::string character :
         {"\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80"})
        for (size_t n = 1; n < character.size(); ++n) {
            std::string text = "ab" + character.substr(0, n);
            Utf8Checker checker;
            CHECK(checker.feed(text) == text.size());
            CHECK_FALSE(checker.complete());
            CHECK(valid_utf8_prefix(text) == 2);
            check_everywhere(text);

            CHECK(checker.feed(character.substr(n)) == character.size() - n);
            CHECK(checker.complete());
        }
}

TEST_CASE("a checker that was reset starts from the beginning") {
    Utf8Checker checker;
    checker.feed("\xE2\x82");
    checker.reset();
    CHECK(checker.complete());
    CHECK(checker.feed("\xAC") == 0);
    checker.reset();
    CHECK(checker.feed("a\xFF") == 1);
    checker.reset();
    CHECK(checker.feed("\xE2\x82\xAC") == 3);
    CHECK(checker.complete());
}

TEST_CASE("each code point is valid only in its shortest form") {
    int wrong = 0;
    for (uint32_t code_point = 0; code_point <= 0x110FFF; ++code_point)
        for (size_t size = 1; size <= 4; ++size) {
            bool fits = code_point >> (size == 1 ? 7 : 5 * size + 1) == 0;
            if (!fits) continue;
            bool valid = some_code_point(code_point, code_point, size);
            std::string bytes = encode(code_point, size);
            if ((valid_utf8_prefix(bytes) == size) != valid) ++wrong;
        }
    CHECK(wrong == 0);
}

TEST_CASE("all sequences of one to three bytes agree with the definition") {
    int wrong = disagreements("");
    for (int a = 0; a < 256; ++a) {
        std::string front(1, static_cast<char>(a));
        wrong += disagreements(front);
        front += '\0';
        for (int b = 0; b < 256; ++b) {
            front[1] = static_cast<char>(b);
            wrong += disagreements(front);
        }
    }
    CHECK(wrong == 0);
}

TEST_CASE("sequences of four bytes at all bounds agree with the definition") {
    const std::string bounds =
        "\x01\x41\x7F\x80\x8F\x90\x9F\xA0\xBF\xC0\xC1\xC2\xDF"
        "\xE0\xE1\xEC\xED\xEE\xEF\xF0\xF1\xF3\xF4\xF5\xF8\xFF";
    int wrong = 0;
    for (char a : bounds)
        for (char b : bounds)
            for (char c : bounds) wrong += disagreements({a, b, c});
    CHECK(wrong == 0);
}

TEST_CASE("one byte is found at each place of a text of each length") {
    int wrong = 0;
    for (const char* around : {"a", "\xC3\xA9", "a\xE2\x82\xAC"})
        for (size_t size = 1; size <= 64; ++size) {
            std::string text;
            while (text.size() < size) text += around;
            text.resize(size);
            for (size_t place = 0; place < size; ++place)
                for (char other : {'b', '\x80', '\xC3', '\xFF'}) {
                    std::string changed = text;
                    changed[place] = other;
                    if (!agrees_at(place % 8, changed)) ++wrong;
                }
        }
    CHECK(wrong == 0);
}

TEST_CASE("a character is taken at each place of a text of each length") {
    int wrong = 0;
    for (std::string character : {"\xC3\xA9", "\xE2\x82", "\xF0\x9F\x98\x80"})
        for (size_t before = 0; before <= 48; ++before)
            for (size_t after = 0; after <= 40; ++after) {
                std::string text = std::string(before, 'a') + character +
                                   std::string(after, 'z');
                if (!agrees_at(after % 8, text)) ++wrong;
            }
    CHECK(wrong == 0);
}
