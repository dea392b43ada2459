// Decides whether a message is relayed. Text in, decision out; no sockets, no
// room.
#pragma once

#include <string>
#include <string_view>

namespace wschat {

/// What a sender may do beyond relaying ordinary messages.
struct Grants {
    bool may_send_system = false;  // messages of type "system"
};

struct RelayDecision {
    enum class Action {
        Relay,
        Ignore,  // without a word, because PHP's `if ($data)` is false
        Refuse,  // and tell the sender the reason
        Pong     // a "ping" of wschat.v1: the sender gets kPong
    };
    Action action = Action::Relay;
    std::string reason{};  // Refuse
};

/// Decides on a message: JSON that is truthy in PHP is relayed, unless its type
/// is reserved. `v1` is whether the sender speaks wschat.v1, and so may send a
/// "ping".
RelayDecision decide_relay(std::string_view text, const Grants& grants,
                           bool v1 = false);

}  // namespace wschat
