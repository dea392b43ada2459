#include "connections.h"

#include <algorithm>
#include <utility>

#include <poll.h>

#include "room/server_messages.h"

namespace wschat {

namespace {

using State = Client::State;
using Kind = Deadlines::Kind;

/// Bytes that a client may send in a turn; the rest waits in its socket, so
/// that one fast sender leaves time for the others.
constexpr size_t kMaxRead = 64 << 10;
static_assert(kMaxRead >= Stream::kMinRead);

/// Bytes for a client alone, above which it is dropped: one that sends pings
/// and reads no pongs must not fill the memory.
constexpr size_t kMaxOwn = 64 << 10;

std::string seconds_text(Seconds seconds) {
    std::string text = std::to_string(seconds.count());
    text.erase(text.find_last_not_of('0') + 1);
    if (text.back() == '.') text.pop_back();
    return text + " s";
}

std::string address_of(const Client& client) {
    return client.member().address.to_string();
}

}  // namespace

// Input

struct Connections::InputHandler {
    Connections& self;
    Client& client;

    void operator()(const input::RequestHead& request) {
        const Route to = route(*request.head, request.peer, self.router_);
        client.member().address = to.client.address;
        warn_of_untrusted_proxy(to.client);
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
        member.v1 = upgrade.agreement.v1;
        member.grants.may_send_system = self.settings_.relay_system;
        const bool is_first = self.hub_.members() == 0;
        const bool deflated =
            upgrade.agreement.compression.server_may_deflate;
        const auto hello =
            self.hub_.join(member, client.outbox().cursor(),
                           {upgrade.room, upgrade.resume, deflated});
        if (!hello)
            return self.respond(client,
                                error_response(503, Hub::kTooManyRooms));
        client.upgrade(upgrade, *hello);
        self.deadlines_.clear(member.client_id, Kind::Step);
        if (is_first && self.settings_.ping_interval.count() > 0)
            self.pings_.start(self.now_,
                              to_duration(self.settings_.ping_interval));
        // Most clients that have joined listen for a while.
        self.poller_.mark_idle(self.clients_[member.client_id].handle);
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
        // The next raw object has a time of its own.
        if (client.state() == State::Raw)
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
                         Hub& hub, Poller& poller, Log& log)
    : settings_(settings),
      router_(router),
      hub_(hub),
      poller_(poller),
      log_(log),
      batch_(settings.uring),
      buffer_(kMaxRead) {
    log_.debug("send method: " + batch_.method());
}

void Connections::add(Accepted accepted, const TlsContext* tls) {
    log_.debug(accepted.peer.to_string() + " accepted");
    const int fd = accepted.fd.get();
    // Only reading is awaited: there is nothing to send before a request.
    const uint32_t id =
        clients_.add(std::move(accepted), settings_.reader_config, tls);
    Connection& connection = clients_[id];
    connection.client.member().client_id = id;
    connection.handle = poller_.add(fd, POLLIN, {kClients, id});
    connection.last_activity = now_;
    deadlines_.set(id, Kind::Step,
                   now_ + to_duration(settings_.handshake_timeout));
}

void Connections::serve(uint32_t id, short events) {
    Connection& connection = clients_[id];
    connection.events = events;
    touch(connection);
    if (connection.client.can_read(events)) read(connection);
}

void Connections::read(Connection& connection) {
    Client& client = connection.client;
    if (client.state() == State::Gone) return;
    // A second read only if TLS has something that poll() can't see. What else
    // the socket holds waits for the next turn.
    do {
        const IoResult result = client.read(buffer_.data(), buffer_.size());
        switch (result.state) {
            case IoResult::State::Blocked: return;
            case IoResult::State::Done:
                connection.last_activity = now_;
                process(client, {buffer_.data(), result.size});
                break;
            case IoResult::State::Failed:
                return drop(client, "left: " + result.error);
            case IoResult::State::Eof:
                return InputHandler{*this, client}.end_of_input();
        }
    } while (client.has_more() && client.state() != State::Gone);
}

/// Handles all that a client has sent. What is incomplete, the client keeps.
void Connections::process(Client& client, Bytes bytes) {
    InputHandler handler{*this, client};
    for (;;) {
        const ClientInput input = client.next(bytes);
        if (std::holds_alternative<input::NeedMore>(input)) break;
        std::visit(handler, input);
        limit_own_bytes(client);
    }
    if (client.state() != State::Raw) return;
    // A raw JSON object has the time of a handshake from its first byte to its
    // last, not renewed by the bytes in between.
    const uint32_t id = client.member().client_id;
    if (client.is_inside_object() && !deadlines_.is_set(id, Kind::Step))
        deadlines_.set(id, Kind::Step,
                       now_ + to_duration(settings_.handshake_timeout));
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

/// Before a client is dropped for its unsent own bytes, its socket is tried: a
/// client that sends many pings at once may well read the pongs.
void Connections::limit_own_bytes(Client& client) {
    if (client.outbox().own_size() <= kMaxOwn) return;
    flush(&client.member().client_id, 1);
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
    // next turn. Room::end_turn() comes after it, so that nothing that was
    // appended in this turn counts as backlog while it is flushed.
    const std::vector<Room*> changed = hub_.take_changed();
    for (const Room* room : changed)
        for (const Member* member : room->members())
            touch(clients_[member->client_id]);
    // In batches: as many sends as one system call takes.
    for (size_t i = 0; i < touched_.size(); i += SendBatch::kBatch)
        flush(&touched_[i], std::min(SendBatch::kBatch, touched_.size() - i));
    for (Room* room : changed) room->end_turn();
}

void Connections::flush(const uint32_t* ids, size_t count) {
    std::vector<Client::Flush> flushes;
    flushes.reserve(count);
    for (size_t i = 0; i < count; ++i) {
        Connection& connection = clients_[ids[i]];
        if (connection.client.state() != State::Gone &&
            connection.client.can_flush(connection.events))
            flushes.push_back(connection.client.begin_flush());
    }
    complete_flushes(batch_, flushes);
    for (const Client::Flush& flush : flushes) after_flush(flush);
    for (size_t i = 0; i < count; ++i) {
        Connection& connection = clients_[ids[i]];
        Client& client = connection.client;
        // Also while it closes: it holds the log of its room all the same.
        const uint64_t backlog = client.backlog();
        if (backlog > settings_.max_backlog)
            drop(client,
                 "dropped: backlog of " + std::to_string(backlog) + " bytes");
        if (client.state() != State::Gone)
            poller_.watch(connection.handle, client.awaited_events());
    }
}

void Connections::after_flush(const Client::Flush& flush) {
    Client& client = *flush.client;
    const uint32_t id = client.member().client_id;
    const IoResult& result = flush.result;
    if (result.state == IoResult::State::Failed)
        return drop(client, "left: " + result.error);
    // That a socket takes bytes is a sign of life only if it could not take all
    // before: else they may just lie in its buffer.
    if (flush.was_blocked && result.size > 0)
        clients_[id].last_activity = now_;
    if (result.state == IoResult::State::Done)
        deadlines_.clear(id, Kind::Send);
    else if (!flush.was_blocked || result.size > 0)
        deadlines_.set(id, Kind::Send,
                       now_ + to_duration(settings_.stall_timeout));
    if (client.state() != flush.state_before) start_close_timer(client);
}

// Time

bool Connections::end_turn() {
    run_timers();
    flush_touched();
    return destroy_gone();
}

Time Connections::next_event() {
    // What the last flush itself has published is sent at once.
    if (hub_.has_changed()) return now_;
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
        // Others have a deadline. A client that is Open may be silent for ever,
        // and its peer may have vanished without a word.
        if (connection.client.state() != State::Open ||
            connection.last_activity > alive_since)
            continue;
        drop(connection.client, "dropped: ping timeout");
        touch(connection);
    }
    hub_.ping();
}

void Connections::expire(const Deadlines::Expired& expired) {
    Client& client = clients_[expired.client].client;
    touch(clients_[expired.client]);
    if (expired.kind == Kind::Send) {
        drop(client, "dropped: send stalled for " +
                         seconds_text(settings_.stall_timeout));
    } else if (client.state() == State::ReadingHead && !client.can_send()) {
        // Before the TLS handshake is complete, no response can be sent.
        client.drop();
        log_.about_client(address_of(client),
                          "refused: TLS handshake not complete in time");
    } else if (client.state() <= State::ReadingBody) {
        respond(client, error_response(408, "request not complete in time"));
    } else if (client.state() == State::Raw) {
        client.tell(error_notice("JSON object not complete in time"));
        client.close("");
        start_close_timer(client);
    } else {
        client.drop();
    }
}

// Closing

/// Gives a client that has begun to close --close-timeout for this step.
void Connections::start_close_timer(Client& client) {
    const uint32_t id = client.member().client_id;
    deadlines_.clear(id, Kind::Send);
    deadlines_.set(id, Kind::Step, now_ + to_duration(settings_.close_timeout));
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
    for (uint32_t id = 0; id < clients_.end(); ++id) {
        if (!clients_.has(id)) continue;
        Client& client = clients_[id].client;
        if (client.state() == State::Open) {
            hub_.leave(client.member());
            client.close(encode_close(kCloseGoingAway, "server is stopping"));
        } else if (client.accepts_input()) {
            client.drop();
        }
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
        hub_.release(connection.client.member());
        deadlines_.clear(id);
        poller_.remove(connection.handle);
        clients_.remove(id);
    }
    touched_.clear();
    return is_any_gone;
}

}  // namespace wschat
