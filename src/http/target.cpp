#include "http/target.h"

#include <cstdint>

#include "util/text.h"
#include "util/utf8.h"

namespace wschat {

namespace {

// So that the number, and the one after it, fit into 64 bits.
constexpr size_t kMaxSinceDigits = 18;

/// Returns the byte of an escape such as `%C3` at the front, or -1.
int decode_escape(std::string_view text) {
    if (text.size() < 3) return -1;
    const int high = hex_digit(text[1]);
    const int low = hex_digit(text[2]);
    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

/// Decodes once: "%2541" is "%41". Returns nothing for control bytes, escaped
/// or not, malformed escapes and an escaped slash.
std::optional<std::string> percent_decode(std::string_view text) {
    std::string decoded;
    while (!text.empty()) {
        const bool escape = text[0] == '%';
        const int byte = escape ? decode_escape(text)
                                : static_cast<unsigned char>(text[0]);
        // An escaped slash would be a part of a segment (RFC 3986, section
        // 2.2), which a name of segments between slashes can't express.
        if (byte < ' ' || byte == 0x7F || (escape && byte == '/'))
            return std::nullopt;
        decoded += static_cast<char>(byte);
        text.remove_prefix(escape ? 3 : 1);
    }
    return decoded;
}

/// True for a segment that stands for itself. Clients resolve "." and ".." and
/// proxies merge slashes, so one room would have several names.
bool is_segment(std::string_view text) {
    return !text.empty() && text != "." && text != "..";
}

}  // namespace

std::optional<std::string> room_name(std::string_view path) {
    auto name = percent_decode(path);
    if (!name || name->empty() || name->front() != '/' ||
        name->size() > kMaxRoomName ||
        valid_utf8_prefix(*name) < name->size())
        return std::nullopt;
    if (name->size() == 1) return name;
    // A slash at the end is followed by an empty segment.
    std::string_view segments = std::string_view(*name).substr(1);
    bool more = true;
    while (more) {
        more = segments.find('/') != segments.npos;
        if (!is_segment(take_until(segments, '/'))) return std::nullopt;
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
