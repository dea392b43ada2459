// Clients in rooms. Some of them send messages, all of them receive.
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "load_peer.h"
#include "transcript.h"

namespace wschat::bench {

/// The messages to send in each room, by its senders in turn.
struct Workload {
    size_t messages = 0;  // in each room
    size_t window = 1;    // at most so many not received by its first client
    double rate = 0;      // a second, instead of a window; 0: no limit
};

/// All clients, in one epoll loop. An error of the server throws
/// std::runtime_error.
class LoadClients {
public:
    explicit LoadClients(const ConnectOptions& options);

    /// Connects clients to a new room with this path; the first `senders` of
    /// them send its messages. REQUIRES: run() was not called.
    void add_room(const std::string& path, size_t clients, size_t senders,
                  size_t text_size);

    /// Connects clients to the first room that never read.
    void add_non_reading(size_t clients);

    /// Sends the messages. Returns when all clients of their rooms have
    /// received them.
    void run(const Workload& workload);

    /// Throws if a client has received further bytes.
    void check_no_more_input();

    /// Returns the delay of each delivery of the last workload.
    const Delays& delays() const { return delays_; }

    /// Returns the bytes per message on the wire in the first room.
    double bytes_a_message() const;

private:
    struct Room {
        Transcript transcript;
        std::string path;
        size_t first_client;
        size_t clients;
        size_t senders;
        size_t quota = 0;  // messages to be sent in total
    };

    struct Client {
        Peer peer;
        size_t room;
        Transcript::Position position{};
    };

    bool turn(Clock::duration timeout);
    void receive(size_t client);
    size_t due(const Room& room) const;
    void send_due(Room& room);
    Clock::duration until_next() const;

    ConnectOptions options_;
    Fd epoll_;
    std::deque<Room> rooms_;
    std::deque<Client> clients_;
    std::vector<Peer> non_reading_;
    std::vector<char> buffer_;
    Workload workload_;
    Clock::time_point begun_;
    Delays delays_;
};

}  // namespace wschat::bench
