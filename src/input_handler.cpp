#include "input_handler.h"

#include <string>
#include <utility>
#include <variant>

#include "room/server_messages.h"

namespace wschat {

namespace {

using State = Client::State;
using Kind = Deadlines::Kind;

}  // namespace

void InputHandler::act(Connection& connection,
                       const input::RequestHead& request) {
    const Route to = route(*request.head, request.peer, router_);
    Limits& limits = table_.limits();
    Member& member = connection.client.member();
    member.address = to.client.address;
    warn_of_untrusted_proxy(to.client);
    // The peer was counted, unless it speaks for others or for this machine.
    if (!member.use && limits.is_counted(member.address, to.client.is_local))
        member.use = &limits.add_client(member.address);
    if (const Refusal refusal =
            limits.find_refusal(table_.size(), member.use))
        return table_.refuse(connection.client, refusal);
    if (const auto* respond = std::get_if<Respond>(&to.action))
        table_.respond(connection.client, respond->response, to.request);
    else if (const auto* expected = std::get_if<ExpectBody>(&to.action))
        connection.client.expect_body(*expected);
    else
        upgrade(connection, std::get<Upgrade>(to.action));
}

void InputHandler::upgrade(Connection& connection, const Upgrade& upgrade) {
    Client& client = connection.client;
    Member& member = client.member();
    if (member.use && !connection.is_connect_counted)
        if (const Refusal refusal =
                table_.limits().add_connect(*member.use, table_.now()))
            return table_.refuse(client, refusal);
    member.v1 = upgrade.agreement.v1;
    member.grants.may_send_system = settings_.relay_system;
    const bool deflated = upgrade.agreement.compression.server_may_deflate;
    const Joined joined = hub_.join(member, client.outbox().cursor(),
                                    {upgrade.room, upgrade.resume, deflated});
    if (joined.refusal) return table_.refuse(client, {503, joined.refusal});
    client.upgrade(upgrade, joined.hello);
    table_.deadlines().clear(connection.id(), Kind::Step);
    log_.about_client(name_of(client),
                      "joined" + table_.describe_room(client));
}

void InputHandler::act(Connection& connection, const input::TlsRequired&) {
    table_.respond(connection.client,
                   error_response(400, "this port speaks TLS: use https"));
}

void InputHandler::act(Connection& connection, const input::RequestBody& body) {
    table_.respond(connection.client, hub_.publish(body.request),
                   "POST " + body.request.room);
}

void InputHandler::act(Connection& connection, const input::RawJsonBegun&) {
    connection.client.member().grants.may_send_system = true;
    table_.deadlines().clear(connection.id(), Kind::Step);
    log_.debug(name_of(connection.client) + " sends raw JSON");
}

void InputHandler::act(Connection& connection, const input::Message& message) {
    // The next message has a time of its own.
    table_.deadlines().clear(connection.id(), Kind::Step);
    Client& client = connection.client;
    const Reply reply = hub_.submit(client.member(), message.text);
    if (!reply.json.empty()) client.tell(reply.json);
    if (!reply.why.empty())
        log_.debug(name_of(client) + " not relayed: " + reply.why);
}

void InputHandler::act(Connection& connection, const input::PeerClosed& close) {
    table_.start_close_timer(connection.client);
    table_.leave_room(
        connection.client,
        close.code == kCloseNoStatus
            ? "left: closed without a code"
            : "left: closed with " + std::to_string(close.code));
}

void InputHandler::act(Connection& connection,
                       const input::ProtocolError& error) {
    Client& client = connection.client;
    table_.start_close_timer(client);
    if (client.member().entry)
        return table_.leave_room(client, "closed: protocol error " +
                                             std::to_string(error.code) +
                                             ": " + error.reason);
    log_.about_client(name_of(client),
                      std::string("refused: ") + error.reason);
    client.tell(error_notice(error.reason));
}

void InputHandler::end_of_input(Client& client) {
    const bool was_open = client.state() == State::Open;
    if (client.accepts_input() && client.is_inside_object())
        client.tell(error_notice("connection closed inside a JSON object"));
    client.end_of_input();
    if (client.state() == State::Closing) table_.start_close_timer(client);
    if (was_open) table_.leave_room(client, "left: connection ended");
}

/// X-Forwarded-For from a local peer that is not trusted usually means that
/// --trust-proxy was forgotten.
void InputHandler::warn_of_untrusted_proxy(const ClientAddress& from) {
    if (!from.ignored_forwarded_for || std::exchange(warned_of_proxy_, true))
        return;
    log_.warning(
        from.address.to_string() +
        " sends X-Forwarded-For, which is ignored without --trust-proxy=" +
        (from.address.is_unix() ? "unix" : "loopback"));
}

}  // namespace wschat
