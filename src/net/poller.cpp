#include "net/poller.h"

#include <algorithm>
#include <chrono>

namespace wschat {

namespace {

/// All descriptors are polled again when this many times the duration of the
/// last such poll has passed, so that these polls take a fifth of the time at
/// most.
constexpr int kPause = 4;

/// Returns how many descriptors are ready.
int poll_until(std::vector<pollfd>& polls, Time until, const sigset_t& mask) {
    timespec sleep{};
    const Time now = Clock::now();
    // `until` may be Time::min(): the difference to that would overflow.
    if (until != Time::max() && until > now) {
        const auto left = until - now;
        const auto whole =
            std::chrono::duration_cast<std::chrono::seconds>(left);
        sleep.tv_sec = static_cast<time_t>(whole.count());
        sleep.tv_nsec =
            std::chrono::duration_cast<std::chrono::nanoseconds>(left - whole)
                .count();
    }
    const bool forever = until == Time::max();
    const int count =
        ppoll(polls.data(), polls.size(), forever ? nullptr : &sleep, &mask);
    // When a signal interrupts it, ppoll() leaves the former results in place.
    if (count < 0)
        for (pollfd& entry : polls) entry.revents = 0;
    return std::max(count, 0);
}

/// poll() reports errors of each descriptor, whatever it is asked for, but
/// skips those below 0.
void set_events(pollfd& entry, short events) {
    if ((events == 0) != (entry.fd < 0)) entry.fd = ~entry.fd;
    entry.events = events;
}

}  // namespace

Poller::Handle Poller::add(int fd, short events, Token token) {
    Handle handle = static_cast<Handle>(entries_.size());
    if (free_.empty()) {
        entries_.emplace_back();
    } else {
        handle = free_.back();
        free_.pop_back();
    }
    entries_[handle] = {token, static_cast<uint32_t>(all_.size()), kNone};
    all_.push_back({fd, events, 0});
    handles_.push_back(handle);
    // A new connection most likely sends its request at once.
    if (all_.size() > kFew) {
        make_busy(handle);
        busy_.back().used = true;
    }
    return handle;
}

void Poller::remove(Handle handle) {
    mark_idle(handle);
    const uint32_t place = entries_[handle].place;
    // poll() wants an array without gaps: the last one moves to the free place.
    all_[place] = all_.back();
    handles_[place] = handles_.back();
    entries_[handles_[place]].place = place;
    all_.pop_back();
    handles_.pop_back();
    free_.push_back(handle);
    if (all_.size() >= all_.capacity() / 4) return;
    all_.shrink_to_fit();
    handles_.shrink_to_fit();
    events_.shrink_to_fit();
}

void Poller::watch(Handle handle, short events) {
    const Entry& entry = entries_[handle];
    set_events(all_[entry.place], events);
    if (entry.busy != kNone) set_events(busy_polls_[entry.busy], events);
}

void Poller::mark_idle(Handle handle) {
    const uint32_t place = entries_[handle].busy;
    if (place == kNone) return;
    busy_[place] = busy_.back();
    busy_polls_[place] = busy_polls_.back();
    entries_[busy_[place].handle].busy = place;
    busy_.pop_back();
    busy_polls_.pop_back();
    entries_[handle].busy = kNone;
}

void Poller::wait(Time until, const sigset_t& mask) {
    events_.clear();
    while (all_.size() <= kFew && !busy_.empty())
        mark_idle(busy_.back().handle);
    if (!busy_.empty() && wait_on_busy(until, mask)) return;
    wait_on_all(until, mask);
}

/// Returns false if it is time to poll all of them.
bool Poller::wait_on_busy(Time until, const sigset_t& mask) {
    if (Clock::now() >= next_all_) return false;
    if (poll_until(busy_polls_, std::min(until, next_all_), mask) == 0)
        return until < next_all_;
    for (size_t i = 0; i < busy_.size(); ++i)
        record(busy_[i].handle, busy_polls_[i].revents);
    return true;
}

void Poller::wait_on_all(Time until, const sigset_t& mask) {
    const bool may_sleep = busy_.empty();
    const Time start = Clock::now();
    poll_until(all_, may_sleep ? until : start, mask);
    const Time end = Clock::now();
    // The time of a call that slept says nothing of what polling all costs.
    if (!may_sleep) cost_ = end - start;
    next_all_ = end + kPause * cost_;
    for (size_t i = 0; i < all_.size(); ++i)
        record(handles_[i], all_[i].revents);
    drop_unused();
}

void Poller::record(Handle handle, short events) {
    if (!events) return;
    events_.push_back({entries_[handle].token, events});
    if (all_.size() <= kFew) return;
    if (entries_[handle].busy == kNone) make_busy(handle);
    busy_[entries_[handle].busy].used = true;
}

void Poller::make_busy(Handle handle) {
    entries_[handle].busy = static_cast<uint32_t>(busy_.size());
    busy_.push_back({handle, false});
    busy_polls_.push_back(all_[entries_[handle].place]);
}

/// Keeps as busy only descriptors where something happened since the last time
/// that all were polled, this time included.
void Poller::drop_unused() {
    for (size_t i = busy_.size(); i-- > 0;)
        if (!busy_[i].used) mark_idle(busy_[i].handle);
    for (Busy& busy : busy_) busy.used = false;
}

}  // namespace wschat
