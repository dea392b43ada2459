#include "connections.h"

#include <algorithm>
#include <string>
#include <utility>

namespace wschat {

namespace {

using State = Client::State;
using Kind = Deadlines::Kind;

}  // namespace

Connections::Connections(const Settings& settings, const RouterConfig& router,
                         Hub& hub, Poller& poller, Log& log,
                         size_t descriptors)
    : settings_(settings),
      hub_(hub),
      log_(log),
      table_(settings, hub, poller, log, descriptors),
      writer_(settings, hub, poller, log, table_),
      handler_(settings, router, hub, log, table_),
      reader_(settings, table_, writer_, handler_) {}

void Connections::add(Accepted accepted, const TlsContext* tls) {
    const Address peer = accepted.peer;
    Limits& limits = table_.limits();
    // The address of the client itself may only be known with its request.
    AddressUse* const use = limits.is_counted(peer, peer.is_local())
                                ? &limits.add_client(peer)
                                : nullptr;
    Refusal refusal;
    if (limits.is_beyond_refusal(size() + 1, use))
        refusal = limits.find_refusal(size() + 1, use);
    else if (use && tls)
        refusal = limits.add_connect(*use, table_.now());
    if (refusal) {
        if (use) Limits::remove_client(*use);
        return table_.log_refusal(peer.to_string(), use, refusal);
    }
    Connection& connection = table_.add(std::move(accepted), tls, use);
    connection.is_connect_counted = use && tls;
    log_.debug(name_of(connection.client) + " accepted");
}

void Connections::serve(uint32_t id, short events) {
    Connection& connection = table_[id];
    connection.events = events;
    table_.touch(connection);
    if (connection.client.can_read(events) && !connection.is_held)
        reader_.enqueue(connection);
}

bool Connections::end_turn() {
    reader_.serve_queues();
    run_timers();
    writer_.flush_touched();
    return table_.destroy_gone();
}

Time Connections::next_event() {
    // What the last flush itself has published is sent at once.
    if (hub_.has_changed() || reader_.has_waiting()) return table_.now();
    return std::min(
        {table_.deadlines().next(), pings_.next(), hub_.next_timer()});
}

void Connections::run_timers() {
    while (const auto expired = table_.deadlines().take_expired(table_.now()))
        expire(*expired);
    if (hub_.members() > 0 && !pings_.is_running() &&
        settings_.ping_interval.count() > 0)
        pings_.start(table_.now(), to_duration(settings_.ping_interval));
    if (table_.now() >= pings_.next()) ping();
    hub_.run_timers();
}

void Connections::ping() {
    const Time alive_since = pings_.advance(table_.now());
    if (hub_.members() == 0) pings_.stop();
    table_.for_each([this, alive_since](Connection& connection) {
        forget_rest(connection);
        // A client that is Open may be silent for ever, and its peer may have
        // vanished without a word. What one that is held sends is not read.
        if (connection.client.state() != State::Open || connection.is_held ||
            connection.last_activity > alive_since)
            return;
        table_.drop(connection.client, "dropped: ping timeout");
        table_.touch(connection);
    });
    hub_.ping();
}

/// Frees what is known of a client that has been silent for a while.
void Connections::forget_rest(Connection& connection) {
    const Activity* activity = connection.activity.get();
    if (activity && activity->input.empty() && activity->partial == 0 &&
        activity->owed == 0 && !connection.is_held &&
        activity->published.messages.is_full(table_.now()) &&
        activity->published.bytes.is_full(table_.now()))
        connection.activity.reset();
}

void Connections::expire(const Deadlines::Expired& expired) {
    Connection& connection = table_[expired.client];
    table_.touch(connection);
    if (connection.client.state() == State::Gone) return;
    switch (expired.kind) {
        case Kind::Step: return expire_step(connection.client);
        case Kind::Send: return writer_.expire(connection);
        case Kind::Hold: return reader_.resume(connection);
    }
}

void Connections::expire_step(Client& client) {
    if (client.state() == State::ReadingHead && !client.can_send()) {
        // Before the TLS handshake is complete, no response can be sent.
        client.drop();
        log_.about_client(name_of(client),
                          "refused: TLS handshake not complete in time");
    } else if (client.state() <= State::ReadingBody) {
        table_.respond(client,
                       error_response(408, "request not complete in time"));
    } else if (client.state() == State::Raw) {
        table_.close(client, kClosePolicyViolation,
                     "JSON object not complete in time");
    } else if (client.state() == State::Open) {
        table_.close(client, kClosePolicyViolation,
                     "message not complete in time");
    } else {
        client.drop();
    }
}

void Connections::close_all() {
    hub_.stop_announcing();
    pings_.stop();
    // No deadlines are set here: the server itself ends after --close-timeout.
    table_.for_each([this](Connection& connection) {
        Client& client = connection.client;
        if (client.state() == State::Open) {
            hub_.leave(client.member());
            client.close(encode_close(kCloseGoingAway, "server is stopping"));
            // That of its message, which is not read to its end.
            table_.deadlines().clear(connection.id(), Kind::Step);
        } else if (client.accepts_input()) {
            client.drop();
        }
        // One that is held is read again: else the close frame of its peer
        // would wait.
        connection.is_held = false;
        table_.deadlines().clear(connection.id(), Kind::Hold);
        table_.touch(connection);
    });
}

}  // namespace wschat
