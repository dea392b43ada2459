// One conversation: its messages, in a run for those who take them as they
// are and in one for those who take them deflated. No sockets.
#pragma once

#include <string_view>

#include "broadcast.h"
#include "deflate.h"

namespace wschat {

/// What is published is compressed once, however many take it so, and not at
/// all if nobody does.
class Room {
public:
    /// Shorter texts are not compressed: it would hardly save a packet's head.
    static constexpr size_t kMinDeflated = 128;

    /// The run that a client of either kind receives.
    Broadcast& run(bool deflated) { return deflated ? deflated_ : plain_; }

    void publish(std::string_view text);
    void ping();

    /// As of either run.
    bool has_news() const { return plain_.has_news(); }
    void mark();

    /// Gives back memory that nobody in the room needs.
    void tidy();

private:
    void publish_deflated(std::string_view text);

    Broadcast plain_;
    Broadcast deflated_;
    Deflater deflater_;
};

}  // namespace wschat
