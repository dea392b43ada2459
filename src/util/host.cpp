#include "util/host.h"

#include <algorithm>

#include "util/address.h"
#include "util/text.h"

namespace wschat {

namespace {

/// The bytes that separate a host from the rest of a URL (RFC 3986, section
/// 3.2) or from the next element of a list, and `\`, which browsers read as
/// `/`.
constexpr std::string_view kSeparators = "/?#@\\,\"<>";

/// More bytes that an origin's host, without brackets and port, can't contain.
constexpr std::string_view kNotInOrigin = ":[]*;'";

bool has_any(std::string_view text, std::string_view bytes) {
    return text.find_first_of(bytes) != text.npos;
}

bool is_dns_char(char c) {
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           c == '-' || c == '.' || c == '_';
}

/// Returns whether the text can be a port after its colon. It may be empty (RFC
/// 3986, section 3.2.3).
bool is_port(std::string_view text) {
    return text.empty() || (text.size() <= 5 && is_decimal(text));
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
    const bool has_empty_label = last_label.empty() || text[0] == '.' ||
                                 text.find("..") != text.npos;
    return !has_empty_label && !is_decimal(last_label) &&
           std::all_of(text.begin(), text.end(), is_dns_char);
}

std::string without_brackets(const std::string& text) {
    const bool bracketed =
        text.size() > 2 && text.front() == '[' && text.back() == ']';
    return bracketed ? text.substr(1, text.size() - 2) : text;
}

bool is_loopback_host(const std::string& host) {
    if (equals_ignoring_case(host, "localhost")) return true;
    const auto address = Address::parse(host);
    return address && address->is_loopback();
}

bool is_development_host(const std::string& host) {
    return is_loopback_host(host) ||
           lower_case(host).find("local.") != host.npos;
}

bool is_local_host(const std::string& host) {
    const auto address = Address::parse(host);
    return is_development_host(host) || (address && address->is_private());
}

std::string host_in_url(const std::string& host) {
    return host.find(':') == host.npos ? host : "[" + host + "]";
}

std::optional<std::string> host_before_port(std::string_view text) {
    const bool bracketed = !text.empty() && text[0] == '[';
    const size_t end = text.find(bracketed ? ']' : ':');
    std::string host(text.substr(0, end));
    std::string_view rest = text.substr(host.size());
    if (bracketed) {
        if (rest.empty()) return std::nullopt;
        host.erase(0, 1);
        rest.remove_prefix(1);
    }
    const bool is_whole =
        rest.empty() || (rest[0] == ':' && is_port(rest.substr(1)));
    if (host.empty() || !is_whole) return std::nullopt;
    return host;
}

}  // namespace wschat
