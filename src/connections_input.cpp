// What clients send: who is read when, how much of it is handled, and what is
// done for each input.
#include "connections.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "room/server_messages.h"

namespace wschat {

namespace {

using State = Client::State;
using Kind = Deadlines::Kind;

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
// sent and poll() is asked again. Each queue has a time of its own, so that
// none keeps the others waiting. Members that have published much lately wait
// in one of their own: a large message costs as much as thousands of small
// ones.
constexpr std::chrono::milliseconds kMaxTime[] = {
    std::chrono::milliseconds(4),   // Queue::Members
    std::chrono::milliseconds(1),   // Queue::Heavy
    std::chrono::milliseconds(2)};  // Queue::Newcomers

/// A string of a size below this has no memory of its own, or not much.
constexpr uint64_t kMinPartial = 64;

/// How long a client may publish more than its rate permits without a pause.
constexpr std::chrono::seconds kMaxOver(30);

/// What counts as a pause.
constexpr std::chrono::seconds kPause(1);

/// True if a client sends messages.
bool is_talking(const Client& client) {
    return client.state() == State::Open || client.state() == State::Raw;
}

/// Returns how many bytes of messages this is.
uint64_t size_of(const ClientInput& input) {
    if (const auto* message = std::get_if<input::Message>(&input))
        return message->text.size();
    if (const auto* part = std::get_if<input::Inflating>(&input))
        return part->size;
    return 0;
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

void Connections::enqueue(Connection& connection) {
    if (std::exchange(connection.is_queued, true)) return;
    queues_[static_cast<size_t>(queue_of(connection))].push_back(
        connection.client.member().client_id);
}

Connections::Queue Connections::queue_of(const Connection& connection) const {
    const Client& client = connection.client;
    if (!is_talking(client)) return Queue::Newcomers;
    const AddressUse* use = client.member().use;
    const bool is_heavy =
        use && (limits_.has_published_much(*use, now_) ||
                (connection.activity &&
                 limits_.has_published_much(connection.activity->published,
                                            now_)));
    return is_heavy ? Queue::Heavy : Queue::Members;
}

/// Lets each client in a queue have its share, in order, until the time is
/// over. The others are the first in the next turn.
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
    if (is_talking(client) && hold_if_over(connection)) return;
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
    if (!is_talking(client)) return;
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
    // Not the time of a single hold, which is long after a large message.
    activity.is_over_too_long = now_ - activity.over_since >= kMaxOver;
    activity.held_until = ready;
    connection.is_held = true;
    // The time of its message begins anew when it is read again.
    deadlines_.clear(client.member().client_id, Kind::Step);
    deadlines_.set(client.member().client_id, Kind::Hold, ready);
    return true;
}

/// Ends the hold of a client.
void Connections::resume(Connection& connection) {
    connection.is_held = false;
    // What it has sent meanwhile, also its pongs, was not read.
    connection.last_activity = now_;
    enqueue(connection);
    if (connection.activity->is_over_too_long)
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
        if (!connection.client.accepts_input())
            connection.client.release_memory();
        else if (connection.client.state() == State::ReadingBody)
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
    if (use && refusal.status == kTooManyRequests)
        event += "; a proxy or CDN in front? see --trust-proxy";
    if (limits_.should_log(use, now_))
        log_.about_client(address.to_string(), event);
    else
        log_.debug(address.to_string() + " " + event);
}

}  // namespace wschat
