// Clients that use the daemon as it is meant to be used: all are in one room,
// some send a short message now and then, and all must receive all of these.
// They measure how long that takes. Knows no attacks.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "connection.h"
#include "frame_reader.h"
#include "util/clock.h"

namespace wschat::attack {

constexpr char kHonestRoom[] = "/honest";

/// The addresses of honest clients begin so.
constexpr char kHonestAddresses[] = "127.0.1.";

/// A delivery: when its message was sent, and how long it took.
struct Delivery {
    Time sent;
    float milliseconds;
};

/// All honest clients, in one epoll loop. Every second one understands
/// compressed messages, as browsers do, and the others do not, as scripts.
class HonestClients {
public:
    static constexpr size_t kClients = 100;
    static constexpr size_t kSenders = 10;
    static constexpr Duration kInterval = std::chrono::milliseconds(20);

    /// Connects all clients. Throws std::runtime_error if one is not admitted.
    explicit HonestClients(const Target& target);

    /// Waits for input until `end` at most, and handles it. Sends the messages
    /// that are due unless it was told to stop().
    void turn(Time end);

    /// Sends no more messages.
    void stop() { stopped_ = true; }

    /// Returns true if each client that was not dropped has received all
    /// messages of the senders that were not dropped.
    bool has_received_all() const { return lost() == 0; }

    /// Returns how many deliveries are missing; those of clients that were
    /// dropped do not count.
    size_t lost() const;

    /// Returns how many clients the daemon has dropped.
    size_t dropped() const;

    /// Returns what the first client received that received anything wrong: a
    /// message twice, or in another order than others; empty if none did.
    const std::string& error() const { return error_; }

    /// Returns all deliveries until now.
    const std::vector<Delivery>& deliveries() const { return deliveries_; }

private:
    /// A message: the number of its sender, and which of its messages it is.
    struct Message {
        size_t sender = 0;
        size_t number = 0;
    };

    struct Client {
        Connection connection;
        FrameReader frames{};
        size_t received = 0;  // messages
        size_t sent = 0;
    };

    void await_responses();
    void add_to_epoll(size_t client);
    void send_due(Time now);
    void receive(size_t client);
    void take_message(Client& client, const Message& message, Time sent);
    size_t expected() const;

    Fd epoll_;
    std::deque<Client> clients_;
    std::vector<char> buffer_;
    // The messages in the order in which the daemon has relayed them, which the
    // first client that receives one decides.
    std::vector<Message> order_;
    std::vector<size_t> relayed_;  // of each sender: messages in order_
    std::vector<Delivery> deliveries_;
    std::string error_;
    Time next_message_;
    size_t next_sender_ = 0;
    bool stopped_ = false;
};

}  // namespace wschat::attack
