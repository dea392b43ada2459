#include "chat.h"

#include "json.h"

namespace wschat {

namespace {

using Reserved = JsonCheck::Reserved;

std::string typed(const char* type, const std::string& text) {
    return "{\"type\":\"" + std::string(type) +
           "\",\"message\":" + quote_json(text) + "}";
}

Ruling not_relayed(const std::string& why) {
    return {false, notice("not relayed: " + why)};
}

}  // namespace

std::string notice(const std::string& text) { return typed("error", text); }

std::string system_message(const std::string& text) {
    return typed("system", text);
}

Ruling rule_on(std::string_view text, const Speaker& speaker) {
    const JsonCheck json = check_json(text);
    if (json.verdict == JsonCheck::Verdict::Malformed)
        return not_relayed(std::string(json.reason) + " at byte " +
                           std::to_string(json.offset));
    if (json.verdict == JsonCheck::Verdict::Falsy) return {};
    if (json.reserved == Reserved::None ||
        (json.reserved == Reserved::System && speaker.may_be_system))
        return {true};
    if (json.reserved == Reserved::Ping && speaker.v1)
        return {false, "{\"type\":\"pong\"}"};
    return not_relayed("the type \"" +
                       std::string(reserved_name(json.reserved)) +
                       "\" is reserved");
}

}  // namespace wschat
