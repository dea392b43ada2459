#include "room/relay_rules.h"

#include "util/json.h"

namespace wschat {

using Action = RelayDecision::Action;
using Reserved = JsonCheck::Reserved;

RelayDecision decide_relay(std::string_view text, const Grants& grants,
                           bool v1) {
    const JsonCheck json = check_json(text);
    if (json.outcome == JsonCheck::Outcome::Malformed)
        return {Action::Refuse, std::string(json.reason) + " at byte " +
                                    std::to_string(json.offset)};
    if (json.outcome == JsonCheck::Outcome::Falsy) return {Action::Ignore};
    if (json.reserved == Reserved::None ||
        (json.reserved == Reserved::System && grants.may_send_system))
        return {Action::Relay};
    // Browsers can't send ping frames, so wschat.js asks by a message.
    if (json.reserved == Reserved::Ping && v1) return {Action::Pong};
    // Pages take a message of such a type for one of the server. So a sender
    // needs a grant for "system", and may never send the others.
    return {Action::Refuse, "the type \"" +
                                std::string(reserved_name(json.reserved)) +
                                "\" is reserved"};
}

}  // namespace wschat
