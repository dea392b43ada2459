#include "connections.h"

#include <algorithm>
#include <utility>

#include <poll.h>

#include "room/server_messages.h"

namespace wschat {

namespace {

using State = Client::State;
using Kind = Deadlines::Kind;

/// Bytes that are read of a client at once; the rest waits in its socket.
constexpr size_t kMaxRead = 64 << 10;
static_assert(kMaxRead >= Stream::kMinRead);

// What one client may take of a turn: so many bytes of inflated messages, which
// may arrive in a thousandth of them, or so much time. The rest of its input
// waits for the next turn.
constexpr int64_t kMaxInflated = 256 << 10;
constexpr std::chrono::milliseconds kMaxClientTime(1);

/// A message counts for so many bytes more, because the smallest has its cost
/// too.
constexpr int64_t kMessageCost = 64;

/// The time is looked at again after so many bytes: that costs as much as a
/// small message.
constexpr int64_t kBytesBetweenLooks = 16 << 10;

// What all clients together may take of a turn, before what they have caused is
// sent and poll() is asked again. Each queue has a time of its own, so that none
// keeps the others waiting. Members that have published much lately wait in one
// of their own: one large message costs as much as thousands of small ones.
constexpr std::chrono::milliseconds kMaxTime[] = {
    std::chrono::milliseconds(4),   // Queue::Members
    std::chrono::milliseconds(1),   // Queue::Heavy
    std::chrono::milliseconds(2)};  // Queue::Newcomers

// Bytes that a client is sent in a turn before it gives way to the others, and
// all of them together, as far as the least for each permits.
constexpr size_t kMinFlush = 64 << 10;
constexpr size_t kMaxFlush = 256 << 10;
constexpr size_t kMaxFlushed = 16 << 20;

/// A string of a size below this has no memory of its own, or not much.
constexpr uint64_t kMinPartial = 64;

/// Bytes for a client alone, above which it is dropped: one that sends pings
/// and reads no pongs must not fill the memory.
constexpr size_t kMaxOwn = 64 << 10;

/// How long a client may publish more than its rate permits without a pause.
constexpr std::chrono::seconds kMaxOver(30);

/// What counts as a pause.
constexpr std::chrono::seconds kPause(1);

std::string seconds_text(Seconds seconds) {
    std::string text = std::to_string(seconds.count());
    text.erase(text.find_last_not_of('0') + 1);
    if (text.back() == '.') text.pop_back();
    return text + " s";
}

/// Returns how many bytes of messages this is.
uint64_t size_of(const ClientInput& input) {
    if (const auto* message = std::get_if<input::Message>(&input))
        return message->text.size();
    if (const auto* part = std::get_if<input::Inflating>(&input))
        return part->size;
    return 0;
}

std::string address_of(const Client& client) {
    return client.member().address.to_string();
}

}  // namespace

class Connections::Share {
public:
    /// Takes what a message costs. Returns false if the share is used up.
    bool take(size_t bytes) {
        left_ -= static_cast<int64_t>(bytes) + kMessageCost;
        if (left_ <= 0) return false;
        if (left_ > next_look_) return true;
        next_look_ = left_ - kBytesBetweenLooks;
        return Clock::now() < until_;
    }

private:
    int64_t left_ = kMaxInflated;
    int64_t next_look_ = kMaxInflated - kBytesBetweenLooks;
    Time until_ = Clock::now() + kMaxClientTime;
};

// Input

struct Connections::InputHandler {
    Connections& self;
    Connection& connection;
    Client& client = connection.client;

    void operator()(const input::RequestHead& request) {
        const Route to = route(*request.head, request.peer, self.router_);
        Member& member = client.member();
        member.address = to.client.address;
        warn_of_untrusted_proxy(to.client);
        // The peer was counted, unless it speaks for others or for this
        // machine.
        if (!member.use &&
            self.limits_.is_counted(member.address, to.client.is_local))
            member.use = &self.limits_.add_client(member.address);
        if (const Refusal refusal =
                self.limits_.find_refusal(self.size(), member.use))
            return self.refuse(client, refusal);
        std::visit(*this, to.action);
    }

    // What the router decides on a request.

    void operator()(const Respond& respond) {
        self.respond(client, respond.response);
    }

    void operator()(const ExpectBody& expected) {
        client.expect_body(expected);
    }

    void operator()(const Upgrade& upgrade) {
        Member& member = client.member();
        if (member.use && !connection.is_connect_counted)
            if (const Refusal refusal =
                    self.limits_.add_connect(*member.use, self.now_))
                return self.refuse(client, refusal);
        member.v1 = upgrade.agreement.v1;
        member.grants.may_send_system = self.settings_.relay_system;
        const bool is_first = self.hub_.members() == 0;
        const bool deflated =
            upgrade.agreement.compression.server_may_deflate;
        const Joined joined =
            self.hub_.join(member, client.outbox().cursor(),
                           {upgrade.room, upgrade.resume, deflated});
        if (joined.refusal)
            return self.refuse(client, {503, joined.refusal});
        client.upgrade(upgrade, joined.hello);
        self.deadlines_.clear(member.client_id, Kind::Step);
        if (is_first && self.settings_.ping_interval.count() > 0)
            self.pings_.start(self.now_,
                              to_duration(self.settings_.ping_interval));
        // Most clients that have joined listen for a while.
        self.poller_.mark_idle(connection.handle);
        self.log_.about_client(address_of(client),
                               "joined" + self.describe_room(client));
    }

    // Other input.

    void operator()(const input::TlsRequired&) {
        self.respond(client,
                     error_response(400, "this port speaks TLS: use https"));
    }

    void operator()(const input::RequestBody& body) {
        self.respond(client, self.hub_.publish(body.request));
    }

    void operator()(const input::RawJsonBegun&) {
        client.member().grants.may_send_system = true;
        self.deadlines_.clear(client.member().client_id, Kind::Step);
        self.log_.debug(address_of(client) + " sends raw JSON");
    }

    void operator()(const input::Message& message) {
        // The next message has a time of its own.
        self.deadlines_.clear(client.member().client_id, Kind::Step);
        const std::string reply =
            self.hub_.submit(client.member(), message.text);
        if (!reply.empty()) client.tell(reply);
    }

    void operator()(const input::PeerClosed& close) {
        self.start_close_timer(client);
        self.leave_room(client, close.code == kCloseNoStatus
                                    ? "left: closed without a code"
                                    : "left: closed with " +
                                          std::to_string(close.code));
    }

    void operator()(const input::ProtocolError& error) {
        self.start_close_timer(client);
        if (client.member().entry)
            return self.leave_room(client, "closed: protocol error " +
                                               std::to_string(error.code) +
                                               ": " + error.reason);
        self.log_.about_client(address_of(client),
                               std::string("refused: ") + error.reason);
        client.tell(error_notice(error.reason));
    }

    void operator()(const input::ControlFrame&) {}
    void operator()(const input::Inflating&) {}
    void operator()(const input::NeedMore&) {}

    void end_of_input() {
        const bool was_open = client.state() == State::Open;
        if (client.accepts_input() && client.is_inside_object())
            client.tell(error_notice("connection closed inside a JSON object"));
        client.end_of_input();
        if (client.state() == State::Closing) self.start_close_timer(client);
        if (was_open) self.leave_room(client, "left: connection ended");
    }

private:
    /// X-Forwarded-For from a local peer that is not trusted usually means that
    /// --trust-proxy was forgotten.
    void warn_of_untrusted_proxy(const ClientAddress& from) {
        if (!from.ignored_forwarded_for ||
            std::exchange(self.warned_of_proxy_, true))
            return;
        self.log_.warning(
            from.address.to_string() +
            " sends X-Forwarded-For, which is ignored without --trust-proxy=" +
            (from.address.is_unix() ? "unix" : "loopback"));
    }
};

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

void Connections::enqueue(Connection& connection) {
    if (std::exchange(connection.is_queued, true)) return;
    queues_[static_cast<size_t>(queue_of(connection))].push_back(
        connection.client.member().client_id);
}

Connections::Queue Connections::queue_of(const Connection& connection) const {
    const Client& client = connection.client;
    if (client.state() != State::Open && client.state() != State::Raw)
        return Queue::Newcomers;
    const AddressUse* use = client.member().use;
    const bool is_heavy =
        use && (limits_.has_published_much(*use, now_) ||
                (connection.activity &&
                 limits_.has_published_much(connection.activity->published,
                                            now_)));
    return is_heavy ? Queue::Heavy : Queue::Members;
}

/// Lets each client in a queue have its share, in order, until the time is over.
/// The others are the first in the next turn.
void Connections::serve_queues() {
    for (size_t i = 0; i < queues_.size(); ++i) {
        std::deque<uint32_t>& queue = queues_[i];
        const Time until = Clock::now() + kMaxTime[i];
        // Those that come back meanwhile go on in the next turn.
        for (size_t left = queue.size(); left > 0; --left) {
            const uint32_t id = queue.front();
            queue.pop_front();
            // It may have been destroyed, and its id belong to another one.
            if (!clients_.has(id) || !clients_[id].is_queued) continue;
            clients_[id].is_queued = false;
            read(clients_[id]);
            if (Clock::now() >= until) break;
        }
    }
}

/// Takes what was read before and waits still, else what the socket has.
void Connections::read(Connection& connection) {
    Client& client = connection.client;
    if (client.state() == State::Gone) return;
    touch(connection);
    // The others of its address may have used up what they have together.
    if (client.accepts_input() && hold_if_over(connection)) return;
    make_room_for_partial();
    Share share;
    if (connection.has_input()) {
        std::string& input = connection.activity->input;
        Bytes bytes{input.data(), input.size()};
        process(connection, bytes, share);
        input.erase(0, input.size() - bytes.size);
        if (input.empty()) release(input);
    } else {
        read_socket(connection, share);
    }
    note_partial(connection);
    if (!connection.is_held && client.state() != State::Gone &&
        (connection.has_input() || client.has_more()))
        enqueue(connection);
}

void Connections::read_socket(Connection& connection, Share& share) {
    Client& client = connection.client;
    // A second time only if TLS has something that poll() can't see. What else
    // the socket holds waits for the next turn.
    do {
        const IoResult result = client.read(buffer_.data(), buffer_.size());
        switch (result.state) {
            case IoResult::State::Blocked: return;
            case IoResult::State::Failed:
                return drop(client, "left: " + result.error);
            case IoResult::State::Eof:
                return InputHandler{*this, connection}.end_of_input();
            case IoResult::State::Done: break;
        }
        connection.last_activity = now_;
        Bytes bytes{buffer_.data(), result.size};
        process(connection, bytes, share);
        if (bytes.size > 0) connection.active().input = bytes.view();
    } while (client.has_more() && client.state() != State::Gone &&
             !connection.has_input() && !connection.is_held);
}

/// Handles what a client has sent: all of it, or as much as its share and its
/// rate permit. What is incomplete, the client keeps.
void Connections::process(Connection& connection, Bytes& bytes, Share& share) {
    Client& client = connection.client;
    InputHandler handler{*this, connection};
    for (;;) {
        const ClientInput input = client.next(bytes);
        if (std::holds_alternative<input::NeedMore>(input)) break;
        const uint64_t size = size_of(input);
        charge(connection, input);
        std::visit(handler, input);
        limit_own_bytes(client);
        if (connection.is_held || !share.take(size)) return;
    }
    set_message_deadline(client);
}

/// A message, also a raw object, has a time from its first byte to its last,
/// not renewed by the bytes in between.
void Connections::set_message_deadline(Client& client) {
    const Seconds time = client.state() == State::Raw
                             ? settings_.handshake_timeout
                             : settings_.message_timeout;
    if (client.state() != State::Raw && client.state() != State::Open) return;
    const uint32_t id = client.member().client_id;
    if (!client.is_inside_message())
        deadlines_.clear(id, Kind::Step);
    else if (time.count() > 0 && !deadlines_.is_set(id, Kind::Step))
        deadlines_.set(id, Kind::Step, now_ + to_duration(time));
}

/// Counts what a client has sent. If it is too much, the client is held: that
/// only it notices, and nothing is lost.
void Connections::charge(Connection& connection, const ClientInput& input) {
    AddressUse* const use = connection.client.member().use;
    if (!use) return;
    const bool is_part = std::holds_alternative<input::Inflating>(input);
    const bool is_whole = std::holds_alternative<input::Message>(input);
    if (!is_part && !is_whole &&
        !std::holds_alternative<input::ControlFrame>(input))
        return;
    Activity& activity = connection.active();
    uint64_t bytes = size_of(input);
    // The parts of a message are counted as they come.
    if (is_whole) bytes -= std::min(bytes, std::exchange(activity.charged, 0));
    if (is_part) activity.charged += bytes;
    limits_.add_published(activity.published, *use, is_part ? 0 : 1, bytes,
                          now_);
    hold_if_over(connection);
}

/// Holds a client that has published too much, or whose address has. Returns
/// whether it did.
bool Connections::hold_if_over(Connection& connection) {
    Client& client = connection.client;
    const AddressUse* const use = client.member().use;
    if (!use) return false;
    const Time own = connection.activity
                         ? limits_.ready_at(connection.activity->published)
                         : Time::min();
    const Time ready = std::max(own, limits_.ready_at(*use));
    if (ready <= now_) return false;
    Activity& activity = connection.active();
    // What the others of its address do is not held against it.
    if (now_ - activity.held_until >= kPause || own <= now_)
        activity.over_since = now_;
    activity.held_until = ready;
    connection.is_held = true;
    deadlines_.set(client.member().client_id, Kind::Hold, ready);
    return true;
}

/// Ends the hold of a client.
void Connections::resume(Connection& connection) {
    connection.is_held = false;
    enqueue(connection);
    if (now_ - connection.activity->over_since >= kMaxOver)
        close(connection, kClosePolicyViolation,
              "too many messages (--rate, --rate-bytes)");
}

/// Closes those with the largest unfinished messages until there is room for
/// what one read may add: a whole message, in a buffer that has just doubled.
void Connections::make_room_for_partial() {
    const uint64_t growth =
        2 * settings_.reader_config.max_message + Inflater::kMemory + kMaxRead;
    const uint64_t most = limits_.config().max_partial;
    while (most > 0 && partials_.total() > 0 &&
           partials_.total() + growth > most) {
        Connection& connection = clients_[partials_.largest()];
        touch(connection);
        if (connection.client.state() == State::ReadingBody)
            respond(connection.client,
                    error_response(413, "too much unfinished (--max-partial)"));
        else
            close(connection, kCloseTooBig,
                  "too much unfinished (--max-partial)");
        release(connection.activity->input);
        note_partial(connection);
    }
}

void Connections::note_partial(Connection& connection) {
    const uint64_t size =
        connection.client.partial_size() +
        (connection.activity ? connection.activity->input.capacity() : 0);
    // The empty string that every Activity has is no partial message.
    const uint64_t counted = size > kMinPartial ? size : 0;
    if (counted == 0 && !connection.activity) return;
    uint64_t& before = connection.active().partial;
    partials_.set(connection.client.member().client_id, before, counted);
    before = counted;
}

/// Answers a request, after which the connection closes.
void Connections::respond(Client& client, const Response& response) {
    client.close(response.bytes);
    start_close_timer(client);
    const std::string status = std::to_string(response.status);
    if (response.status < 400)
        log_.debug(address_of(client) + " response: " + status);
    else
        log_.about_client(address_of(client),
                          "refused: " + status + " " + response.why);
}

/// Refuses a request for a limit that is reached.
void Connections::refuse(Client& client, const Refusal& refusal) {
    client.close(error_response(refusal.status, refusal.why).bytes);
    start_close_timer(client);
    log_refusal(client.member().address, client.member().use, refusal);
}

/// One line a minute for each address: a flood must not fill the log.
void Connections::log_refusal(const Address& address, AddressUse* use,
                              const Refusal& refusal) {
    std::string event =
        "refused: " + std::to_string(refusal.status) + " " + refusal.why;
    if (use) event += "; a proxy or CDN in front? see --trust-proxy";
    if (limits_.should_log(use, now_))
        log_.about_client(address.to_string(), event);
    else
        log_.debug(address.to_string() + " " + event);
}

/// Before a client is dropped for its unsent own bytes, its socket is tried: a
/// client that sends many pings at once may well read the pongs.
void Connections::limit_own_bytes(Client& client) {
    if (client.outbox().own_size() <= kMaxOwn) return;
    flush(&client.member().client_id, 1, kMaxFlush);
    if (client.state() != State::Gone && client.outbox().own_size() > kMaxOwn)
        drop(client, "dropped: reply buffer full");
}

// Output

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
    complete_flushes(batch_, flushes);
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
    if (client.backlog(now_) > settings_.max_backlog) return drop_behind(client);
    if (activity.owed_by <= now_)
        return drop(client, "dropped: too slow for its backlog");
    // The daemon itself may have been stopped for so long. Then the flush at
    // the end of this turn will send.
    if (connection.events & POLLOUT)
        activity.stalls_at = now_ + to_duration(settings_.stall_timeout);
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
