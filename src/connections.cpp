#include "connections.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <utility>

#include <poll.h>

#include "room/server_messages.h"

namespace wschat {

namespace {

using State = Client::State;
using Kind = Deadlines::Kind;

// Bytes that a client is sent in a turn before it gives way to the others, and
// all of them together, as far as the least for each permits.
constexpr size_t kMinFlush = 64 << 10;
constexpr size_t kMaxFlush = 256 << 10;
constexpr size_t kMaxFlushed = 16 << 20;

/// Bytes for a client alone, above which it is dropped: one that sends pings
/// and reads no pongs must not fill the memory.
constexpr size_t kMaxOwn = 64 << 10;

/// How much later than it is due a deadline expires if the daemon was stopped.
constexpr std::chrono::seconds kStopped(1);

std::string seconds_text(Seconds seconds) {
    std::string text = std::to_string(seconds.count());
    text.erase(text.find_last_not_of('0') + 1);
    if (text.back() == '.') text.pop_back();
    return text + " s";
}

}  // namespace

Connections::Connections(const Settings& settings, const RouterConfig& router,
                         Hub& hub, Poller& poller, Log& log,
                         size_t descriptors)
    : settings_(settings),
      router_(router),
      hub_(hub),
      poller_(poller),
      log_(log),
      limits_(settings.limits, settings.trusted_proxies, descriptors),
      batch_(settings.uring),
      buffer_(kMaxRead) {
    log_.debug("send method: " + batch_.method());
}

void Connections::add(Accepted accepted, const TlsContext* tls) {
    const Address peer = accepted.peer;
    log_.debug(peer.to_string() + " accepted");
    // The address of the client itself may only be known with its request.
    AddressUse* const use = limits_.is_counted(peer, peer.is_local())
                                ? &limits_.add_client(peer)
                                : nullptr;
    Refusal refusal;
    if (limits_.is_beyond_refusal(size() + 1, use))
        refusal = limits_.find_refusal(size() + 1, use);
    else if (use && tls)
        refusal = limits_.add_connect(*use, now_);
    if (refusal) {
        if (use) Limits::remove_client(*use);
        return log_refusal(peer, use, refusal);
    }
    const int fd = accepted.fd.get();
    // Only reading is awaited: there is nothing to send before a request.
    const uint32_t id =
        clients_.add(std::move(accepted), settings_.reader_config, tls);
    Connection& connection = clients_[id];
    connection.client.member().client_id = id;
    connection.client.member().use = use;
    connection.is_connect_counted = use && tls;
    connection.handle = poller_.add(fd, POLLIN, {kClients, id});
    connection.last_activity = now_;
    deadlines_.set(id, Kind::Step,
                   now_ + to_duration(settings_.handshake_timeout));
}

void Connections::serve(uint32_t id, short events) {
    Connection& connection = clients_[id];
    connection.events = events;
    touch(connection);
    if (connection.client.can_read(events) && !connection.is_held)
        enqueue(connection);
}

// Output

/// Before a client is dropped for its unsent own bytes, its socket is tried: a
/// client that sends many pings at once may well read the pongs.
void Connections::limit_own_bytes(Client& client) {
    if (client.outbox().own_size() <= kMaxOwn) return;
    flush(&client.member().client_id, 1, kMaxFlush);
    if (client.state() != State::Gone && client.outbox().own_size() > kMaxOwn)
        drop(client, "dropped: reply buffer full");
}

/// Marks a client to be flushed, and destroyed if it is gone, in this turn.
void Connections::touch(Connection& connection) {
    if (!std::exchange(connection.is_touched, true))
        touched_.push_back(connection.client.member().client_id);
}

void Connections::flush_touched() {
    // The list is taken before flushing: what a flush itself publishes (a
    // client that is dropped is announced) makes its room change again, for the
    // next turn.
    const std::vector<Room*> changed = hub_.take_changed();
    for (const Room* room : changed)
        for (const Member* member : room->members())
            touch(clients_[member->client_id]);
    const size_t most = std::clamp(
        kMaxFlushed / std::max<size_t>(touched_.size(), 1), kMinFlush,
        kMaxFlush);
    // In batches: as many sends as one system call takes.
    for (size_t i = 0; i < touched_.size(); i += SendBatch::kBatch)
        flush(&touched_[i], std::min(SendBatch::kBatch, touched_.size() - i),
              most);
    for (Room* room : changed) room->end_turn(now_);
    limit_backlogs();
}

/// Drops those that are furthest behind until the logs of all rooms together
/// store no more than they may.
void Connections::limit_backlogs() {
    if (hub_.backlogs() <= settings_.max_logs) return;
    std::vector<std::pair<uint64_t, uint32_t>> behind;
    for (uint32_t id = 0; id < clients_.end(); ++id) {
        if (!clients_.has(id)) continue;
        // Also while it closes: it holds the log of its room all the same.
        const uint64_t unsent =
            clients_[id].client.outbox().cursor().unsent();
        if (unsent > 0) behind.push_back({unsent, id});
    }
    std::sort(behind.begin(), behind.end(), std::greater<>());
    for (const auto& [unsent, id] : behind) {
        if (hub_.backlogs() <= settings_.max_logs) return;
        drop(clients_[id].client, "dropped: " + std::to_string(unsent) +
                                      " bytes behind, over --max-logs");
        touch(clients_[id]);
    }
}

void Connections::flush(const uint32_t* ids, size_t count, size_t most) {
    std::vector<Client::Flush> flushes;
    flushes.reserve(count);
    for (size_t i = 0; i < count; ++i) {
        Connection& connection = clients_[ids[i]];
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
        Connection& connection = clients_[ids[i]];
        Client& client = connection.client;
        // Also while it closes: it holds the log of its room all the same.
        if (client.backlog(now_) > settings_.max_backlog)
            drop_behind(client);
        else if (client.outbox().cursor().unsent() > settings_.max_backlog)
            set_send_deadline(connection);
        if (client.state() == State::Gone) continue;
        // It is not asked for more input while some waits to be handled.
        const bool has_input = connection.is_queued || connection.is_held;
        const int awaited = client.awaited_events() & ~(has_input ? POLLIN : 0);
        poller_.watch(connection.handle, static_cast<short>(awaited));
    }
}

void Connections::after_flush(const Client::Flush& flush) {
    Client& client = *flush.client;
    const uint32_t id = client.member().client_id;
    const IoResult& result = flush.result;
    if (result.state == IoResult::State::Failed)
        return drop(client, "left: " + result.error);
    // A socket that was full takes bytes when its peer has read some. Another
    // one takes them although the peer may be gone.
    if (flush.was_full && result.size > 0) clients_[id].last_activity = now_;
    if (result.state == IoResult::State::Done) {
        deadlines_.clear(id, Kind::Send);
        if (clients_[id].activity) clients_[id].activity->owed = 0;
    } else if (!flush.was_blocked || result.size > 0) {
        note_progress(clients_[id], result.size);
    }
    if (client.state() != flush.state_before) start_close_timer(client);
}

/// A client that is behind must take something within --stall-timeout, and
/// within twice this time all that waits for it now: one that takes a byte now
/// and then would hold its backlog for ever.
void Connections::note_progress(Connection& connection, size_t sent) {
    const Duration stall = to_duration(settings_.stall_timeout);
    Activity& activity = connection.active();
    if (activity.owed > sent) {
        activity.owed -= sent;
    } else {
        const Outbox& outbox = connection.client.outbox();
        activity.owed = outbox.cursor().unsent() + outbox.own_size();
        activity.owed_by = now_ + 2 * stall;
    }
    activity.stalls_at = now_ + stall;
    set_send_deadline(connection);
}

void Connections::set_send_deadline(Connection& connection) {
    const Client& client = connection.client;
    const Activity& activity = connection.active();
    Time at = std::min(activity.stalls_at, activity.owed_by);
    // A burst becomes backlog after a while, also if nothing follows it.
    if (client.outbox().cursor().unsent() > settings_.max_backlog)
        at = std::min(at, now_ + Broadcast::kSettled);
    deadlines_.set(client.member().client_id, Kind::Send, at);
}

// Time

bool Connections::end_turn() {
    serve_queues();
    run_timers();
    flush_touched();
    return destroy_gone();
}

Time Connections::next_event() {
    // What the last flush itself has published is sent at once.
    if (hub_.has_changed()) return now_;
    for (const auto& queue : queues_)
        if (!queue.empty()) return now_;
    return std::min({deadlines_.next(), pings_.next(), hub_.next_timer()});
}

void Connections::run_timers() {
    while (const auto expired = deadlines_.take_expired(now_))
        expire(*expired);
    if (now_ >= pings_.next()) ping();
    hub_.run_timers();
}

void Connections::ping() {
    const Time alive_since = pings_.advance(now_);
    if (hub_.members() == 0) pings_.stop();
    for (uint32_t id = 0; id < clients_.end(); ++id) {
        if (!clients_.has(id)) continue;
        Connection& connection = clients_[id];
        forget_rest(connection);
        // A client that is Open may be silent for ever, and its peer may have
        // vanished without a word. What one that is held sends is not read.
        if (connection.client.state() != State::Open || connection.is_held ||
            connection.last_activity > alive_since)
            continue;
        drop(connection.client, "dropped: ping timeout");
        touch(connection);
    }
    hub_.ping();
}

void Connections::expire(const Deadlines::Expired& expired) {
    Connection& connection = clients_[expired.client];
    Client& client = connection.client;
    touch(connection);
    if (client.state() == State::Gone) return;
    if (expired.kind == Kind::Hold) {
        if (connection.is_held) resume(connection);
        return;
    }
    if (expired.kind == Kind::Send) return expire_send(connection);
    if (client.state() == State::ReadingHead && !client.can_send()) {
        // Before the TLS handshake is complete, no response can be sent.
        client.drop();
        log_.about_client(address_of(client),
                          "refused: TLS handshake not complete in time");
    } else if (client.state() <= State::ReadingBody) {
        respond(client, error_response(408, "request not complete in time"));
    } else if (client.state() == State::Raw) {
        close(connection, kClosePolicyViolation,
              "JSON object not complete in time");
    } else if (client.state() == State::Open) {
        close(connection, kClosePolicyViolation,
              "message not complete in time");
    } else {
        client.drop();
    }
}

void Connections::expire_send(Connection& connection) {
    Client& client = connection.client;
    Activity& activity = connection.active();
    // If this is late, the daemon itself was stopped for a while. Then the
    // flush at the end of this turn sends to those whose sockets have room.
    const Time due = std::min(activity.stalls_at, activity.owed_by);
    if ((connection.events & POLLOUT) && now_ > due &&
        now_ - due >= kStopped) {
        activity.owed = 0;
        return note_progress(connection, 0);
    }
    if (client.backlog(now_) > settings_.max_backlog)
        return drop_behind(client);
    if (activity.owed_by <= now_)
        return drop(client, "dropped: too slow for its backlog");
    if (activity.stalls_at <= now_)
        return drop(client, "dropped: send stalled for " +
                                seconds_text(settings_.stall_timeout));
    set_send_deadline(connection);
}

void Connections::drop_behind(Client& client) {
    drop(client, "dropped: backlog of " +
                     std::to_string(client.backlog(now_)) + " bytes");
}

/// Frees what is known of a client that has been silent for a while.
void Connections::forget_rest(Connection& connection) {
    const Activity* activity = connection.activity.get();
    if (activity && activity->input.empty() && activity->partial == 0 &&
        activity->owed == 0 && !connection.is_held &&
        activity->published.messages.is_full(now_) &&
        activity->published.bytes.is_full(now_))
        connection.activity.reset();
}

// Closing

/// Gives a client that has begun to close --close-timeout for this step.
void Connections::start_close_timer(Client& client) {
    const uint32_t id = client.member().client_id;
    deadlines_.clear(id, Kind::Send);
    deadlines_.clear(id, Kind::Hold);
    deadlines_.set(id, Kind::Step, now_ + to_duration(settings_.close_timeout));
    // It is read again, so that the peer can finish sending.
    if (std::exchange(clients_[id].is_held, false)) enqueue(clients_[id]);
}

/// Closes a client that has reached a limit of what it may send.
void Connections::close(Connection& connection, uint16_t code,
                        const char* reason) {
    Client& client = connection.client;
    const bool is_raw = client.state() == State::Raw;
    if (is_raw) client.tell(error_notice(reason));
    client.close(is_raw ? "" : encode_close(code, reason));
    start_close_timer(client);
    const std::string line =
        "closed: " + std::to_string(code) + ": " + reason;
    if (client.member().entry) return leave_room(client, line);
    log_.about_client(address_of(client), line);
}

/// Ends the membership of a client, which is not Open any more.
void Connections::leave_room(Client& client, const std::string& reason) {
    hub_.leave(client.member());
    log_.about_client(address_of(client), reason + describe_room(client));
}

/// Ends a connection without a goodbye.
void Connections::drop(Client& client, const std::string& reason) {
    const bool was_open = client.state() == State::Open;
    client.drop();
    deadlines_.clear(client.member().client_id);
    if (was_open)
        leave_room(client, reason);
    else
        log_.debug(address_of(client) + " " + reason);
}

void Connections::close_all() {
    hub_.stop_announcing();
    pings_.stop();
    // No deadlines are set here: the server itself ends after --close-timeout.
    // Those of Hold mean nothing any more.
    for (uint32_t id = 0; id < clients_.end(); ++id) {
        if (!clients_.has(id)) continue;
        Client& client = clients_[id].client;
        if (client.state() == State::Open) {
            hub_.leave(client.member());
            client.close(encode_close(kCloseGoingAway, "server is stopping"));
        } else if (client.accepts_input()) {
            client.drop();
        }
        // Else the close frame of its peer would not be read.
        if (std::exchange(clients_[id].is_held, false)) enqueue(clients_[id]);
        touch(clients_[id]);
    }
}

/// Returns how many members there are in all rooms, and which room the client
/// is or was in, for the log.
std::string Connections::describe_room(const Client& client) const {
    std::string text = " (" + describe_members(hub_.members()) + ")";
    if (settings_.rooms) text += " in " + client.member().entry->room.name();
    return text;
}

/// Destroys clients here alone, when no loop is in the middle of them. All that
/// are gone were touched in this turn.
bool Connections::destroy_gone() {
    bool is_any_gone = false;
    for (uint32_t id : touched_) {
        Connection& connection = clients_[id];
        connection.is_touched = false;
        connection.events = 0;
        if (connection.client.state() != State::Gone) continue;
        is_any_gone = true;
        Member& member = connection.client.member();
        hub_.release(member);
        if (member.use) Limits::remove_client(*member.use);
        if (connection.activity)
            partials_.set(id, connection.activity->partial, 0);
        deadlines_.clear(id);
        poller_.remove(connection.handle);
        clients_.remove(id);
    }
    touched_.clear();
    limits_.forget_unused(now_);
    return is_any_gone;
}

}  // namespace wschat
