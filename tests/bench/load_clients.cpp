#include "load_clients.h"

#include <algorithm>
#include <array>
#include <stdexcept>

#include <sys/epoll.h>

namespace wschat::bench {

namespace {

constexpr size_t kBuffer = 256 << 10;
constexpr size_t kHandshakes = 64;  // at a time
constexpr std::chrono::seconds kTimeout{10};

/// Connects n clients, and then reads their responses.
std::vector<Peer> connect_peers(const ConnectOptions& options,
                                const std::string& path, size_t n) {
    std::vector<Peer> peers;
    while (peers.size() < n) peers.emplace_back(options, path);
    for (Peer& peer : peers) peer.read_response();
    return peers;
}

}  // namespace

LoadClients::LoadClients(const ConnectOptions& options)
    : options_(options),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      buffer_(kBuffer) {}

void LoadClients::add_room(const std::string& path, size_t clients,
                           size_t senders, size_t text_size) {
    rooms_.push_back({Transcript(senders, text_size), path, clients_.size(),
                      clients, senders});
    for (size_t n = 0; n < clients; n += kHandshakes)
        for (Peer& peer : connect_peers(options_, path,
                                        std::min(kHandshakes, clients - n))) {
            epoll_event event{};
            event.events = EPOLLIN;
            event.data.u64 = clients_.size();
            epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, peer.fd(), &event);
            clients_.push_back({std::move(peer), rooms_.size() - 1});
        }
}

void LoadClients::add_non_reading(size_t clients) {
    while (clients-- > 0)
        for (Peer& peer : connect_peers(options_, rooms_[0].path, 1))
            non_reading_.push_back(std::move(peer));
}

void LoadClients::run(const Workload& workload) {
    workload_ = workload;
    delays_.clear();
    begun_ = Clock::now();
    size_t goal = 0;
    for (Room& room : rooms_) {
        if (room.senders == 0) continue;
        room.quota += workload.messages;
        goal += workload.messages * room.clients;
    }
    for (Room& room : rooms_) send_due(room);
    while (delays_.size() < goal) {
        const Clock::duration pause = until_next();
        if (!turn(pause) && pause == kTimeout)
            throw std::runtime_error(std::to_string(goal - delays_.size()) +
                                     " deliveries are missing");
        if (workload_.rate > 0) send_due(rooms_[0]);
    }
}

void LoadClients::check_no_more_input() {
    turn(Clock::duration::zero());
}

double LoadClients::bytes_a_message() const {
    const Transcript& transcript = rooms_[0].transcript;
    return static_cast<double>(transcript.size()) /
           static_cast<double>(transcript.sent());
}

/// Receives from all clients with input. Returns false on a timeout.
bool LoadClients::turn(Clock::duration timeout) {
    std::array<epoll_event, 512> events;
    const auto ns = std::chrono::nanoseconds(timeout).count();
    const timespec limit{ns / 1'000'000'000, ns % 1'000'000'000};
    const int n =
        epoll_pwait2(epoll_.get(), events.data(),
                     static_cast<int>(events.size()), &limit, nullptr);
    for (int i = 0; i < n; ++i)
        receive(events[static_cast<size_t>(i)].data.u64);
    return n > 0;
}

void LoadClients::receive(size_t number) {
    Client& client = clients_[number];
    Room& room = rooms_[client.room];
    room.transcript.receive(client.position, client.peer.read(buffer_),
                            delays_);
    if (number == room.first_client) send_due(room);
}

/// Returns how many messages must have been sent by now.
size_t LoadClients::due(const Room& room) const {
    const std::chrono::duration<double> passed = Clock::now() - begun_;
    const size_t now =
        workload_.rate > 0
            ? static_cast<size_t>(passed.count() * workload_.rate)
            : clients_[room.first_client].position.messages + workload_.window;
    return std::min(room.quota, now);
}

/// Sends the messages that are due. Those of a single sender are written in one
/// piece.
void LoadClients::send_due(Room& room) {
    const size_t goal = due(room);
    std::string frames;
    while (room.transcript.sent() < goal) {
        const size_t sender = room.transcript.sent() % room.senders;
        frames += room.transcript.next_message(sender);
        if (room.senders == 1 && room.transcript.sent() < goal) continue;
        clients_[room.first_client + sender].peer.write(frames);
        frames.clear();
    }
}

/// Returns how long to wait for input before the next message is due.
Clock::duration LoadClients::until_next() const {
    const size_t sent = rooms_[0].transcript.sent();
    if (workload_.rate == 0 || sent == rooms_[0].quota) return kTimeout;
    const std::chrono::duration<double> at(static_cast<double>(sent + 1) /
                                           workload_.rate);
    return std::max(
        begun_ + std::chrono::duration_cast<Clock::duration>(at) - Clock::now(),
        Clock::duration::zero());
}

}  // namespace wschat::bench
