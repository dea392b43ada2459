// The rules of the conversation: what of what a client says is relayed, and
// what it is told. Texts in, texts out.
#pragma once

#include <string>
#include <string_view>

namespace wschat {

/// A notice for one client alone: {"type":"error","message":text}.
/// REQUIRES: text is valid UTF-8.
std::string notice(const std::string& text);

/// What the room is told: {"type":"system","message":text}.
std::string system_message(const std::string& text);

/// What a sender may do.
struct Speaker {
    bool may_be_system = false;  // may send messages of type "system"
    bool v1 = false;             // is answered if it sends a "ping"
};

struct Ruling {
    bool relay = false;
    std::string reply{};  // for the sender alone, unless empty
};

/// Rules on a message: JSON that PHP sees as truthy is relayed, unless its type
/// is reserved. What is falsy is dropped without a word.
Ruling rule_on(std::string_view text, const Speaker& speaker);

}  // namespace wschat
