// Makes the messages of a room, and checks that all its clients receive the
// same bytes: each message once, in one order, unchanged. No sockets.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

namespace wschat::bench {

using Clock = std::chrono::steady_clock;

/// The time of each delivery, in microseconds.
using Delays = std::vector<float>;

/// The bytes that every client of a room receives. The first client that
/// receives a byte appends it here; it must belong to the next message of a
/// sender. For all other clients it must be the same byte. So a message is
/// decoded only once, and the check of each further client is a memcmp().
class Transcript {
public:
    /// The position of a client.
    struct Position {
        uint64_t offset = 0;  // received bytes
        size_t messages = 0;  // complete messages among them
    };

    /// All texts have this size. REQUIRES: text_size >= kMinText.
    Transcript(size_t senders, size_t text_size)
        : sent_(senders), text_size_(text_size) {}

    static constexpr size_t kMinText = 80;

    /// Returns the next message of a sender in a masked frame, to be sent now.
    std::string next_message(size_t sender);

    /// Returns the number of messages made.
    size_t sent() const { return count_; }

    /// Checks the bytes that a client has received, and adds the delays of the
    /// messages that they complete. Throws std::runtime_error if they differ
    /// from the expected ones.
    void receive(Position& position, std::string_view bytes, Delays& delays);

    /// Returns the bytes on the wire to each client.
    uint64_t size() const { return bytes_.size(); }

private:
    struct Sent {
        std::string text;
        Clock::time_point at;
    };

    struct Received {
        uint64_t end;  // offset of the byte behind the message
        Clock::time_point sent;
    };

    void decode();
    void check(const std::string& text);

    std::vector<std::deque<Sent>> sent_;  // of each sender, not received yet
    std::vector<Received> received_;      // by at least one client
    std::string bytes_;
    size_t decoded_ = 0;  // bytes of complete frames
    size_t count_ = 0;
    size_t text_size_;
};

}  // namespace wschat::bench
