#include "connection_table.h"

#include <utility>

#include <poll.h>

#include "room/server_messages.h"

namespace wschat {

namespace {

using State = Client::State;
using Kind = Deadlines::Kind;

}  // namespace

ConnectionTable::ConnectionTable(const Settings& settings, Hub& hub,
                                 Poller& poller, Log& log, size_t descriptors)
    : settings_(settings),
      hub_(hub),
      poller_(poller),
      log_(log),
      limits_(settings.limits, settings.trusted_proxies, descriptors) {}

Connection& ConnectionTable::add(Accepted accepted, const TlsContext* tls,
                                 AddressUse* use) {
    const int fd = accepted.fd.get();
    const uint32_t id =
        connections_.add(std::move(accepted), settings_.reader_config, tls);
    Connection& connection = connections_[id];
    connection.client.member().client_id = id;
    connection.client.member().number = ++last_number_;
    connection.client.member().use = use;
    // Only reading is awaited: there is nothing to send before a request.
    connection.handle = poller_.add(fd, POLLIN, {kClients, id});
    connection.last_activity = now_;
    deadlines_.set(id, Kind::Step,
                   now_ + to_duration(settings_.handshake_timeout));
    return connection;
}

void ConnectionTable::touch(Connection& connection) {
    if (!std::exchange(connection.is_touched, true))
        touched_.push_back(connection.id());
}

void ConnectionTable::respond(Client& client, const Response& response,
                              const std::string& request) {
    client.close(response.bytes);
    start_close_timer(client);
    const std::string status = std::to_string(response.status);
    if (response.status < 400)
        return log_.debug(name_of(client) + " " + request + " " + status);
    std::string line = "refused: " + status + " " + response.why;
    if (!request.empty()) line += " (" + request + ")";
    log_.about_client(name_of(client), line);
}

void ConnectionTable::refuse(Client& client, const Refusal& refusal) {
    client.close(error_response(refusal.status, refusal.why).bytes);
    start_close_timer(client);
    log_refusal(name_of(client), client.member().use, refusal);
}

void ConnectionTable::log_refusal(const std::string& who, AddressUse* use,
                                  const Refusal& refusal) {
    std::string event =
        "refused: " + std::to_string(refusal.status) + " " + refusal.why;
    if (use && refusal.status == kTooManyRequests)
        event += "; a proxy or CDN in front? see --trust-proxy";
    if (limits_.should_log(use, now_))
        log_.about_client(who, event);
    else
        log_.debug(who + " " + event);
}

void ConnectionTable::close(Client& client, uint16_t code,
                            const char* reason) {
    const bool is_raw = client.state() == State::Raw;
    if (is_raw) client.tell(error_notice(reason));
    client.close(is_raw ? "" : encode_close(code, reason));
    start_close_timer(client);
    const std::string line =
        "closed: " + std::to_string(code) + ": " + reason;
    if (client.member().entry) return leave_room(client, line);
    log_.about_client(name_of(client), line);
}

void ConnectionTable::start_close_timer(Client& client) {
    const uint32_t id = client.member().client_id;
    deadlines_.clear(id, Kind::Send);
    deadlines_.clear(id, Kind::Hold);
    deadlines_.set(id, Kind::Step, now_ + to_duration(settings_.close_timeout));
    // It is read again, so that the peer can finish sending.
    connections_[id].is_held = false;
}

void ConnectionTable::leave_room(Client& client, const std::string& reason) {
    hub_.leave(client.member());
    log_.about_client(name_of(client), reason + describe_room(client));
}

void ConnectionTable::drop(Client& client, const std::string& reason) {
    const bool was_open = client.state() == State::Open;
    client.drop();
    deadlines_.clear(client.member().client_id);
    if (was_open)
        leave_room(client, reason);
    else
        log_.debug(name_of(client) + " " + reason);
}

bool ConnectionTable::destroy_gone() {
    bool is_any_gone = false;
    for (uint32_t id : touched_) {
        Connection& connection = connections_[id];
        connection.is_touched = false;
        connection.events = 0;
        if (connection.client.state() != State::Gone) continue;
        is_any_gone = true;
        Member& member = connection.client.member();
        hub_.release(member);
        if (member.use) Limits::remove_client(*member.use);
        if (connection.activity)
            limits_.partials().set(id, connection.activity->partial, 0);
        deadlines_.clear(id);
        poller_.remove(connection.handle);
        connections_.remove(id);
    }
    touched_.clear();
    limits_.forget_unused(now_);
    return is_any_gone;
}

std::string ConnectionTable::describe_room(const Client& client) const {
    std::string text = " (" + describe_members(hub_.members()) + ")";
    if (settings_.rooms) text += " in " + client.member().entry->room.name();
    return text;
}

std::string name_of(const Client& client) {
    return client.member().address.to_string() + " #" +
           std::to_string(client.member().number);
}

}  // namespace wschat
