// The messages of a log by number, and the newest of them kept for those who
// come later. No clock.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "room/broadcast.h"
#include "room/room_config.h"

namespace wschat {

/// A log whose messages are numbered from 1; pings are not. What is kept stays
/// in the log because the history is in it too, with a position of its own.
class History {
public:
    using Time = std::chrono::steady_clock::time_point;

    /// REQUIRES: rules outlive it.
    explicit History(const RetentionConfig& rules) : rules_(&rules) {}

    Broadcast& log() { return log_; }
    const Broadcast& log() const { return log_; }

    /// Appends a message and keeps it.
    void append(std::string_view text, Time now);

    /// The number of the newest message; 0 if there was none yet.
    uint64_t newest() const { return newest_; }

    /// The number of the oldest that is kept; newest() + 1 if none is.
    uint64_t oldest() const { return newest_ + 1 - size(); }

    /// Joins the log where this message begins, or at its end for the next one.
    /// REQUIRES: oldest() <= number <= newest() + 1.
    Broadcast::Cursor open_cursor(uint64_t number);

    /// Forgets what was kept for its time.
    void expire(Time now);

    /// Forgets the oldest until the rest takes no more than that.
    void shrink(uint64_t bytes);

    /// When all will have expired. REQUIRES: size() > 0.
    Time expires_at() const { return retained_.back().at + rules_->time; }

    /// How many are kept, and the bytes that these take.
    size_t size() const { return retained_.size() - dropped_; }
    uint64_t bytes() const;

private:
    struct Retained {
        uint64_t offset = 0;  // in the log
        Time at{};
    };

    const Retained& oldest_retained() const { return retained_[dropped_]; }
    void drop_oldest() { ++dropped_; }
    void release_dropped();

    const RetentionConfig* rules_;
    Broadcast log_;
    Broadcast::Cursor cursor_;  // of the oldest; none if none is kept
    std::vector<Retained> retained_;
    size_t dropped_ = 0;  // at the front of that
    uint64_t newest_ = 0;
};

}  // namespace wschat
