// What is said in a room, and proof that all its clients hear the same: every
// message once, in one order, unaltered. No sockets.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

namespace wschat::bench {

using Clock = std::chrono::steady_clock;

/// How long each delivery took, in microseconds.
using Delays = std::vector<float>;

/// The bytes that every client of a room receives. Whoever is the first to
/// receive a byte writes it down here, where it must belong to the next message
/// of a speaker; all others must receive the same. So a message is decoded
/// once, and a client costs no more than a memcmp().
class Transcript {
public:
    /// How far a client has come.
    struct Place {
        uint64_t offset = 0;  // bytes that it received
        size_t messages = 0;  // whole ones among them
    };

    /// Texts are of this size, which must be kMinText at least.
    Transcript(size_t speakers, size_t text_size)
        : said_(speakers), text_size_(text_size) {}

    static constexpr size_t kMinText = 80;

    /// The next message of a speaker in a masked frame, to be sent now.
    std::string say(size_t speaker);

    /// How many were said.
    size_t said() const { return count_; }

    /// Takes what a client received, and adds the delays of the messages which
    /// that made whole. Throws std::runtime_error if it should have received
    /// something else.
    void hear(Place& place, std::string_view bytes, Delays& delays);

    /// Bytes on the wire to each client.
    uint64_t size() const { return bytes_.size(); }

private:
    struct Said {
        std::string text;
        Clock::time_point at;
    };

    struct Heard {
        uint64_t end;  // offset behind it
        Clock::time_point said;
    };

    void decode();
    void check(const std::string& text);

    std::vector<std::deque<Said>> said_;  // of each speaker, not yet heard
    std::vector<Heard> heard_;            // by one client at least
    std::string bytes_;
    size_t decoded_ = 0;  // bytes of whole frames
    size_t count_ = 0;
    size_t text_size_;
};

}  // namespace wschat::bench
