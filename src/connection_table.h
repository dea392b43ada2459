// All connections that there are, what is known of each, and how each ends.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "client.h"
#include "client_limits.h"
#include "deadlines.h"
#include "hub.h"
#include "net/poller.h"
#include "settings.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/slots.h"

namespace wschat {

/// What is known of a client that has sent something lately, or is behind. Most
/// clients only listen, and have none.
struct Activity {
    // Of what it sends: see ClientReader.
    std::string input;    // was read, and waits to be handled
    uint64_t partial = 0;  // size of its unfinished message, in Partials
    Published published;
    uint64_t charged = 0;  // bytes of a message that is not complete
    Time over_since{};   // since when it has published too much
    Time held_until{};   // the end of its last hold
    bool is_over_too_long = false;

    // Of what it is sent: see ClientWriter.
    uint64_t owed = 0;  // bytes to be sent to it by owed_by
    Time owed_by = Time::max();
    Time stalls_at = Time::max();  // unless its socket takes something
};

/// A client and what belongs to its place in the loop.
struct Connection {
    Connection(Accepted accepted, const ReaderConfig& config,
               const TlsContext* tls)
        : client(std::move(accepted), config, tls) {}

    uint32_t id() const { return client.member().client_id; }

    Activity& active() {
        if (!activity) activity = std::make_unique<Activity>();
        return *activity;
    }
    bool has_input() const { return activity && !activity->input.empty(); }

    Client client;
    Time last_activity{};  // when it last showed a sign of life
    std::unique_ptr<Activity> activity;
    Poller::Handle handle = 0;
    short events = 0;         // as poll() reported them in this turn
    bool is_touched = false;  // among those that touch() has marked
    bool is_queued = false;   // in a queue of those that wait to be read
    bool is_held = false;     // not read, until its rate permits it
    bool is_connect_counted = false;  // by Limits::add_connect()
};

/// Owns the connections, and ends them: a client is closed, with a goodbye, or
/// dropped. Either way it leaves its room, is logged, becomes Gone, and is
/// destroyed when the turn ends.
class ConnectionTable {
public:
    /// The owner in the tokens of clients.
    static constexpr uint32_t kClients = 1;

    /// `descriptors` is how many the process may have. REQUIRES: all others
    /// outlive it.
    ConnectionTable(const Settings& settings, Hub& hub, Poller& poller,
                    Log& log, size_t descriptors);

    void begin_turn(Time now) { now_ = now; }

    /// When the turn began.
    Time now() const { return now_; }

    /// Takes a connection that was accepted. `use` is null if it is not
    /// counted. Its first deadline runs.
    Connection& add(Accepted accepted, const TlsContext* tls, AddressUse* use);

    bool has(uint32_t id) const { return connections_.has(id); }

    /// REQUIRES: has(id).
    Connection& operator[](uint32_t id) { return connections_[id]; }

    size_t size() const { return connections_.size(); }

    /// Calls a function with each connection.
    template <typename Function>
    void for_each(Function function) {
        for (uint32_t id = 0; id < connections_.end(); ++id)
            if (connections_.has(id)) function(connections_[id]);
    }

    Limits& limits() { return limits_; }
    Deadlines& deadlines() { return deadlines_; }

    /// Marks a client to be flushed, and destroyed if it is Gone, in this turn.
    void touch(Connection& connection);
    const std::vector<uint32_t>& touched() const { return touched_; }

    /// Answers a request, after which the connection closes. `request` is its
    /// method and target for the log; empty if it is not known.
    void respond(Client& client, const Response& response,
                 const std::string& request = "");

    /// Refuses a request for a limit that is reached.
    void refuse(Client& client, const Refusal& refusal);

    /// One line a minute for each address: a flood must not fill the log. `who`
    /// is the address, or the name_of() a client.
    void log_refusal(const std::string& who, AddressUse* use,
                     const Refusal& refusal);

    /// Closes a client that has reached a limit of what it may send.
    void close(Client& client, uint16_t code, const char* reason);

    /// Gives a client that has begun to close --close-timeout for this step.
    void start_close_timer(Client& client);

    /// Ends the membership of a client, which is not Open any more.
    void leave_room(Client& client, const std::string& reason);

    /// Ends a connection without a goodbye.
    void drop(Client& client, const std::string& reason);

    /// Destroys those that are Gone: here alone, when no loop is in the middle
    /// of them. Nothing is touched any more. Returns true if it has destroyed
    /// one. REQUIRES: all that are Gone were touched in this turn.
    bool destroy_gone();

    /// Returns how many members there are in all rooms, and which room the
    /// client is or was in, for the log.
    std::string describe_room(const Client& client) const;

private:
    const Settings& settings_;
    Hub& hub_;
    Poller& poller_;
    Log& log_;

    Slots<Connection> connections_;
    Limits limits_;
    Deadlines deadlines_;
    std::vector<uint32_t> touched_;
    uint32_t last_number_ = 0;  // of a connection
    Time now_{};
};

/// The address of a client and the number of its connection, for the log.
std::string name_of(const Client& client);

}  // namespace wschat
