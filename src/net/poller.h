// poll() for very many descriptors of which few are busy. What the descriptors
// are is not known here.
#pragma once

#include <poll.h>
#include <signal.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace wschat {

/// A kept array of descriptors. The kernel looks at each one at every call,
/// which with thousands takes longer than to serve one that is busy. So those
/// where something happened lately are asked alone, and all of them, without
/// sleeping, each time a few times the cost of doing so has passed; it sleeps
/// on all of them once none is busy. So an idle descriptor that wakes up is
/// noticed within a few times the cost of one poll() on all.
class Poller {
public:
    using Clock = std::chrono::steady_clock;
    using Time = Clock::time_point;

    /// Descriptors up to this many are always asked all together.
    static constexpr size_t kFew = 256;

    /// Appends a descriptor, whose index is the former size(). It counts as
    /// busy at first.
    void add(int fd, short events);

    /// The last entry takes the place of entry i. REQUIRES: i < size().
    void remove(size_t i);

    size_t size() const { return all_.size(); }

    /// What to wait for from now on. REQUIRES: i < size().
    void watch(size_t i, short events);

    /// It will be silent for a while, most likely: it is not busy any more.
    /// REQUIRES: i < size().
    void rest(size_t i);

    /// Not to look at the descriptor again; the entry stays.
    void mute(size_t i);

    /// Sleeps until something happens, a signal that `mask` lets through comes,
    /// or it is `until`; Time::max() is never.
    void wait(Time until, const sigset_t& mask);

    /// The entries where something happened, in no particular order.
    const std::vector<size_t>& ready() const { return ready_; }

    /// What happened at entry i; 0 if nothing. REQUIRES: i < size().
    short happened(size_t i) const { return all_[i].revents; }

private:
    static constexpr uint32_t kNotBusy = UINT32_MAX;

    struct Busy {
        size_t entry = 0;
        bool used = false;  // since all were asked
    };

    void forget_ready();
    bool wait_on_busy(Time until, const sigset_t& mask);
    void wait_on_all(Time until, const sigset_t& mask);
    void note(size_t entry, short happened);
    void make_busy(size_t entry);
    void drop_slot(uint32_t slot);
    void drop_unused();

    std::vector<pollfd> all_;
    std::vector<uint32_t> slot_;  // of each entry in busy_
    std::vector<pollfd> busy_polls_;
    std::vector<Busy> busy_;  // of each of those
    std::vector<size_t> ready_;
    Clock::duration cost_{};  // of asking all
    Time next_all_{};         // when to ask all again
};

}  // namespace wschat
