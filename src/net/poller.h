// poll() for very many descriptors of which few are busy. Knows nothing of what
// the descriptors are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include <poll.h>
#include <signal.h>

#include "util/clock.h"

namespace wschat {

/// Tells the unit that added a descriptor which one it is. The poller returns
/// it as it was given.
class Token {
public:
    Token() = default;

    /// `owner` is a number of that unit, below 16; `id` is its own, below 2^28.
    Token(uint32_t owner, uint32_t id) : value_(owner << kIdBits | id) {}

    uint32_t owner() const { return value_ >> kIdBits; }
    uint32_t id() const { return value_ & ((1U << kIdBits) - 1); }

private:
    static constexpr unsigned kIdBits = 28;

    uint32_t value_ = 0;  // small: there is one for each descriptor
};

/// A set of descriptors to wait for.
///
/// The kernel looks at each descriptor of a poll() call. With thousands of them
/// that takes longer than to serve one. Therefore:
/// - The busy descriptors, where something happened lately, are polled by each
///   wait().
/// - While there are busy ones, all descriptors are polled now and then,
///   without sleeping: again when four times the duration of the last such poll
///   has passed. An idle descriptor that becomes ready is noticed no later.
/// - When no descriptor is busy, wait() sleeps on all of them.
///
/// Not epoll: the loop is poll() by design, as in the tutorial's
/// socket_select(). Also, epoll needs a system call for each change of what to
/// wait for, while this class only writes to memory.
class Poller {
public:
    /// Up to this many descriptors are always polled all together.
    static constexpr size_t kFew = 256;

    /// Identifies a descriptor from add() to remove().
    using Handle = uint32_t;

    /// Adds a descriptor. It counts as busy at first.
    Handle add(int fd, short events, Token token);

    /// Forgets a descriptor; its handle may be given to another one.
    void remove(Handle handle);

    /// Sets what to wait for from now on. 0 reports nothing, not even errors.
    void watch(Handle handle, short events);

    /// Hints that the descriptor will be silent for a while: it does not count
    /// as busy any more.
    void mark_idle(Handle handle);

    /// Sleeps until something happens, a signal that `mask` does not block
    /// arrives, or `until` has passed; Time::max() is never. While there are
    /// busy descriptors it may return earlier, without an event.
    void wait(Time until, const sigset_t& mask);

    /// A descriptor where something happened.
    struct Event {
        Token token;
        short events = 0;  // as poll() returned them
    };

    /// Returns the events of the last wait(), in no particular order.
    const std::vector<Event>& events() const { return events_; }

private:
    static constexpr uint32_t kNone = UINT32_MAX;

    /// What belongs to a handle.
    struct Entry {
        Token token;
        uint32_t place = 0;     // in all_
        uint32_t busy = kNone;  // place in busy_, if it is busy
    };

    struct Busy {
        Handle handle = 0;
        bool used = false;  // something happened since all were polled
    };

    bool wait_on_busy(Time until, const sigset_t& mask);
    void wait_on_all(Time until, const sigset_t& mask);
    void record(Handle handle, short events);
    void make_busy(Handle handle);
    void drop_unused();

    std::vector<Entry> entries_;  // by handle
    std::vector<Handle> free_;    // handles that belong to no descriptor
    std::vector<pollfd> all_;
    std::vector<Handle> handles_;  // of each in all_
    std::vector<pollfd> busy_polls_;
    std::vector<Busy> busy_;  // of each in busy_polls_
    std::vector<Event> events_;
    Duration cost_{};      // of the last poll() on all
    Time next_all_{};      // when to poll all again
};

}  // namespace wschat
