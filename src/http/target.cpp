#include "http/target.h"

#include "util/text.h"
#include "util/utf8.h"

namespace wschat {

namespace {

// A number of so many digits fits into 64 bits, and so does the one after it.
constexpr size_t kMaxSinceDigits = 18;

/// The byte of an escape such as `%C3` at the front; -1 if that is none.
int escaped(std::string_view text) {
    if (text.size() < 3) return -1;
    const int high = hex_digit(text[1]);
    const int low = hex_digit(text[2]);
    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

std::optional<std::string> decode(std::string_view text) {
    std::string decoded;
    while (!text.empty()) {
        const bool escape = text[0] == '%';
        const int byte = escape ? escaped(text)
                                : static_cast<unsigned char>(text[0]);
        if (byte < ' ' || byte == 0x7F || (escape && byte == '/'))
            return std::nullopt;
        decoded += static_cast<char>(byte);
        text.remove_prefix(escape ? 3 : 1);
    }
    return decoded;
}

/// Whether it is one of those that stand for other paths, or for none.
bool is_segment(std::string_view text) {
    return !text.empty() && text != "." && text != "..";
}

}  // namespace

std::optional<std::string> room_name(std::string_view path) {
    auto name = decode(path);
    if (!name || name->empty() || name->front() != '/' ||
        name->size() > kMaxRoomName ||
        valid_utf8_prefix(*name) < name->size())
        return std::nullopt;
    if (name->size() == 1) return name;
    // What follows the last slash is a segment too.
    std::string_view rest = std::string_view(*name).substr(1);
    bool more = true;
    while (more) {
        more = rest.find('/') != rest.npos;
        if (!is_segment(take_until(rest, '/'))) return std::nullopt;
    }
    return name;
}

std::optional<std::string_view> parameter(std::string_view query,
                                          std::string_view name) {
    while (!query.empty()) {
        std::string_view value = take_until(query, '&');
        if (take_until(value, '=') == name) return value;
    }
    return std::nullopt;
}

Resume parse_resume(std::string_view query) {
    const std::string_view text = parameter(query, "since").value_or("");
    const std::string_view epoch = parameter(query, "epoch").value_or("");
    if (text.size() > kMaxSinceDigits) return {};
    const auto since = parse_decimal(text, UINT64_MAX);
    if (!since) return {};
    return {std::string(epoch), *since};
}

}  // namespace wschat
