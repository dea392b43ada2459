// The messages of a run by number, and the newest of them kept for those who
// come later. No clock.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "room/broadcast.h"

namespace wschat {

/// What is kept: all three at the most.
struct KeepRules {
    size_t messages = 1000;
    std::chrono::steady_clock::duration time = std::chrono::minutes(10);
    uint64_t bytes = 1 << 20;  // frames, and what it takes to find them
};

/// A run whose messages are numbered from 1; pings are not. What is kept stays
/// in the run because the history is in it too, with a position of its own.
class History {
public:
    using Time = std::chrono::steady_clock::time_point;

    /// REQUIRES: rules outlive it.
    explicit History(const KeepRules& rules) : rules_(&rules) {}

    Broadcast& run() { return run_; }
    const Broadcast& run() const { return run_; }

    /// Appends a message and keeps it.
    void publish(std::string_view text, Time now);

    /// The number of the newest message; 0 if there was none yet.
    uint64_t last() const { return last_; }

    /// The number of the oldest that is kept; last() + 1 if none is.
    uint64_t first() const { return last_ + 1 - size(); }

    /// Joins the run where this message begins, or at its end for the next one.
    /// REQUIRES: first() <= number <= last() + 1.
    Broadcast::Position join(uint64_t number);

    /// Forgets what was kept for its time.
    void expire(Time now);

    /// Forgets the oldest until the rest takes no more than that.
    void shrink(uint64_t bytes);

    /// When all will have expired. REQUIRES: size() > 0.
    Time end() const { return kept_.back().at + rules_->time; }

    /// How many are kept, and the bytes that these take.
    size_t size() const { return kept_.size() - forgotten_; }
    uint64_t bytes() const;

private:
    struct Kept {
        uint64_t offset = 0;  // in the run
        Time at{};
    };

    const Kept& oldest() const { return kept_[forgotten_]; }
    void forget_oldest() { ++forgotten_; }
    void tidy();

    const KeepRules* rules_;
    Broadcast run_;
    Broadcast::Position position_;  // of the oldest; none if none is kept
    std::vector<Kept> kept_;
    size_t forgotten_ = 0;  // at the front of that
    uint64_t last_ = 0;
};

}  // namespace wschat
