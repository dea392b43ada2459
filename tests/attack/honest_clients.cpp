#include "honest_clients.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <stdexcept>

#include <sys/epoll.h>

#include "fixtures/client_frames.h"

namespace wschat::attack {

namespace {

constexpr size_t kBuffer = 256 << 10;
constexpr std::chrono::seconds kHandshakeTimeout{10};

constexpr char kWrite[] =
    R"({"type":"message","honest":%zu,"number":%zu,"at":%lld})";
constexpr char kRead[] =
    R"({"type":"message","honest":%zu,"number":%zu,"at":%lld)";

constexpr int kPing = 0x89;
constexpr int kText = 0x81;

std::string message_text(size_t sender, size_t number, Time now) {
    char text[128];
    std::snprintf(text, sizeof text, kWrite, sender, number,
                  static_cast<long long>(now.time_since_epoch().count()));
    return text;
}

/// Waits for the events of the clients until `end`.
template <typename Handle>
void wait_for_events(int epoll, Time end, Handle handle) {
    std::array<epoll_event, 256> events;
    const auto left =
        std::max(Duration::zero(), end - Clock::now()) / Duration(1);
    const timespec limit{left / 1'000'000'000, left % 1'000'000'000};
    const int n = epoll_pwait2(epoll, events.data(),
                               static_cast<int>(events.size()), &limit,
                               nullptr);
    for (int i = 0; i < n; ++i) handle(events[static_cast<size_t>(i)].data.u64);
}

}  // namespace

HonestClients::HonestClients(const Target& target)
    : epoll_(epoll_create1(EPOLL_CLOEXEC)),
      buffer_(kBuffer),
      relayed_(kSenders) {
    for (uint32_t i = 0; i < kClients; ++i) {
        clients_.push_back({Connection(target, loopback(1, i + 1))});
        add_to_epoll(i);
        clients_.back().connection.send(
            handshake(kHonestRoom, i % 2 == 0 ? kDeflate : ""));
    }
    await_responses();
    next_message_ = Clock::now();
}

void HonestClients::add_to_epoll(size_t client) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = client;
    epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, clients_[client].connection.fd(),
              &event);
}

/// Reads the responses. The announcements that may follow are frames, which
/// receive() reads.
void HonestClients::await_responses() {
    const Time end = Clock::now() + kHandshakeTimeout;
    std::vector<std::string> heads(kClients);
    size_t missing = kClients;
    while (missing > 0 && Clock::now() < end)
        wait_for_events(epoll_.get(), end, [&](size_t client) {
            Client& one = clients_[client];
            one.connection.flush();
            const std::string_view bytes = one.connection.receive(buffer_);
            std::string& head = heads[client];
            if (head == "101") return one.frames.read(bytes, [](auto) {});
            head += bytes;
            const size_t size = head.find("\r\n\r\n");
            if (!one.connection.is_open())
                throw std::runtime_error("an honest client is not admitted");
            if (size == head.npos) return;
            if (head.rfind("HTTP/1.1 101 ", 0) != 0)
                throw std::runtime_error("an honest client is refused: " +
                                         head.substr(0, head.find('\r')));
            one.frames.read(std::string_view(head).substr(size + 4),
                            [](auto) {});
            head = "101";
            --missing;
        });
    if (missing > 0)
        throw std::runtime_error("honest clients get no response");
}

void HonestClients::turn(Time end) {
    if (!stopped_) {
        send_due(Clock::now());
        end = std::min(end, next_message_);
    }
    wait_for_events(epoll_.get(), end,
                    [this](size_t client) { receive(client); });
}

void HonestClients::send_due(Time now) {
    if (now < next_message_ || dropped() == kClients) return;
    // Messages that could not be sent in time are left out: a slow machine must
    // not cause bursts of honest messages.
    next_message_ = std::max(next_message_ + kInterval, now);
    const size_t sender = next_sender_++ % kSenders;
    Client& client = clients_[sender];
    if (!client.connection.is_open()) return;
    client.connection.send(
        test::text_frame(message_text(sender, client.sent++, now)));
}

void HonestClients::receive(size_t client) {
    Client& one = clients_[client];
    one.connection.flush();
    one.frames.read(
        one.connection.receive(buffer_), [&](const ReceivedFrame& frame) {
            if (frame.first == kPing)
                one.connection.send(test::pong_frame(frame.payload));
            if (frame.first != kText) return;
            const std::string text(frame.payload);
            Message message;
            long long at = 0;
            if (std::sscanf(text.c_str(), kRead, &message.sender,
                            &message.number, &at) == 3)
                take_message(one, message, Time(Duration(at)));
        });
    if (!one.connection.is_open())
        epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, one.connection.fd(), nullptr);
}

void HonestClients::take_message(Client& client, const Message& message,
                                 Time sent) {
    const size_t position = client.received++;
    if (position == order_.size()) {
        if (message.sender >= kSenders ||
            message.number != relayed_[message.sender]++)
            error_ = "a message is lost, repeated or out of order";
        order_.push_back(message);
    }
    const Message& expected = order_[position];
    if (message.sender != expected.sender || message.number != expected.number)
        error_ = "two clients received messages in different orders";
    const std::chrono::duration<float, std::milli> delay =
        Clock::now() - sent;
    deliveries_.push_back({sent, delay.count()});
}

/// Returns how many messages each client must receive. What a dropped sender
/// has sent counts as far as it was relayed.
size_t HonestClients::expected() const {
    size_t messages = 0;
    for (size_t i = 0; i < kSenders; ++i)
        messages += clients_[i].connection.is_open() ? clients_[i].sent
                                                     : relayed_[i];
    return messages;
}

size_t HonestClients::lost() const {
    size_t missing = 0;
    const size_t each = expected();
    for (const Client& client : clients_)
        if (client.connection.is_open())
            missing += each - std::min(each, client.received);
    return missing;
}

size_t HonestClients::dropped() const {
    return static_cast<size_t>(std::count_if(
        clients_.begin(), clients_.end(),
        [](const Client& client) { return !client.connection.is_open(); }));
}

}  // namespace wschat::attack
