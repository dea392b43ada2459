// Reads what clients have sent, and decides how much of it is handled now.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

#include "client.h"
#include "client_limits.h"
#include "client_writer.h"
#include "connection_table.h"
#include "deadlines.h"
#include "input_handler.h"
#include "settings.h"

namespace wschat {

/// Clients that have sent something wait in a queue. In each turn each of them
/// has a share, and each queue a time: what is left waits for the next turn. A
/// client that sends more than its rate permits is held: it is not read until
/// it may send again.
class ClientReader {
public:
    /// REQUIRES: all outlive it.
    ClientReader(const Settings& settings, ConnectionTable& table,
                 ClientWriter& writer, InputHandler& handler);

    /// Puts a client that has sent something into a queue, unless it waits
    /// already.
    void enqueue(Connection& connection);

    /// Returns true if clients wait in a queue.
    bool has_waiting() const;

    /// Lets each client in a queue have its share, in order, until the time of
    /// the queue is over. The others are the first in the next turn.
    void serve_queues();

    /// Acts on Deadlines::Kind::Hold: ends the hold of a client.
    void resume(Connection& connection);

private:
    /// Where a client waits to be read.
    enum class Queue { Members, Heavy, Newcomers };
    static constexpr size_t kQueues = 3;

    /// How much of a turn one client may take.
    class Share;

    Queue queue_of(const Connection& connection) const;
    void read(Connection& connection);
    void read_socket(Connection& connection, Share& share);
    void process(Connection& connection, Bytes& bytes, Share& share);
    void set_message_deadline(const Connection& connection);
    void limit_own_bytes(Connection& connection);
    void charge(Connection& connection, const ClientInput& input);
    bool hold_if_over(Connection& connection);
    void make_room_for_partial();
    void note_partial(Connection& connection);

    /// Bytes that are read of a client at once; the rest waits in its socket.
    static constexpr size_t kMaxRead = 64 << 10;
    static_assert(kMaxRead >= Stream::kMinRead);

    const Settings& settings_;
    ConnectionTable& table_;
    ClientWriter& writer_;
    InputHandler& handler_;
    Limits& limits_;
    Deadlines& deadlines_;

    std::array<std::deque<uint32_t>, kQueues> queues_;  // clients to be read
    std::vector<char> buffer_;  // for what a client sends in a turn
};

}  // namespace wschat
