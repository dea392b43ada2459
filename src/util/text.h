// Helpers for ASCII text: case, trimming, splitting, decimal and hexadecimal
// digits. Knows nothing of HTTP or JSON.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace wschat {

/// True if the texts are equal, whether ASCII letters are in upper or lower
/// case.
bool equals_ignoring_case(std::string_view a, std::string_view b);

/// Returns the text with ASCII letters in lower case.
std::string lower_case(std::string_view text);

/// Removes the part before the separator from the front of `text`, and the
/// separator with it. Returns that part; all of `text` if it has no separator.
std::string_view take_until(std::string_view& text, char separator);

/// Returns the text; if it has more than `max` bytes, its front of so many and
/// "...". Does not cut inside a UTF-8 character.
std::string shorten(std::string_view text, size_t max);

/// Returns the text without the blanks and tabs at its front.
std::string_view trim_front(std::string_view text);

/// Returns the text without the blanks and tabs at both ends.
std::string_view trim(std::string_view text);

inline bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// True if the text is one or more decimal digits.
bool is_decimal(std::string_view text);

/// Returns the number that the text is in decimal digits; leading zeros are
/// allowed. Returns nothing if it has any other byte, a sign or a blank among
/// them, or if the number is greater than `max`.
std::optional<uint64_t> parse_decimal(std::string_view text, uint64_t max);

/// Returns the value of a hexadecimal digit, in either case; -1 if it is none.
/// Inline, because the JSON parser calls it for each escape.
inline int hex_digit(char c) {
    if (is_digit(c)) return c - '0';
    c = static_cast<char>(c | 0x20);  // to lower case
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/// Appends a byte as two hexadecimal digits in lower case.
void append_hex(std::string& text, unsigned char byte);

}  // namespace wschat
