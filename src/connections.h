// All clients, from their accept to their destruction: reads, flushes, times
// out, closes. Does not look inside a message, nor decide who receives it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "client.h"
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

    /// REQUIRES: all of these outlive it.
    Connections(const Settings& settings, const RouterConfig& router, Hub& hub,
                Poller& poller, Log& log);

    void begin_turn(Time now) { now_ = now; }

    /// Takes a connection that was accepted. `tls` is null on ports without
    /// TLS.
    void add(Accepted accepted, const TlsContext* tls);

    /// Handles the events that poll() reported of a client: reads what it has
    /// sent, and marks it to be flushed.
    void serve(uint32_t id, short events);

    /// Starts closing all members with 1001. Drops other clients, but for those
    /// that are closing anyway.
    void close_all();

    /// Runs what is due, sends what waits, destroys clients that are gone.
    /// Returns true if it destroyed a client.
    bool end_turn();

    /// When end_turn() must run even if poll() reports nothing.
    Time next_event();

    /// How many connections there are, members or not.
    size_t size() const { return clients_.size(); }

private:
    /// A client and what belongs to its place in the loop.
    struct Connection {
        Connection(Accepted accepted, const ReaderConfig& config,
                   const TlsContext* tls)
            : client(std::move(accepted), config, tls) {}

        Client client;
        Time last_activity{};  // when it last showed a sign of life
        Poller::Handle handle = 0;
        short events = 0;         // as poll() reported them in this turn
        bool is_touched = false;  // among touched_
    };

    /// Acts on what a client has sent; one function for each kind of input.
    struct InputHandler;

    // Input: read() takes it from the socket, process() hands it to the
    // InputHandler, whose answers to requests go out by respond().
    void read(Connection& connection);
    void process(Client& client, Bytes bytes);
    void respond(Client& client, const Response& response);
    void limit_own_bytes(Client& client);

    // Output: a client that is touched is flushed at the end of the turn, in a
    // batch with others; after_flush() draws the conclusions.
    void touch(Connection& connection);
    void flush_touched();
    void flush(const uint32_t* ids, size_t count);
    void after_flush(const Client::Flush& flush);

    // Time.
    void run_timers();
    void ping();
    void expire(const Deadlines::Expired& expired);

    // The end: a client closes (start_close_timer) or is dropped. Either way it
    // leaves its room, is logged, and is destroyed when it is Gone.
    void start_close_timer(Client& client);
    void leave_room(Client& client, const std::string& reason);
    void drop(Client& client, const std::string& reason);
    std::string describe_room(const Client& client) const;
    bool destroy_gone();

    const Settings& settings_;
    const RouterConfig& router_;
    Hub& hub_;
    Poller& poller_;
    Log& log_;

    Slots<Connection> clients_;
    Deadlines deadlines_;
    PingSchedule pings_;
    SendBatch batch_;
    std::vector<char> buffer_;  // for what a client sends in a turn
    std::vector<uint32_t> touched_;  // clients to be flushed in this turn
    Time now_{};  // when the turn began
    bool warned_of_proxy_ = false;  // the log names --trust-proxy
};

}  // namespace wschat
