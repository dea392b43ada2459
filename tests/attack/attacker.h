// The connections of an attacker, in one epoll loop: the verbs with which the
// attacks are written. Discards what arrives. Forgets connections that the
// daemon has ended, so that an attack opens others in their place. Knows no
// messages.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "connection.h"
#include "util/clock.h"

namespace wschat::attack {

/// What an attacker has done until now, in memory that it shares with the
/// process that measures: the attacker is killed, and can't tell it at its end.
struct Counters {
    std::atomic<uint64_t> opened{0};    // connections
    std::atomic<uint64_t> ended{0};     // by the daemon, or not accepted
    std::atomic<uint64_t> sent{0};      // bytes
    std::atomic<uint64_t> received{0};  // bytes
};

/// How strong an attack is.
struct Strength {
    uint32_t addresses = 1;    // from which connections come, in turn
    size_t connections = 500;  // for attacks whose cost is their number
};

class Attacker {
public:
    Attacker(const Target& target, const Strength& strength,
             Counters& counters);

    const Strength& strength() const { return strength_; }

    /// Sets whether connections that are opened from now on are read from.
    void set_reading(bool reading) { reading_ = reading; }

    /// Opens connections without TLS from now on.
    void speak_plain() { target_.tls = nullptr; }

    /// Opens a connection, sends it these bytes, and returns its id.
    uint64_t open(std::string_view greeting = {});

    /// Opens connections with this greeting until `count` are open.
    void keep(size_t count, std::string_view greeting);

    /// Opens one with this greeting if there is none with this id, which is
    /// changed then.
    void keep_one(uint64_t& id, std::string_view greeting);

    size_t count() const { return connections_.size(); }
    Connection* find(uint64_t id);

    /// Calls act(connection) for each connection.
    template <typename Act>
    void for_each(Act act) {
        for (auto& [id, entry] : connections_) act(entry.connection);
    }

    /// Sends the bytes on each connection, on the next one in turn, or on the
    /// one with this id, unless it has unsent bytes.
    void send_all(std::string_view bytes);
    void send_next(std::string_view bytes);
    void send_on(uint64_t id, std::string_view bytes);

    /// Resets the oldest connections until `count` are left, or those that have
    /// received something.
    void reset_all_but(size_t count);
    void reset_answered();

    /// Handles events for this time; turn() returns after the first ones.
    void wait(Duration duration);
    void turn(Duration limit);

private:
    struct Entry {
        Connection connection;
        bool reading;
        uint32_t awaited = 0;  // events
        size_t counted_sent = 0;
        size_t counted_received = 0;
    };
    using Entries = std::map<uint64_t, Entry>;  // in the order of their age

    void send(Entries::iterator entry, std::string_view bytes);
    void handle(uint64_t id, uint32_t events);
    void update(Entries::iterator entry);
    uint32_t next_address();

    Target target_;
    Strength strength_;
    Counters* counters_;
    Fd epoll_;
    Entries connections_;
    std::vector<char> buffer_;
    uint64_t next_id_ = 1;
    uint64_t last_sender_ = 0;
    uint32_t last_address_ = 0;
    bool reading_ = true;
};

}  // namespace wschat::attack
