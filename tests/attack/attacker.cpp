#include "attacker.h"

#include <algorithm>
#include <array>

#include <sys/epoll.h>

namespace wschat::attack {

namespace {

constexpr size_t kBuffer = 256 << 10;

/// Connections that are opened without a turn, and so without an accept() of
/// the daemon, between them. The kernel lets a few thousand wait.
constexpr size_t kOpenAtOnce = 64;

}  // namespace

Attacker::Attacker(const Target& target, const Strength& strength,
                   Counters& counters)
    : target_(target),
      strength_(strength),
      counters_(&counters),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      buffer_(kBuffer) {}

uint32_t Attacker::next_address() {
    last_address_ = last_address_ % strength_.addresses + 1;
    return loopback(2, last_address_);
}

uint64_t Attacker::open(std::string_view greeting) {
    const uint64_t id = next_id_++;
    const auto size =
        reading_ ? Connection::Buffer::Usual : Connection::Buffer::Small;
    const auto entry =
        connections_
            .emplace(id,
                     Entry{Connection(target_, next_address(), size), reading_})
            .first;
    ++counters_->opened;
    Connection& connection = entry->second.connection;
    connection.reset_at_end();
    epoll_event event{};
    event.data.u64 = id;
    epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, connection.fd(), &event);
    send(entry, greeting);
    return id;
}

void Attacker::keep(size_t count, std::string_view greeting) {
    size_t missing = count - std::min(count, connections_.size());
    while (missing > 0) {
        const size_t n = std::min(missing, kOpenAtOnce);
        for (size_t i = 0; i < n; ++i) open(greeting);
        turn(Duration::zero());
        missing -= n;
    }
}

void Attacker::keep_one(uint64_t& id, std::string_view greeting) {
    if (!find(id)) id = open(greeting);
}

Connection* Attacker::find(uint64_t id) {
    const auto entry = connections_.find(id);
    return entry == connections_.end() ? nullptr : &entry->second.connection;
}

void Attacker::send(Entries::iterator entry, std::string_view bytes) {
    Connection& connection = entry->second.connection;
    if (!connection.has_unsent()) connection.send(bytes);
    update(entry);
}

void Attacker::send_all(std::string_view bytes) {
    for (auto entry = connections_.begin(); entry != connections_.end();)
        send(entry++, bytes);
}

void Attacker::send_next(std::string_view bytes) {
    auto entry = connections_.upper_bound(last_sender_);
    if (entry == connections_.end()) entry = connections_.begin();
    if (entry == connections_.end()) return;
    last_sender_ = entry->first;
    send(entry, bytes);
}

void Attacker::send_on(uint64_t id, std::string_view bytes) {
    const auto entry = connections_.find(id);
    if (entry != connections_.end()) send(entry, bytes);
}

void Attacker::reset_all_but(size_t count) {
    while (connections_.size() > count)
        connections_.erase(connections_.begin());
}

void Attacker::reset_answered() {
    for (auto entry = connections_.begin(); entry != connections_.end();)
        entry = entry->second.connection.received() > 0
                    ? connections_.erase(entry)
                    : std::next(entry);
}

void Attacker::wait(Duration duration) {
    const Time end = Clock::now() + duration;
    do turn(std::max(Duration::zero(), end - Clock::now()));
    while (Clock::now() < end);
}

void Attacker::turn(Duration limit) {
    std::array<epoll_event, 512> events;
    const auto ns = limit / Duration(1);
    const timespec timeout{ns / 1'000'000'000, ns % 1'000'000'000};
    const int n =
        epoll_pwait2(epoll_.get(), events.data(),
                     static_cast<int>(events.size()), &timeout, nullptr);
    for (int i = 0; i < n; ++i)
        handle(events[static_cast<size_t>(i)].data.u64,
               events[static_cast<size_t>(i)].events);
}

void Attacker::handle(uint64_t id, uint32_t events) {
    const auto entry = connections_.find(id);
    if (entry == connections_.end()) return;
    Connection& connection = entry->second.connection;
    connection.flush();
    if (entry->second.reading) connection.receive(buffer_);
    // One that does not read would never hear of its end otherwise.
    const bool has_ended = !entry->second.reading &&
                           (events & (EPOLLHUP | EPOLLERR | EPOLLRDHUP)) != 0;
    if (has_ended) connection.abandon();
    update(entry);
}

/// Counts the bytes that were moved, and awaits the next event of an open
/// connection. Forgets one that has ended.
void Attacker::update(Entries::iterator at) {
    Entry& entry = at->second;
    const Connection& connection = entry.connection;
    counters_->sent += connection.sent() - entry.counted_sent;
    counters_->received += connection.received() - entry.counted_received;
    entry.counted_sent = connection.sent();
    entry.counted_received = connection.received();
    if (!connection.is_open()) {
        ++counters_->ended;
        connections_.erase(at);
        return;
    }
    epoll_event event{};
    event.events = (entry.reading ? EPOLLIN : EPOLLRDHUP) |
                   (connection.has_unsent() ? EPOLLOUT : 0u);
    event.data.u64 = at->first;
    if (event.events == entry.awaited) return;
    entry.awaited = event.events;
    epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, connection.fd(), &event);
}

}  // namespace wschat::attack
