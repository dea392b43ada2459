#include "client_writer.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <poll.h>

namespace wschat {

namespace {

using State = Client::State;
using Kind = Deadlines::Kind;

// Bytes that a client is sent in a turn before it gives way to the others, and
// all of them together, as far as the least for each permits.
constexpr size_t kMinFlush = 64 << 10;
constexpr size_t kMaxFlush = 256 << 10;
constexpr size_t kMaxFlushed = 16 << 20;

/// How much later than it is due a deadline expires if the daemon was stopped.
constexpr std::chrono::seconds kStopped(1);

std::string seconds_text(Seconds seconds) {
    std::string text = std::to_string(seconds.count());
    text.erase(text.find_last_not_of('0') + 1);
    if (text.back() == '.') text.pop_back();
    return text + " s";
}

}  // namespace

ClientWriter::ClientWriter(const Settings& settings, Hub& hub, Poller& poller,
                           Log& log, ConnectionTable& table)
    : settings_(settings),
      hub_(hub),
      poller_(poller),
      log_(log),
      table_(table),
      batch_(settings.uring) {
    log_.debug("send method: " + batch_.method());
}

void ClientWriter::flush_touched() {
    // The list is taken before flushing: what a flush itself publishes (a
    // client that is dropped is announced) makes its room change again, for the
    // next turn.
    const std::vector<Room*> changed = hub_.take_changed();
    for (const Room* room : changed)
        for (const Member* member : room->members())
            table_.touch(table_[member->client_id]);
    const std::vector<uint32_t>& ids = table_.touched();
    const size_t most = std::clamp(
        kMaxFlushed / std::max<size_t>(ids.size(), 1), kMinFlush, kMaxFlush);
    // In batches: as many sends as one system call takes.
    for (size_t i = 0; i < ids.size(); i += SendBatch::kBatch)
        flush(&ids[i], std::min(SendBatch::kBatch, ids.size() - i), most);
    for (Room* room : changed) room->end_turn(table_.now());
    limit_backlogs();
}

void ClientWriter::flush_now(Connection& connection) {
    const uint32_t id = connection.id();
    flush(&id, 1, kMaxFlush);
}

void ClientWriter::flush(const uint32_t* ids, size_t count, size_t most) {
    std::vector<Client::Flush> flushes;
    flushes.reserve(count);
    for (size_t i = 0; i < count; ++i) {
        Connection& connection = table_[ids[i]];
        if (connection.client.state() != State::Gone &&
            connection.client.can_flush(connection.events))
            flushes.push_back(connection.client.begin_flush(most));
    }
    const bool used_ring = batch_.uses_ring();
    complete_flushes(batch_, flushes);
    if (used_ring && !batch_.uses_ring())
        log_.warning("send method: " + batch_.method());
    for (const Client::Flush& flush : flushes) after_flush(flush);
    for (size_t i = 0; i < count; ++i) {
        check_backlog(table_[ids[i]]);
        watch(table_[ids[i]]);
    }
}

/// Draws the conclusions from a flush.
void ClientWriter::after_flush(const Client::Flush& flush) {
    Client& client = *flush.client;
    Connection& connection = table_[client.member().client_id];
    const IoResult& result = flush.result;
    if (result.state == IoResult::State::Failed)
        return table_.drop(client, "left: " + result.error);
    // A socket that was full takes bytes when its peer has read some. Another
    // one takes them although the peer may be gone.
    if (flush.was_full && result.size > 0)
        connection.last_activity = table_.now();
    if (result.state == IoResult::State::Done) {
        table_.deadlines().clear(connection.id(), Kind::Send);
        if (connection.activity) connection.activity->owed = 0;
    } else if (!flush.was_blocked || result.size > 0) {
        note_progress(connection, result.size);
    }
    if (client.state() != flush.state_before) table_.start_close_timer(client);
}

/// Also while a client closes: it holds the log of its room all the same.
void ClientWriter::check_backlog(Connection& connection) {
    const Client& client = connection.client;
    if (client.backlog(table_.now()) > settings_.max_backlog)
        drop_behind(connection.client);
    else if (client.outbox().cursor().unsent() > settings_.max_backlog)
        set_deadline(connection);
}

/// Asks for the events that are awaited, but not for input while some waits to
/// be handled.
void ClientWriter::watch(Connection& connection) {
    if (connection.client.state() == State::Gone) return;
    const bool has_input = connection.is_queued || connection.is_held;
    int awaited =
        connection.client.awaited_events() & ~(has_input ? POLLIN : 0);
    // poll() reports these until the client is read.
    if (connection.is_held && (connection.events & (POLLHUP | POLLERR)))
        awaited = 0;
    poller_.watch(connection.handle, static_cast<short>(awaited));
}

/// A client that is behind must take something within --stall-timeout, and
/// within twice this time all that waits for it now: one that takes a byte now
/// and then would hold its backlog for ever.
void ClientWriter::note_progress(Connection& connection, size_t sent) {
    const Duration stall = to_duration(settings_.stall_timeout);
    Activity& activity = connection.active();
    if (activity.owed > sent) {
        activity.owed -= sent;
    } else {
        const Outbox& outbox = connection.client.outbox();
        activity.owed = outbox.cursor().unsent() + outbox.own_size();
        activity.owed_by = table_.now() + 2 * stall;
    }
    activity.stalls_at = table_.now() + stall;
    set_deadline(connection);
}

void ClientWriter::set_deadline(Connection& connection) {
    const Activity& activity = connection.active();
    Time at = std::min(activity.stalls_at, activity.owed_by);
    // A burst becomes backlog after a while, also if nothing follows it.
    if (connection.client.outbox().cursor().unsent() > settings_.max_backlog)
        at = std::min(at, table_.now() + Broadcast::kSettled);
    table_.deadlines().set(connection.id(), Kind::Send, at);
}

void ClientWriter::expire(Connection& connection) {
    Client& client = connection.client;
    Activity& activity = connection.active();
    const Time now = table_.now();
    // If this is late, the daemon itself was stopped for a while. Then the
    // flush at the end of this turn sends to those whose sockets have room.
    const Time due = std::min(activity.stalls_at, activity.owed_by);
    if ((connection.events & POLLOUT) && now > due && now - due >= kStopped) {
        activity.owed = 0;
        return note_progress(connection, 0);
    }
    if (client.backlog(now) > settings_.max_backlog)
        return drop_behind(client);
    if (activity.owed_by <= now)
        return table_.drop(client, "dropped: too slow for its backlog");
    if (activity.stalls_at <= now)
        return table_.drop(client, "dropped: send stalled for " +
                                       seconds_text(settings_.stall_timeout));
    set_deadline(connection);
}

void ClientWriter::drop_behind(Client& client) {
    table_.drop(client, "dropped: backlog of " +
                            std::to_string(client.backlog(table_.now())) +
                            " bytes");
}

/// Drops those that are furthest behind until the logs of all rooms together
/// store no more than they may.
void ClientWriter::limit_backlogs() {
    if (hub_.backlogs() <= settings_.max_logs) return;
    std::vector<std::pair<uint64_t, uint32_t>> behind;
    // Also those that close: they hold the log of their room all the same.
    table_.for_each([&behind](const Connection& connection) {
        const uint64_t unsent = connection.client.outbox().cursor().unsent();
        if (unsent > 0) behind.push_back({unsent, connection.id()});
    });
    std::sort(behind.begin(), behind.end(), std::greater<>());
    for (const auto& [unsent, id] : behind) {
        if (hub_.backlogs() <= settings_.max_logs) return;
        table_.drop(table_[id].client, "dropped: " + std::to_string(unsent) +
                                           " bytes behind, over --max-logs");
        table_.touch(table_[id]);
    }
}

}  // namespace wschat
