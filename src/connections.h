// All clients, from their accept to their destruction: who is read, flushed or
// late in a turn, in which order. Does not look inside a message, nor decide
// who receives it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "client_reader.h"
#include "client_writer.h"
#include "connection_table.h"
#include "deadlines.h"
#include "http/router.h"
#include "hub.h"
#include "input_handler.h"
#include "net/poller.h"
#include "settings.h"
#include "util/clock.h"
#include "util/log.h"

namespace wschat {

/// Driven by the server once a turn of its loop: begin_turn() when poll() has
/// returned, then add() and serve() for what has happened, then end_turn().
class Connections {
public:
    /// The owner in the tokens of clients.
    static constexpr uint32_t kClients = ConnectionTable::kClients;

    /// `descriptors` is how many the process may have. REQUIRES: all others
    /// outlive it.
    Connections(const Settings& settings, const RouterConfig& router, Hub& hub,
                Poller& poller, Log& log, size_t descriptors);

    void begin_turn(Time now) { table_.begin_turn(now); }

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
    size_t size() const { return table_.size(); }

private:
    void run_timers();
    void ping();
    void expire(const Deadlines::Expired& expired);
    void expire_step(Client& client);
    void forget_rest(Connection& connection);

    const Settings& settings_;
    Hub& hub_;
    Log& log_;
    PingSchedule pings_;

    ConnectionTable table_;
    ClientWriter writer_;
    InputHandler handler_;
    ClientReader reader_;
};

}  // namespace wschat
