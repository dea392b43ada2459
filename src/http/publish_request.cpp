#include "http/publish_request.h"

#include <optional>
#include <utility>

#include "room/relay_rules.h"
#include "util/text.h"
#include "util/utf8.h"

namespace wschat {

namespace {

using Kind = BodyLength::Kind;
using Verdict = RelayDecision::Verdict;

std::optional<Response> refuse_publication(const Request& request,
                                         const BodyLength& length,
                                         const PublishKeys& keys, uint64_t most) {
    if (length.kind == Kind::Malformed)
        return error_response(400, "invalid Content-Length or Transfer-Encoding");
    if (keys.empty()) return error_response(403, "publishing needs --publish-key");
    if (request.count("Authorization") != 1 ||
        !keys.accepts(request.value("Authorization")))
        return error_response(401, "invalid publish key");
    if (length.kind != Kind::Known)
        return error_response(411, "Content-Length is required");
    if (length.bytes > most)
        return error_response(413, "more than " + std::to_string(most) + " bytes");
    return std::nullopt;
}

/// Whether the type of the body, whatever its parameters, is JSON lines.
bool has_lines(const Request& request) {
    std::string_view type = request.value("Content-Type");
    return equals_ignoring_case(trim(take_until(type, ';')),
                             "application/x-ndjson");
}

/// Why a text is not published; nothing if it is.
std::string error_in(std::string_view text) {
    if (valid_utf8_prefix(text) < text.size()) return "malformed UTF-8";
    SendRights publisher;
    publisher.may_be_system = true;
    const RelayDecision ruling = decide_relay(text, publisher);
    if (ruling.verdict == Verdict::Relay) return "";
    return ruling.verdict == Verdict::Drop
               ? "JSON value is falsy"
               : ruling.why;
}

/// Takes the next message off the front of the body.
std::string_view take_text(std::string_view& rest, bool lines) {
    if (!lines) return std::exchange(rest, {});
    std::string_view line = take_until(rest, '\n');
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    return trim(line);
}

}  // namespace

Publication judge_publication(const Request& request, const PublishKeys& keys,
                              uint64_t most) {
    const BodyLength length = body_length(request);
    if (auto refusal = refuse_publication(request, length, keys, most))
        return {*refusal};
    Publication good;
    good.answer.status = 100;
    if (request.lists("Expect", "100-continue", true))
        good.answer.bytes = "HTTP/1.1 100 Continue\r\n\r\n";
    good.upload.size = length.bytes;
    good.upload.lines = has_lines(request);
    return good;
}

Messages messages_in(const Upload& upload) {
    Messages messages;
    std::string_view rest = upload.body;
    for (size_t line = 1; !rest.empty(); ++line) {
        const std::string_view text = take_text(rest, upload.lines);
        if (text.empty()) continue;
        const std::string error = error_in(text);
        if (!error.empty())
            return {{}, upload.lines
                            ? "line " + std::to_string(line) + ": " + error
                            : error};
        messages.texts.push_back(text);
    }
    if (messages.texts.empty()) messages.error = "no message in the body";
    return messages;
}

}  // namespace wschat
