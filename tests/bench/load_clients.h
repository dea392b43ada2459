// Clients in rooms, some of whom speak while all listen.
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "load_peer.h"
#include "transcript.h"

namespace wschat::bench {

/// How a room talks: its speakers in turn.
struct Talk {
    size_t messages = 0;  // how many in each room
    size_t window = 1;    // not yet received by the room's first client
    double rate = 0;      // a second, without a window; 0: as fast as it goes
};

/// All of them in one epoll loop. Whatever a server does wrong throws
/// std::runtime_error.
class LoadClients {
public:
    explicit LoadClients(const Contact& contact);

    /// Connects clients to a room of their own, named by its path, where the
    /// first so many of them speak when it talks. Nothing may be said before
    /// all are connected.
    void add_room(const std::string& path, size_t clients, size_t speakers,
                  size_t text_size);

    /// Connects clients to the first room who never read.
    void add_deaf(size_t clients);

    /// Returns when everybody in the rooms with speakers has received all.
    void talk(const Talk& talk);

    /// Nobody may have received anything more.
    void check_silence();

    /// One for each delivery of the last talk.
    const Delays& delays() const { return delays_; }

    /// Bytes that each message took on the wire in the first room.
    double bytes_a_message() const;

private:
    struct Room {
        Transcript transcript;
        std::string path;
        size_t first_client;
        size_t clients;
        size_t speakers;
        size_t quota = 0;  // messages to be said in all
    };

    struct Client {
        Peer peer;
        size_t room;
        Transcript::Place place{};
    };

    bool turn(Clock::duration patience);
    void hear(size_t client);
    size_t due(const Room& room) const;
    void speak(Room& room);
    Clock::duration until_next() const;

    Contact contact_;
    Fd epoll_;
    std::deque<Room> rooms_;
    std::deque<Client> clients_;
    std::vector<Peer> deaf_;
    std::vector<char> buffer_;
    Talk talk_;
    Clock::time_point begun_;
    Delays delays_;
};

}  // namespace wschat::bench
