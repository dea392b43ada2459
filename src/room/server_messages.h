// The JSON messages that the server itself writes. wschat(7) describes them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace wschat {

/// Returns the notice to a sender that its message was not relayed:
/// {"type":"error","message":"not relayed: REASON"}.
/// REQUIRES: reason is valid UTF-8.
std::string error_notice(const std::string& reason);

/// Returns what a room is told: {"type":"system","message":TEXT}.
/// REQUIRES: text is valid UTF-8.
std::string system_message(const std::string& text);

/// The reply to a "ping" of wschat.v1.
constexpr char kPong[] = "{\"type\":\"pong\"}";

/// The first message to a client that speaks wschat.v1.
struct Hello {
    std::string room;
    std::string epoch;       // identifies the numbering of messages
    uint64_t first = 0;      // number of the first message that follows
    uint64_t last = 0;       // number of the newest message; 0: none yet
    size_t clients = 0;      // in the room, this one included
    bool recovered = false;  // the client resumes and has missed nothing
    uint64_t max_message = 0;    // bytes in a message of a client
    const char* announce = "";  // the value of --announce
};
std::string hello_message(const Hello& hello);

/// Returns the body of the response to a publisher: the room, how many clients
/// are in it, and the number of the last message.
std::string receipt(const std::string& room, size_t clients, uint64_t number);

}  // namespace wschat
