#include "net/poller.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <utility>

#ifdef __linux__
#include <sys/epoll.h>
#endif

namespace wschat {

namespace {

/// Returns how many descriptors are ready.
int poll_until(std::vector<pollfd>& polls, Time until, const sigset_t& mask) {
    timespec sleep{};
    // Not looked at for a time that has passed: it may be Time::min(), to which
    // the difference would overflow.
    const bool forever = until == Time::max();
    const Time now = forever ? Time() : Clock::now();
    if (!forever && until > now) {
        const auto left = until - now;
        const auto whole =
            std::chrono::duration_cast<std::chrono::seconds>(left);
        sleep.tv_sec = static_cast<time_t>(whole.count());
        sleep.tv_nsec =
            std::chrono::duration_cast<std::chrono::nanoseconds>(left - whole)
                .count();
    }
    const int count =
        ppoll(polls.data(), polls.size(), forever ? nullptr : &sleep, &mask);
    // When a signal interrupts it, ppoll() leaves the former results in place.
    if (count < 0)
        for (pollfd& entry : polls) entry.revents = 0;
    return std::max(count, 0);
}

}  // namespace

#ifdef __linux__

// The events of both have the same values.
static_assert(EPOLLIN == POLLIN && EPOLLOUT == POLLOUT && EPOLLERR == POLLERR &&
              EPOLLHUP == POLLHUP);

Poller::Poller() : set_(epoll_create1(EPOLL_CLOEXEC)) {
    polls_.push_back({set_.get(), POLLIN, 0});
    polled_.emplace_back();
}

/// Returns false if it must be polled instead.
bool Poller::park(Handle handle) {
    Entry& entry = entries_[handle];
    if (set_.get() < 0) return false;
    epoll_event event{};
    // Reported once, and then polled again: that saves the system call that
    // takes it out of the set.
    event.events = static_cast<uint32_t>(entry.events) | EPOLLONESHOT;
    event.data.u32 = handle;
    const int operation = entry.is_in_set ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    if (epoll_ctl(set_.get(), operation, entry.fd, &event) != 0) return false;
    entry.is_in_set = true;
    entry.is_parked = true;
    return true;
}

/// Polls those that are ready from now on, and records what has happened. If
/// there are more than fit in here, the next wait takes them.
void Poller::take_parked() {
    std::array<epoll_event, 512> ready;
    const int count = epoll_wait(set_.get(), ready.data(),
                                 static_cast<int>(ready.size()), 0);
    for (int i = 0; i < count; ++i) {
        const epoll_event& event = ready[static_cast<size_t>(i)];
        const Handle handle = event.data.u32;
        // One that watch() has taken out is reported once more.
        if (!entries_[handle].is_parked) continue;
        start_polling(handle);
        events_.push_back(
            {entries_[handle].token, static_cast<short>(event.events)});
    }
}

/// Else the set would report a handle that another descriptor has got, as long
/// as any copy of the old one is open.
void Poller::remove_from_set(Entry& entry) {
    if (std::exchange(entry.is_in_set, false))
        epoll_ctl(set_.get(), EPOLL_CTL_DEL, entry.fd, nullptr);
    entry.is_parked = false;
}

#else

Poller::Poller() {
    polls_.push_back({-1, 0, 0});
    polled_.emplace_back();
}

bool Poller::park(Handle) { return false; }
void Poller::take_parked() {}
void Poller::remove_from_set(Entry&) {}

#endif

Poller::Handle Poller::add(int fd, short events, Token token) {
    Handle handle = static_cast<Handle>(entries_.size());
    if (free_.empty()) {
        entries_.emplace_back();
    } else {
        handle = free_.back();
        free_.pop_back();
    }
    entries_[handle] = Entry();
    entries_[handle].token = token;
    entries_[handle].fd = fd;
    watch(handle, events);
    return handle;
}

void Poller::remove(Handle handle) {
    stop_polling(handle);
    remove_from_set(entries_[handle]);
    free_.push_back(handle);
    shrink();
}

void Poller::watch(Handle handle, short events) {
    Entry& entry = entries_[handle];
    if (events == entry.events) return;
    entry.events = events;
    if (events == 0) {
        stop_polling(handle);
        entry.is_parked = false;
    } else if (entry.place == kNone) {
        start_polling(handle);
    } else {
        polls_[entry.place].events = events;
    }
}

void Poller::wait(Time until, const sigset_t& mask) {
    events_.clear();
    if (++waits_ >= kPatience) park_unused();
    int left = poll_until(polls_, until, mask);
    for (size_t i = 1; left > 0 && i < polls_.size(); ++i) {
        if (polls_[i].revents == 0) continue;
        --left;
        polled_[i].is_used = true;
        events_.push_back(
            {entries_[polled_[i].handle].token, polls_[i].revents});
    }
    if (polls_[0].revents != 0) take_parked();
}

/// Something happened there, or is expected to.
void Poller::start_polling(Handle handle) {
    Entry& entry = entries_[handle];
    entry.is_parked = false;
    entry.place = static_cast<uint32_t>(polls_.size());
    polls_.push_back({entry.fd, entry.events, 0});
    polled_.push_back({handle, true});
}

void Poller::stop_polling(Handle handle) {
    const uint32_t place = std::exchange(entries_[handle].place, kNone);
    if (place == kNone) return;
    // poll() wants an array without gaps: the last one moves to the free place.
    // (It may be this one.)
    polls_[place] = polls_.back();
    polled_[place] = polled_.back();
    polls_.pop_back();
    polled_.pop_back();
    if (place < polls_.size()) entries_[polled_[place].handle].place = place;
}

/// Parks those where nothing happened since the last time.
void Poller::park_unused() {
    waits_ = 0;
    for (size_t i = polls_.size(); i-- > 1;)
        if (!std::exchange(polled_[i].is_used, false) &&
            park(polled_[i].handle))
            stop_polling(polled_[i].handle);
    shrink();
}

/// Gives back what a peak has taken.
void Poller::shrink() {
    constexpr size_t kSmall = 1024;
    const size_t capacity = std::max(polls_.capacity(), events_.capacity());
    if (capacity <= kSmall || polls_.size() >= capacity / 4) return;
    polls_.shrink_to_fit();
    polled_.shrink_to_fit();
    // They are still to be handed out.
    if (events_.size() < events_.capacity() / 4) events_.shrink_to_fit();
}

}  // namespace wschat
