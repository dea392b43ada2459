// All clients, from their accept to their destruction: reads, flushes, times
// out, closes. Does not look inside a message, nor decide who receives it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "client.h"
#include "client_limits.h"
#include "deadlines.h"
#include "http/router.h"
#include "hub.h"
#include "net/poller.h"
#include "net/send_batch.h"
#include "settings.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/slots.h"

namespace wschat {

/// Driven by the server once a turn of its loop: begin_turn() when poll() has
/// returned, then add() and serve() for what has happened, then end_turn().
class Connections {
public:
    /// The owner in the tokens of clients.
    static constexpr uint32_t kClients = 1;

    /// `descriptors` is how many the process may have. REQUIRES: all others
    /// outlive it.
    Connections(const Settings& settings, const RouterConfig& router, Hub& hub,
                Poller& poller, Log& log, size_t descriptors);

    void begin_turn(Time now) { now_ = now; }

    /// Takes a connection that was accepted, or closes it if there are far too
    /// many. `tls` is null on ports without TLS.
    void add(Accepted accepted, const TlsContext* tls);

    /// Notes the events that poll() reported of a client. What it has sent is
    /// read by end_turn().
    void serve(uint32_t id, short events);

    /// Starts closing all members with 1001. Drops other clients, but for those
    /// that are closing anyway.
    void close_all();

    /// Reads what clients have sent, for a limited time; runs what is due;
    /// sends what waits; destroys clients that are gone. Returns true if it
    /// destroyed a client.
    bool end_turn();

    /// When end_turn() must run even if poll() reports nothing.
    Time next_event();

    /// How many connections there are, members or not.
    size_t size() const { return clients_.size(); }

private:
    /// What is known of a client that has sent something lately, or is behind.
    /// Most clients only listen, and have none.
    struct Activity {
        std::string input;    // was read, and waits to be handled
        uint64_t partial = 0;  // size of its unfinished message, in partials_
        Published published;
        uint64_t charged = 0;  // bytes of a message that is not complete
        Time over_since{};   // since when it has published too much
        Time held_until{};   // the end of its last hold
        bool is_over_too_long = false;
        uint64_t owed = 0;   // bytes to be sent to it by owed_by
        Time owed_by = Time::max();
        Time stalls_at = Time::max();  // unless its socket takes something
    };

    /// A client and what belongs to its place in the loop.
    struct Connection {
        Connection(Accepted accepted, const ReaderConfig& config,
                   const TlsContext* tls)
            : client(std::move(accepted), config, tls) {}

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
        bool is_touched = false;  // among touched_
        bool is_queued = false;   // in a queue of those that wait to be read
        bool is_held = false;     // not read, until its rate permits it
        bool is_connect_counted = false;  // by Limits::add_connect()
    };

    /// Where a client waits to be read.
    enum class Queue { Members, Heavy, Newcomers };
    static constexpr size_t kQueues = 3;

    /// How much of a turn one client may take.
    class Share;

    /// Acts on what a client has sent; one function for each kind of input.
    struct InputHandler;

    // Input, in connections_input.cpp: clients that have sent something wait in
    // a queue. read() takes it from the socket, process() hands it to the
    // InputHandler, whose answers to requests go out by respond(). A client
    // that sends too much is held.
    void enqueue(Connection& connection);
    Queue queue_of(const Connection& connection) const;
    void serve_queues();
    void read(Connection& connection);
    void read_socket(Connection& connection, Share& share);
    void process(Connection& connection, Bytes& bytes, Share& share);
    void respond(Client& client, const Response& response);
    void refuse(Client& client, const Refusal& refusal);
    void log_refusal(const Address& address, AddressUse* use,
                     const Refusal& refusal);
    void limit_own_bytes(Client& client);
    void charge(Connection& connection, const ClientInput& input);
    bool hold_if_over(Connection& connection);
    void resume(Connection& connection);
    void set_message_deadline(Client& client);
    void make_room_for_partial();
    void note_partial(Connection& connection);

    // Output: a client that is touched is flushed at the end of the turn, in a
    // batch with others; after_flush() draws the conclusions.
    void touch(Connection& connection);
    void flush_touched();
    void flush(const uint32_t* ids, size_t count, size_t most);
    void after_flush(const Client::Flush& flush);
    void note_progress(Connection& connection, size_t sent);
    void set_send_deadline(Connection& connection);
    void limit_backlogs();

    // Time.
    void run_timers();
    void ping();
    void expire(const Deadlines::Expired& expired);
    void expire_send(Connection& connection);
    void drop_behind(Client& client);
    void forget_rest(Connection& connection);

    // The end: a client closes (start_close_timer) or is dropped. Either way it
    // leaves its room, is logged, and is destroyed when it is Gone.
    void start_close_timer(Client& client);
    void close(Connection& connection, uint16_t code, const char* reason);
    void leave_room(Client& client, const std::string& reason);
    void drop(Client& client, const std::string& reason);
    std::string describe_room(const Client& client) const;
    static std::string address_of(const Client& client) {
        return client.member().address.to_string();
    }
    bool destroy_gone();

    /// Bytes that are read of a client at once; the rest waits in its socket.
    static constexpr size_t kMaxRead = 64 << 10;
    static_assert(kMaxRead >= Stream::kMinRead);

    const Settings& settings_;
    const RouterConfig& router_;
    Hub& hub_;
    Poller& poller_;
    Log& log_;

    Slots<Connection> clients_;
    Limits limits_;
    Partials partials_;
    Deadlines deadlines_;
    PingSchedule pings_;
    SendBatch batch_;
    std::vector<char> buffer_;  // for what a client sends in a turn
    std::array<std::deque<uint32_t>, kQueues> queues_;  // clients to be read
    std::vector<uint32_t> touched_;  // clients to be flushed in this turn
    Time now_{};  // when the turn began
    bool warned_of_proxy_ = false;  // the log names --trust-proxy
};

}  // namespace wschat
