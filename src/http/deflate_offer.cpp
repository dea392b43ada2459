#include "http/deflate_offer.h"

#include <algorithm>
#include <optional>

#include "util/text.h"

namespace wschat {

namespace {

constexpr uint64_t kMinWindowBits = 8;
constexpr uint64_t kMaxWindowBits = 15;

/// A parameter of an offer (the grammar is that of RFC 6455, section 9.1).
struct Parameter {
    std::string_view name;
    bool has_value = false;
    std::string value{};
};

/// Removes a value from the front: a token, or a quoted string whose content is
/// a token (RFC 6455, section 9.1). Returns false if it is neither.
bool take_value(std::string_view& text, std::string& value) {
    if (text.empty() || text[0] != '"') {
        const std::string_view token = take_token(text);
        value = token;
        return !token.empty();
    }
    for (size_t i = 1; i < text.size(); ++i) {
        if (text[i] == '"') {
            text.remove_prefix(i + 1);
            std::string_view content = value;
            return !take_token(content).empty() && content.empty();
        }
        if (text[i] == '\\' && ++i == text.size()) break;
        value += text[i];
    }
    // The string has no end, so everything behind the quote is part of it.
    text = {};
    return false;
}

/// Removes blanks from the front; if the separator is next, removes it and the
/// blanks behind it and returns true.
bool take_separator(std::string_view& text, char separator) {
    text = trim_front(text);
    if (text.empty() || text[0] != separator) return false;
    text = trim_front(text.substr(1));
    return true;
}

/// Returns nothing if the front of `text` is no parameter.
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

/// An offer of permessage-deflate, while its parameters are read.
class Offer {
public:
    /// Returns false if the offer must be declined because of this parameter.
    bool add(const Parameter& parameter) {
        if (std::count(names_.begin(), names_.end(), parameter.name))
            return false;
        names_.push_back(parameter.name);
        if (parameter.name == "server_no_context_takeover" ||
            parameter.name == "client_no_context_takeover")
            return !parameter.has_value;
        const auto bits = parse_window_bits(parameter.value);
        // A limit of the client's own window, which the inflater doesn't need:
        // its window of 2^15 bytes reads all smaller ones.
        if (parameter.name == "client_max_window_bits")
            return !parameter.has_value || bits;
        if (parameter.name != "server_max_window_bits" || !bits) return false;
        server_bits_ = bits;
        return true;
    }

    DeflateAgreement accept() const {
        DeflateAgreement agreement;
        agreement.client_may_deflate = true;
        // Messages are compressed once for all clients, with the largest
        // window. A client with a smaller one is sent them uncompressed, which
        // the extension allows for each message (RFC 7692, section 6).
        agreement.server_may_deflate =
            !server_bits_ || *server_bits_ == kMaxWindowBits;
        agreement.response_value =
            "permessage-deflate; server_no_context_takeover; "
            "client_no_context_takeover";
        // An offered limit must be confirmed (RFC 7692, section 7.1.2.1).
        if (server_bits_)
            agreement.response_value +=
                "; server_max_window_bits=" + std::to_string(*server_bits_);
        return agreement;
    }

private:
    std::vector<std::string_view> names_;
    std::optional<uint64_t> server_bits_;
};

/// Removes one offer and its comma from the front of the list. Returns nothing
/// if it is for another extension or must be declined.
std::optional<DeflateAgreement> take_offer(std::string_view& list) {
    Offer offer;
    bool acceptable = take_token(list) == "permessage-deflate";
    while (take_separator(list, ';')) {
        const auto parameter = take_parameter(list);
        acceptable = acceptable && parameter && offer.add(*parameter);
    }
    // A malformed offer ends at the next comma, and so does not hide those
    // behind it.
    const bool has_more = !trim(take_until(list, ',')).empty();
    if (has_more || !acceptable) return std::nullopt;
    return offer.accept();
}

}  // namespace

DeflateAgreement negotiate_deflate(const Request& request) {
    for (const Header& header : request.headers) {
        if (!equals_ignoring_case(header.name, "Sec-WebSocket-Extensions"))
            continue;
        std::string_view list = header.value;
        while (!(list = trim_front(list)).empty())
            if (auto agreement = take_offer(list)) return *agreement;
    }
    return {};
}

}  // namespace wschat
