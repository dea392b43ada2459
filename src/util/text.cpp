#include "util/text.h"

#include <algorithm>
#include <charconv>
#include <system_error>

namespace wschat {

namespace {

constexpr std::string_view kBlanks = " \t";

/// std::tolower() would depend on the locale, and take only an unsigned char.
char lower(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}

}  // namespace

bool equals_ignoring_case(std::string_view a, std::string_view b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                      [](char x, char y) { return lower(x) == lower(y); });
}

std::string lower_case(std::string_view text) {
    std::string lowered(text);
    std::transform(text.begin(), text.end(), lowered.begin(), lower);
    return lowered;
}

std::string_view take_until(std::string_view& text, char separator) {
    const std::string_view front = text.substr(0, text.find(separator));
    text.remove_prefix(std::min(text.size(), front.size() + 1));
    return front;
}

std::string shorten(std::string_view text, size_t max) {
    if (text.size() <= max) return std::string(text);
    // At most 3 bytes of a character continue it: a text that is no UTF-8 may
    // have any number of such bytes.
    size_t size = max;
    while (size > 0 && max - size < 3 && (text[size] & 0xC0) == 0x80) --size;
    return std::string(text.substr(0, size)) + "...";
}

std::string_view trim_front(std::string_view text) {
    text.remove_prefix(std::min(text.find_first_not_of(kBlanks), text.size()));
    return text;
}

std::string_view trim(std::string_view text) {
    return trim_front(text.substr(0, text.find_last_not_of(kBlanks) + 1));
}

bool is_decimal(std::string_view text) {
    return !text.empty() && std::all_of(text.begin(), text.end(), is_digit);
}

std::optional<uint64_t> parse_decimal(std::string_view text, uint64_t max) {
    uint64_t number = 0;
    const char* const end = text.data() + text.size();
    // For an unsigned number it takes no sign, and never any space.
    const auto result = std::from_chars(text.data(), end, number);
    if (result.ec != std::errc() || result.ptr != end || number > max)
        return std::nullopt;
    return number;
}

void append_hex(std::string& text, unsigned char byte) {
    constexpr char kDigits[] = "0123456789abcdef";
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
}

}  // namespace wschat
