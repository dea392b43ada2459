// The rules of the conversation: what of what a client says is relayed, and
// what it is told. Texts in, texts out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace wschat {

/// A notice for one client alone, of a message that was not relayed:
/// {"type":"error","message":"not relayed: why"}.
/// REQUIRES: why is valid UTF-8.
std::string notice(const std::string& why);

/// What the room is told: {"type":"system","message":text}.
std::string system_message(const std::string& text);

/// What a sender may do.
struct SendRights {
    bool may_be_system = false;  // may send messages of type "system"
    bool v1 = false;             // is answered if it sends a "ping"
};

struct RelayDecision {
    enum class Verdict {
        Relay,
        Drop,    // without a word: PHP takes it for false
        Refuse,  // and the sender is told why
        Answer // a "ping" of ours: the sender gets kPong
    };
    Verdict verdict = Verdict::Relay;
    std::string why{};  // Refuse
};

constexpr char kPong[] = "{\"type\":\"pong\"}";

/// Rules on a message: JSON that PHP sees as truthy is relayed, unless its type
/// is reserved.
RelayDecision decide_relay(std::string_view text, const SendRights& speaker);

/// What a client that speaks wschat.v1 is told first.
struct Hello {
    std::string room;
    std::string epoch;       // the word for this numbering of messages
    uint64_t first = 0;      // the number of the first message that follows
    uint64_t last = 0;       // the newest there is
    size_t clients = 0;      // in the room, itself included
    bool recovered = false;  // it came back, and misses nothing
};
std::string hello(const Hello& hello);

/// What a publisher is told: where its messages went, to how many clients, and
/// the number of the last of them.
std::string receipt(const std::string& room, size_t clients, uint64_t number);

}  // namespace wschat
