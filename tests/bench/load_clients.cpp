#include "load_clients.h"

#include <algorithm>
#include <array>
#include <stdexcept>

#include <sys/epoll.h>

namespace wschat::bench {

namespace {

constexpr size_t kBuffer = 256 << 10;
constexpr size_t kAtATime = 64;  // handshakes
constexpr std::chrono::seconds kPatience{10};

/// Up to n clients; then they take their answers.
std::vector<Peer> dial(const Contact& contact, const std::string& path,
                       size_t n) {
    std::vector<Peer> peers;
    while (peers.size() < n) peers.emplace_back(contact, path);
    for (Peer& peer : peers) peer.take_answer();
    return peers;
}

}  // namespace

LoadClients::LoadClients(const Contact& contact)
    : contact_(contact),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      buffer_(kBuffer) {}

void LoadClients::add_room(const std::string& path, size_t clients, size_t speakers,
                     size_t text_size) {
    rooms_.push_back({Transcript(speakers, text_size), path, clients_.size(),
                      clients, speakers});
    for (size_t n = 0; n < clients; n += kAtATime)
        for (Peer& peer :
             dial(contact_, path, std::min(kAtATime, clients - n))) {
            epoll_event event{};
            event.events = EPOLLIN;
            event.data.u64 = clients_.size();
            epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, peer.fd(), &event);
            clients_.push_back({std::move(peer), rooms_.size() - 1});
        }
}

void LoadClients::add_deaf(size_t clients) {
    while (clients-- > 0)
        for (Peer& peer : dial(contact_, rooms_[0].path, 1))
            deaf_.push_back(std::move(peer));
}

void LoadClients::talk(const Talk& talk) {
    talk_ = talk;
    delays_.clear();
    begun_ = Clock::now();
    size_t goal = 0;
    for (Room& room : rooms_) {
        if (room.speakers == 0) continue;
        room.quota += talk.messages;
        goal += talk.messages * room.clients;
    }
    for (Room& room : rooms_) speak(room);
    while (delays_.size() < goal) {
        const Clock::duration pause = until_next();
        if (!turn(pause) && pause == kPatience)
            throw std::runtime_error(std::to_string(goal - delays_.size()) +
                                     " deliveries never came");
        if (talk_.rate > 0) speak(rooms_[0]);
    }
}

void LoadClients::check_silence() {
    turn(Clock::duration::zero());
}

double LoadClients::bytes_a_message() const {
    const Transcript& transcript = rooms_[0].transcript;
    return static_cast<double>(transcript.size()) /
           static_cast<double>(transcript.said());
}

/// Serves those who received something. False if there are none for so long.
bool LoadClients::turn(Clock::duration patience) {
    std::array<epoll_event, 512> events;
    const auto ns = std::chrono::nanoseconds(patience).count();
    const timespec timeout{ns / 1'000'000'000, ns % 1'000'000'000};
    const int n =
        epoll_pwait2(epoll_.get(), events.data(),
                     static_cast<int>(events.size()), &timeout, nullptr);
    for (int i = 0; i < n; ++i) hear(events[static_cast<size_t>(i)].data.u64);
    return n > 0;
}

void LoadClients::hear(size_t number) {
    Client& client = clients_[number];
    Room& room = rooms_[client.room];
    room.transcript.hear(client.place, client.peer.read(buffer_), delays_);
    if (number == room.first_client) speak(room);
}

/// How many messages are to have been said by now.
size_t LoadClients::due(const Room& room) const {
    const std::chrono::duration<double> passed = Clock::now() - begun_;
    const size_t now =
        talk_.rate > 0
            ? static_cast<size_t>(passed.count() * talk_.rate)
            : clients_[room.first_client].place.messages + talk_.window;
    return std::min(room.quota, now);
}

/// One speaker's messages go out together, as far as there are several.
void LoadClients::speak(Room& room) {
    const size_t goal = due(room);
    std::string frames;
    while (room.transcript.said() < goal) {
        const size_t speaker = room.transcript.said() % room.speakers;
        frames += room.transcript.say(speaker);
        if (room.speakers == 1 && room.transcript.said() < goal) continue;
        clients_[room.first_client + speaker].peer.write(frames);
        frames.clear();
    }
}

/// How long to wait for what may be received meanwhile.
Clock::duration LoadClients::until_next() const {
    const size_t said = rooms_[0].transcript.said();
    if (talk_.rate == 0 || said == rooms_[0].quota) return kPatience;
    const std::chrono::duration<double> at(static_cast<double>(said + 1) /
                                           talk_.rate);
    return std::max(
        begun_ + std::chrono::duration_cast<Clock::duration>(at) - Clock::now(),
        Clock::duration::zero());
}

}  // namespace wschat::bench
