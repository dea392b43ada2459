#include "net/poller.h"

#include <algorithm>

namespace wschat {

namespace {

/// How much of its time it may spend on asking all: a fifth.
constexpr int kPause = 4;

int poll_until(std::vector<pollfd>& polls, Poller::Time until,
               const sigset_t& mask) {
    timespec sleep{};
    const auto now = Poller::Clock::now();
    // It may be Time::min(), and the difference to that would overflow.
    if (until != Poller::Time::max() && until > now) {
        const auto left = until - now;
        const auto whole =
            std::chrono::duration_cast<std::chrono::seconds>(left);
        sleep.tv_sec = static_cast<time_t>(whole.count());
        sleep.tv_nsec =
            std::chrono::duration_cast<std::chrono::nanoseconds>(left - whole)
                .count();
    }
    const bool forever = until == Poller::Time::max();
    const int count =
        ppoll(polls.data(), polls.size(), forever ? nullptr : &sleep, &mask);
    // Interrupted: the entries are as before, and say nothing of now.
    if (count < 0)
        for (pollfd& entry : polls) entry.revents = 0;
    return std::max(count, 0);
}

}  // namespace

void Poller::add(int fd, short events) {
    all_.push_back({fd, events, 0});
    slot_.push_back(kNotBusy);
    if (all_.size() <= kFew) return;
    make_busy(all_.size() - 1);
    busy_.back().used = true;
}

void Poller::remove(size_t i) {
    forget_ready();
    drop_slot(slot_[i]);
    all_[i] = all_.back();
    slot_[i] = slot_.back();
    if (slot_[i] != kNotBusy) busy_[slot_[i]].entry = i;
    all_.pop_back();
    slot_.pop_back();
    if (all_.size() >= all_.capacity() / 4) return;
    all_.shrink_to_fit();
    slot_.shrink_to_fit();
}

void Poller::watch(size_t i, short events) {
    all_[i].events = events;
    if (slot_[i] != kNotBusy) busy_polls_[slot_[i]].events = events;
}

void Poller::rest(size_t i) { drop_slot(slot_[i]); }

void Poller::mute(size_t i) {
    rest(i);
    all_[i].fd = -1;
}

void Poller::wait(Time until, const sigset_t& mask) {
    forget_ready();
    if (all_.size() <= kFew) {
        for (Busy& busy : busy_) slot_[busy.entry] = kNotBusy;
        busy_.clear();
        busy_polls_.clear();
    }
    if (!busy_.empty() && wait_on_busy(until, mask)) return;
    wait_on_all(until, mask);
}

void Poller::forget_ready() {
    for (size_t i : ready_) all_[i].revents = 0;
    ready_.clear();
}

/// False if it is time to ask all of them.
bool Poller::wait_on_busy(Time until, const sigset_t& mask) {
    if (Clock::now() >= next_all_) return false;
    if (poll_until(busy_polls_, std::min(until, next_all_), mask) == 0)
        return until < next_all_;
    for (size_t slot = 0; slot < busy_.size(); ++slot)
        note(busy_[slot].entry, busy_polls_[slot].revents);
    return true;
}

void Poller::wait_on_all(Time until, const sigset_t& mask) {
    const bool may_sleep = busy_.empty();
    const Time start = Clock::now();
    poll_until(all_, may_sleep ? until : start, mask);
    const Time end = Clock::now();
    if (!may_sleep) cost_ = end - start;
    next_all_ = end + kPause * cost_;
    for (size_t i = 0; i < all_.size(); ++i) note(i, all_[i].revents);
    drop_unused();
}

void Poller::note(size_t entry, short happened) {
    all_[entry].revents = happened;
    if (!happened) return;
    ready_.push_back(entry);
    if (all_.size() <= kFew) return;
    if (slot_[entry] == kNotBusy) make_busy(entry);
    busy_[slot_[entry]].used = true;
}

void Poller::make_busy(size_t entry) {
    slot_[entry] = static_cast<uint32_t>(busy_.size());
    busy_.push_back({entry, false});
    busy_polls_.push_back(all_[entry]);
}

void Poller::drop_slot(uint32_t slot) {
    if (slot == kNotBusy) return;
    slot_[busy_[slot].entry] = kNotBusy;
    if (slot + 1 != busy_.size()) {
        busy_[slot] = busy_.back();
        busy_polls_[slot] = busy_polls_.back();
        slot_[busy_[slot].entry] = slot;
    }
    busy_.pop_back();
    busy_polls_.pop_back();
}

/// Who did nothing since all were last asked, this time included, is idle.
void Poller::drop_unused() {
    for (size_t slot = busy_.size(); slot-- > 0;)
        if (!busy_[slot].used) drop_slot(static_cast<uint32_t>(slot));
    for (Busy& busy : busy_) busy.used = false;
}

}  // namespace wschat
