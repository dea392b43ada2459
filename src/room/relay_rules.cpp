#include "room/relay_rules.h"

#include "util/json.h"

namespace wschat {

namespace {

using Reserved = JsonCheck::Reserved;

using Verdict = RelayDecision::Verdict;

std::string member(const char* name, const std::string& value) {
    return "\"" + std::string(name) + "\":" + value;
}

std::string typed(const char* type, const std::string& text) {
    return "{" + member("type", quote_json(type)) + "," +
           member("message", quote_json(text)) + "}";
}

}  // namespace

std::string notice(const std::string& why) {
    return typed("error", "not relayed: " + why);
}

std::string system_message(const std::string& text) {
    return typed("system", text);
}

RelayDecision decide_relay(std::string_view text, const SendRights& speaker) {
    const JsonCheck json = check_json(text);
    if (json.outcome == JsonCheck::Outcome::Malformed)
        return {Verdict::Refuse, std::string(json.reason) + " at byte " +
                                     std::to_string(json.offset)};
    if (json.outcome == JsonCheck::Outcome::Falsy) return {Verdict::Drop};
    if (json.reserved == Reserved::None ||
        (json.reserved == Reserved::System && speaker.may_be_system))
        return {Verdict::Relay};
    if (json.reserved == Reserved::Ping && speaker.v1)
        return {Verdict::Answer};
    return {Verdict::Refuse, "the type \"" +
                                 std::string(reserved_name(json.reserved)) +
                                 "\" is reserved"};
}

std::string hello(const Hello& hello) {
    return "{" + member("type", "\"hello\"") + "," +
           member("room", quote_json(hello.room)) + "," +
           member("epoch", quote_json(hello.epoch)) + "," +
           member("first", std::to_string(hello.first)) + "," +
           member("last", std::to_string(hello.last)) + "," +
           member("clients", std::to_string(hello.clients)) + "," +
           member("recovered", hello.recovered ? "true" : "false") + "}";
}

std::string receipt(const std::string& room, size_t clients, uint64_t number) {
    return "{" + member("room", quote_json(room)) + "," +
           member("clients", std::to_string(clients)) + "," +
           member("number", std::to_string(number)) + "}";
}

}  // namespace wschat
