#include "http/publish_request.h"

#include <optional>
#include <utility>

#include "room/relay_rules.h"
#include "util/text.h"
#include "util/utf8.h"

namespace wschat {

namespace {

using Kind = BodyLength::Kind;
using Action = RelayDecision::Action;

/// True if there is no key at all. That includes `Bearer` alone, which scripts
/// send that read the key from a file that is empty or not there.
bool lacks_key(const Request& request) {
    const std::string_view value = request.value("Authorization");
    return request.count("Authorization") <= 1 &&
           (value.empty() || equals_ignoring_case(value, "Bearer"));
}

std::optional<Response> find_error(const Request& request,
                                   const BodyLength& length,
                                   const PublishKeys& keys,
                                   uint64_t max_body) {
    // Before the key: a proxy in front may see another end of such a request.
    if (length.kind == Kind::Malformed)
        return error_response(400,
                              "invalid Content-Length or Transfer-Encoding");
    // Not 401: no key would help, only the operator can.
    if (keys.empty())
        return error_response(403, "publishing needs --publish-key");
    if (lacks_key(request))
        return error_response(
            401, "publish key is missing: send Authorization: Bearer KEY");
    if (request.count("Authorization") != 1 ||
        !keys.accepts(request.value("Authorization")))
        return error_response(401, "invalid publish key");
    // After the key: strangers need not learn what the limits are.
    if (length.kind != Kind::Known)
        return error_response(411, "Content-Length is required");
    if (length.bytes > max_body)
        return error_response(
            413, "body of more than " + std::to_string(max_body) + " bytes");
    return std::nullopt;
}

/// Returns whether the type of the body, whatever its parameters, is JSON
/// lines.
bool has_lines(const Request& request) {
    std::string_view type = request.value("Content-Type");
    return equals_ignoring_case(trim(take_until(type, ';')),
                                "application/x-ndjson");
}

/// Returns why a text can't be published; empty if it can.
std::string error_in(std::string_view text) {
    if (valid_utf8_prefix(text) < text.size()) return "malformed UTF-8";
    Grants publisher;
    publisher.may_send_system = true;
    const RelayDecision decision = decide_relay(text, publisher);
    switch (decision.action) {
        case Action::Relay: return "";
        case Action::Ignore: return "JSON value is falsy";
        default: return decision.reason;
    }
}

/// Takes the next message off the front of the body.
std::string_view take_text(std::string_view& rest, bool is_lines) {
    if (!is_lines) return std::exchange(rest, {});
    std::string_view line = take_until(rest, '\n');
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    return trim(line);
}

}  // namespace

std::variant<Response, ExpectBody> accept_publish(const Request& request,
                                                  const std::string& room,
                                                  const PublishKeys& keys,
                                                  uint64_t max_body) {
    const BodyLength length = body_length(request);
    if (auto error = find_error(request, length, keys, max_body))
        return *std::move(error);
    ExpectBody expected;
    expected.request.size = length.bytes;
    expected.request.is_lines = has_lines(request);
    expected.request.room = room;
    if (request.lists("Expect", "100-continue", true))
        expected.interim_response = "HTTP/1.1 100 Continue\r\n\r\n";
    return expected;
}

ParsedMessages parse_messages(const PublishRequest& request) {
    ParsedMessages messages;
    std::string_view rest = request.body;
    for (size_t line = 1; !rest.empty(); ++line) {
        const std::string_view text = take_text(rest, request.is_lines);
        // A line break at the end is no message.
        if (text.empty()) continue;
        const std::string error = error_in(text);
        if (!error.empty())
            return {{}, request.is_lines
                            ? "line " + std::to_string(line) + ": " + error
                            : error};
        messages.texts.push_back(text);
    }
    if (messages.texts.empty()) messages.error = "no message in the body";
    return messages;
}

}  // namespace wschat
