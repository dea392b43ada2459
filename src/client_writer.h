// Sends clients what waits for them, and drops those that take too little of
// it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "client.h"
#include "connection_table.h"
#include "hub.h"
#include "net/poller.h"
#include "net/send_batch.h"
#include "settings.h"
#include "util/log.h"

namespace wschat {

/// Flushes each touched client once a turn, in batches.
class ClientWriter {
public:
    /// REQUIRES: all outlive it.
    ClientWriter(const Settings& settings, Hub& hub, Poller& poller, Log& log,
                 ConnectionTable& table);

    /// Flushes the members of all rooms with something new, and all that were
    /// touched. Keeps the backlogs of all rooms together within --max-logs.
    void flush_touched();

    /// Flushes a client in the middle of a turn.
    void flush_now(Connection& connection);

    /// Acts on Deadlines::Kind::Send: drops a client that has not taken what it
    /// must.
    void expire(Connection& connection);

private:
    void flush(const uint32_t* ids, size_t count, size_t most);
    void after_flush(const Client::Flush& flush);
    void check_backlog(Connection& connection);
    void watch(Connection& connection);
    void note_progress(Connection& connection, size_t sent);
    void set_deadline(Connection& connection);
    void drop_behind(Client& client);
    void limit_backlogs();

    const Settings& settings_;
    Hub& hub_;
    Poller& poller_;
    Log& log_;
    ConnectionTable& table_;
    SendBatch batch_;
};

}  // namespace wschat
