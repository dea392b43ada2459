// poll() for very many descriptors of which few are busy. Knows nothing of what
// the descriptors are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include <poll.h>
#include <signal.h>

#include "net/socket.h"
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
/// that takes longer than to serve one. So only those are polled where
/// something happened lately. The others are parked in an epoll set, whose own
/// descriptor is polled with them: it is readable when a parked one is ready
/// (epoll(7)). A wait costs what is busy, not what there is.
///
/// Not epoll alone: the loop is poll() by design, as in the tutorial's
/// socket_select(). Also, epoll needs a system call for each change of what to
/// wait for, while poll() needs none for descriptors that are busy.
///
/// Where epoll is missing (not Linux, no descriptor for it, a limit of the
/// kernel) descriptors are polled instead of parked.
class Poller {
public:
    /// A descriptor is parked when so many waits, or up to twice as many, have
    /// found nothing there. By then polling it has cost about what it costs to
    /// park it and to take it out again.
    static constexpr int kPatience = 8;

    Poller();

    /// Identifies a descriptor from add() to remove().
    using Handle = uint32_t;

    /// Adds a descriptor.
    Handle add(int fd, short events, Token token);

    /// Forgets a descriptor; its handle may be given to another one. REQUIRES:
    /// the descriptor is still open.
    void remove(Handle handle);

    /// Sets what to wait for from now on. 0 reports nothing, not even errors.
    void watch(Handle handle, short events);

    /// Sleeps until something happens, a signal that `mask` does not block
    /// arrives, or `until` has passed; Time::max() is never. May return
    /// earlier, without an event.
    void wait(Time until, const sigset_t& mask);

    /// A descriptor where something happened.
    struct Event {
        Token token;
        short events = 0;  // as poll() returned them
    };

    /// Returns the events of the last wait(), in no particular order.
    const std::vector<Event>& events() const { return events_; }

    /// Returns how many descriptors the next wait() looks at, without that of
    /// the parked ones.
    size_t polled() const { return polls_.size() - 1; }

private:
    static constexpr uint32_t kNone = UINT32_MAX;

    /// What belongs to a handle. A descriptor is polled, parked, or neither if
    /// it is watched for nothing.
    struct Entry {
        Token token;
        int fd = -1;
        uint32_t place = kNone;  // in polls_, if it is polled
        short events = 0;        // to wait for
        bool is_parked = false;  // events of the epoll set are for it
        bool is_in_set = false;  // the epoll set knows it, parked or not
    };

    struct Polled {
        Handle handle = 0;
        bool is_used = false;  // something happened since it was last judged
    };

    void start_polling(Handle handle);
    void stop_polling(Handle handle);
    void park_unused();
    bool park(Handle handle);
    void take_parked();
    void remove_from_set(Entry& entry);
    void shrink();

    std::vector<Entry> entries_;  // by handle
    std::vector<Handle> free_;    // handles that belong to no descriptor
    Fd set_;                      // the epoll set; -1: there is none
    std::vector<pollfd> polls_;   // the first one is the set
    std::vector<Polled> polled_;  // of each in polls_
    std::vector<Event> events_;
    int waits_ = 0;  // since park_unused()
};

}  // namespace wschat
