// Which client must have done something by when. Ids and times in, ids out: no
// clients, no clock.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <queue>
#include <vector>

#include "util/clock.h"

namespace wschat {

/// The deadlines of all clients, the next one first. What is due is found
/// without looking at the others; setting and clearing one costs hardly more
/// with many clients than with few.
class Deadlines {
public:
    enum class Kind : uint8_t {
        Step,  // for the present step: request, message, close handshake
        Send,  // for the socket to take more of what waits to be sent
        Hold   // no deadline of the client: when it may send again
    };

    /// Sets a deadline, or moves it to another time.
    void set(uint32_t client, Kind kind, Time at);

    /// Moves a deadline by this much to a later time. Does nothing if it is not
    /// set.
    void postpone(uint32_t client, Kind kind, Duration by);

    /// Does nothing if the deadline is not set.
    void clear(uint32_t client, Kind kind);

    /// Clears all. To be called when the client is destroyed.
    void clear(uint32_t client);

    bool is_set(uint32_t client, Kind kind) const;

    struct Expired {
        uint32_t client = 0;
        Kind kind = Kind::Step;
    };

    /// Returns a deadline that has passed and clears it; nothing if none has.
    std::optional<Expired> take_expired(Time now);

    /// Returns the time of the first deadline; Time::max() without any.
    Time next();

private:
    static constexpr size_t kKinds = 3;

    /// What is known of one client. Time::max() is never.
    struct Times {
        Times() {
            at.fill(Time::max());
            queued.fill(Time::max());
        }

        std::array<Time, kKinds> at;
        std::array<Time, kKinds> queued;  // of the valid entries in the queue
    };

    struct Entry {
        Time at;
        uint32_t client = 0;
        Kind kind = Kind::Step;

        bool operator>(const Entry& other) const { return at > other.at; }
    };

    void enqueue(uint32_t client, Kind kind, Time at);
    void discard_outdated();

    std::deque<Times> times_;  // by client; a deque grows without copying

    // Each deadline has at most one valid entry, whose time is at or before its
    // own. Postponing a deadline, which happens with every send to a slow
    // client, leaves the entry alone: it is corrected when it comes to the
    // front. One that is replaced by an earlier entry stays until its time: a
    // deadline that alternates between late and soon would fill the queue, so
    // each kind has entries of its own.
    std::priority_queue<Entry, std::vector<Entry>, std::greater<Entry>> queue_;
};

/// When to ping, and which clients have been silent for too long.
class PingSchedule {
public:
    /// REQUIRES: interval is not 0.
    void start(Time now, Duration interval);
    void stop() { next_ = Time::max(); }
    bool is_running() const { return next_ != Time::max(); }

    Time next() const { return next_; }

    /// Notes that a ping is sent now. Returns the time of the ping two before
    /// this one: a client without a sign of life since then, which has answered
    /// neither of the two, is dropped. One unanswered ping is no proof: the
    /// client's machine or network may have just come back.
    Time advance(Time now);

private:
    Duration interval_{};
    Time next_ = Time::max();
    Time last_ = Time::min();
    Time before_last_ = Time::min();
};

}  // namespace wschat
