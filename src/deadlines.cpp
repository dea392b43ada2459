#include "deadlines.h"

#include <functional>
#include <utility>

namespace wschat {

void Deadlines::set(uint32_t client, Kind kind, Time at) {
    if (client >= times_.size()) times_.resize(client + 1);
    // An entry in the queue that is too early is corrected later. One that is
    // too late would be missed, so an earlier deadline gets an entry at once.
    const auto k = static_cast<size_t>(kind);
    times_[client].at[k] = at;
    if (at < times_[client].queued[k]) enqueue(client, kind, at);
}

void Deadlines::postpone(uint32_t client, Kind kind, Duration by) {
    if (is_set(client, kind))
        times_[client].at[static_cast<size_t>(kind)] += by;
}

void Deadlines::clear(uint32_t client, Kind kind) {
    if (client >= times_.size()) return;
    times_[client].at[static_cast<size_t>(kind)] = Time::max();
}

// The entries stay in the queue, and serve the next client of this id: so a
// flood of short connections does not fill the queue.
void Deadlines::clear(uint32_t client) {
    for (Kind kind : {Kind::Step, Kind::Send, Kind::Hold}) clear(client, kind);
}

bool Deadlines::is_set(uint32_t client, Kind kind) const {
    return client < times_.size() &&
           times_[client].at[static_cast<size_t>(kind)] != Time::max();
}

std::optional<Deadlines::Expired> Deadlines::take_expired(Time now) {
    // Without deadlines next() is Time::max(), which is not above a `now` that
    // is Time::max() too.
    if (next() > now || queue_.empty()) return std::nullopt;
    const Entry& front = queue_.top();
    clear(front.client, front.kind);
    return Expired{front.client, front.kind};
}

Time Deadlines::next() {
    discard_outdated();
    return queue_.empty() ? Time::max() : queue_.top().at;
}

void Deadlines::enqueue(uint32_t client, Kind kind, Time at) {
    times_[client].queued[static_cast<size_t>(kind)] = at;
    queue_.push({at, client, kind});
}

/// Makes the front of the queue say when the next deadline really is.
void Deadlines::discard_outdated() {
    while (!queue_.empty()) {
        const Entry front = queue_.top();
        const auto kind = static_cast<size_t>(front.kind);
        const Time at = times_[front.client].at[kind];
        Time& queued = times_[front.client].queued[kind];
        // An entry that was replaced by an earlier one is still in the queue.
        const bool is_valid = front.at == queued;
        if (is_valid && front.at == at) return;
        queue_.pop();
        if (!is_valid) continue;
        queued = Time::max();
        if (at != Time::max()) enqueue(front.client, front.kind, at);
    }
}

void PingSchedule::start(Time now, Duration interval) {
    interval_ = interval;
    next_ = now + interval;
}

Time PingSchedule::advance(Time now) {
    next_ = now + interval_;
    return std::exchange(before_last_, std::exchange(last_, now));
}

}  // namespace wschat
