#include <cstdint>
#include <string>

#include <doctest/doctest.h>

#include "util/text.h"

using namespace wschat;

TEST_CASE("letters of ASCII, and no others, are equal in either case") {
    CHECK(equals_ignoring_case("", ""));
    CHECK(equals_ignoring_case("WebSocket-7", "websocket-7"));
    CHECK_FALSE(equals_ignoring_case("a", "ab"));
    CHECK_FALSE(equals_ignoring_case("@[`{", "`{@["));
    CHECK_FALSE(equals_ignoring_case("\xC3\x89", "\xC3\xA9"));
    CHECK(lower_case("AZaz09-\xC3\x89") == "azaz09-\xC3\x89");
}

TEST_CASE("a text is taken up to its separator") {
    std::string_view text = "a,,b";
    CHECK(take_until(text, ',') == "a");
    CHECK(take_until(text, ',') == "");
    CHECK(take_until(text, ',') == "b");
    CHECK(text == "");
    CHECK(take_until(text, ',') == "");
    text = "a,";
    CHECK(take_until(text, ',') == "a");
    CHECK(text == "");
}

TEST_CASE("a long text is cut, but not inside a character") {
    CHECK(shorten("", 3) == "");
    CHECK(shorten("abc", 3) == "abc");
    CHECK(shorten("abcd", 3) == "abc...");
    CHECK(shorten("ab\xC3\xA9", 3) == "ab...");
    CHECK(shorten("ab\xC3\xA9", 4) == "ab\xC3\xA9");
    CHECK(shorten("a\xF0\x9F\x98\x80", 4) == "a...");
    CHECK(shorten("abc\xC3\xA9", 3) == "abc...");
    CHECK(shorten("\xC3\xA9", 1) == "...");
    const std::string no_utf8(20, '\xBF');
    CHECK(shorten(no_utf8, 10) == no_utf8.substr(0, 7) + "...");
}

TEST_CASE("blanks and tabs are trimmed, inner ones and line ends are not") {
    CHECK(trim(" \ta b\t ") == "a b");
    CHECK(trim_front(" \ta b\t ") == "a b\t ");
    CHECK(trim("\ra\n") == "\ra\n");
    for (std::string blank : {"", " ", "\t \t"}) {
        CHECK(trim(blank) == "");
        CHECK(trim_front(blank) == "");
    }
}

TEST_CASE("a decimal number is digits up to the limit") {
    CHECK(parse_decimal("0", 0) == uint64_t{0});
    CHECK(parse_decimal("007", 7) == uint64_t{7});
    CHECK(parse_decimal("65535", 65535) == uint64_t{65535});
    CHECK(parse_decimal("18446744073709551615", UINT64_MAX) == UINT64_MAX);
    CHECK_FALSE(parse_decimal("65536", 65535));
    CHECK_FALSE(parse_decimal("1", 0));
    CHECK_FALSE(parse_decimal("18446744073709551616", UINT64_MAX));
    CHECK_FALSE(parse_decimal("99999999999999999999999", UINT64_MAX));
    for (std::string text : {"", " 1", "1 ", "+1", "-1", "-0", "1x", "x", "0x1",
                             "1.0", "1e3", "1,0"}) {
        CAPTURE(text);
        CHECK_FALSE(parse_decimal(text, UINT64_MAX));
        CHECK_FALSE(is_decimal(text));
    }
    CHECK(is_decimal("99999999999999999999999"));
}

TEST_CASE("a byte is two hexadecimal digits, read in either case") {
    for (int byte = 0; byte < 256; ++byte) {
        CAPTURE(byte);
        std::string text = "x";
        append_hex(text, static_cast<unsigned char>(byte));
        REQUIRE(text.size() == 3);
        CHECK(hex_digit(text[1]) * 16 + hex_digit(text[2]) == byte);
        CHECK(lower_case(text) == text);
    }
    CHECK(hex_digit('A') == 10);
    CHECK(hex_digit('F') == 15);
    for (char c : {'g', 'G', '/', ':', '@', '`', '\0', '\x10', '\xC1'})
        CHECK(hex_digit(c) == -1);
}
