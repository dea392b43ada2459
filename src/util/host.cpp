#include "util/host.h"

#include <algorithm>

#include "util/address.h"
#include "util/text.h"

namespace wschat {

namespace {

/// What separates a host from the rest of a URL (RFC 3986, section 3.2) or from
/// the next element of a list, and `\`, which browsers take for `/`.
constexpr std::string_view kSeparators = "/?#@\\,\"<>";

/// What besides may not stand in a host without brackets and port.
constexpr std::string_view kNotInOrigin = ":[]*;'";

bool has_any(std::string_view text, std::string_view bytes) {
    return text.find_first_of(bytes) != text.npos;
}

bool is_dns_char(char c) {
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           c == '-' || c == '.' || c == '_';
}

}  // namespace

bool is_host_header(std::string_view text) {
    return !text.empty() && !has_any(text, kSeparators) &&
           !has_any(text, " \t");
}

bool is_origin_host(const std::string& text) {
    if (is_ip_address(text)) return true;
    return !has_any(text, kSeparators) && !has_any(text, kNotInOrigin) &&
           std::all_of(text.begin(), text.end(),
                       [](char c) { return c > ' ' && c < '\x7F'; });
}

bool is_dns_name(std::string_view text) {
    if (!text.empty() && text.back() == '.') text.remove_suffix(1);
    const std::string_view last_label = text.substr(text.rfind('.') + 1);
    return !last_label.empty() && !is_decimal(last_label) &&
           std::all_of(text.begin(), text.end(), is_dns_char);
}

std::string without_brackets(const std::string& text) {
    const bool bracketed =
        text.size() > 2 && text.front() == '[' && text.back() == ']';
    return bracketed ? text.substr(1, text.size() - 2) : text;
}

}  // namespace wschat
