#include "http/deflate_offer.h"

#include <algorithm>
#include <optional>

#include "util/text.h"

namespace wschat {

namespace {

constexpr uint64_t kMinWindowBits = 8;
constexpr uint64_t kMaxWindowBits = 15;

/// A parameter of an offer.
struct Parameter {
    std::string_view name;
    bool has_value = false;
    std::string value{};
};

/// Takes a value off the front: a token, or a quoted string that holds one.
/// False if there is neither.
bool take_value(std::string_view& text, std::string& value) {
    if (text.empty() || text[0] != '"') {
        const std::string_view token = take_token(text);
        value = token;
        return !token.empty();
    }
    for (size_t i = 1; i < text.size(); ++i) {
        if (text[i] == '"') {
            text.remove_prefix(i + 1);
            std::string_view rest = value;
            return !take_token(rest).empty() && rest.empty();
        }
        if (text[i] == '\\' && ++i == text.size()) break;
        value += text[i];
    }
    text = {};
    return false;
}

/// Takes blanks, and the character if it follows them.
bool take_separator(std::string_view& text, char separator) {
    text = trim_front(text);
    if (text.empty() || text[0] != separator) return false;
    text = trim_front(text.substr(1));
    return true;
}

std::optional<Parameter> take_parameter(std::string_view& text) {
    Parameter parameter;
    parameter.name = take_token(text);
    if (parameter.name.empty()) return std::nullopt;
    parameter.has_value = take_separator(text, '=');
    if (parameter.has_value && !take_value(text, parameter.value))
        return std::nullopt;
    return parameter;
}

/// Reads a number from 8 to 15 without leading zeros (RFC 7692, section
/// 7.1.2.1); nothing if it is none.
std::optional<uint64_t> parse_window_bits(const std::string& value) {
    const auto bits = parse_decimal(value, kMaxWindowBits);
    if (!bits || *bits < kMinWindowBits || value[0] == '0')
        return std::nullopt;
    return bits;
}

/// An offer of permessage-deflate as far as it was read.
class Offer {
public:
    /// False if the offer must be declined.
    bool add(const Parameter& parameter) {
        if (std::count(names_.begin(), names_.end(), parameter.name))
            return false;
        names_.push_back(parameter.name);
        if (parameter.name == "server_no_context_takeover" ||
            parameter.name == "client_no_context_takeover")
            return !parameter.has_value;
        const auto bits = parse_window_bits(parameter.value);
        if (parameter.name == "client_max_window_bits")
            return !parameter.has_value || bits;
        if (parameter.name != "server_max_window_bits" || !bits) return false;
        server_bits_ = bits;
        return true;
    }

    DeflateAgreement accept() const {
        DeflateAgreement agreed;
        agreed.takes = true;
        agreed.gives = !server_bits_ || *server_bits_ == kMaxWindowBits;
        agreed.answer =
            "permessage-deflate; server_no_context_takeover; "
            "client_no_context_takeover";
        if (server_bits_)
            agreed.answer +=
                "; server_max_window_bits=" + std::to_string(*server_bits_);
        return agreed;
    }

private:
    std::vector<std::string_view> names_;
    std::optional<uint64_t> server_bits_;
};

/// Takes one offer off the front of the list, up to its comma. Nothing if it
/// is none of permessage-deflate, or one to decline.
std::optional<DeflateAgreement> take_offer(std::string_view& list) {
    Offer offer;
    bool good = take_token(list) == "permessage-deflate";
    while (take_separator(list, ';')) {
        const auto parameter = take_parameter(list);
        good = good && parameter && offer.add(*parameter);
    }
    // What is malformed goes on to the next comma.
    if (!trim(take_until(list, ',')).empty() || !good) return std::nullopt;
    return offer.accept();
}

}  // namespace

DeflateAgreement agree_on_deflate(const Request& request) {
    for (const Header& header : request.headers) {
        if (!equals_ignoring_case(header.name, "Sec-WebSocket-Extensions"))
            continue;
        std::string_view list = header.value;
        while (!(list = trim_front(list)).empty())
            if (auto agreed = take_offer(list)) return *agreed;
    }
    return {};
}

}  // namespace wschat
