// Acts on what a client has sent: answers requests, makes members, hands
// messages to the hub, ends what the peer has ended.
#pragma once

#include "client.h"
#include "connection_table.h"
#include "http/router.h"
#include "hub.h"
#include "settings.h"
#include "util/log.h"

namespace wschat {

class InputHandler {
public:
    /// REQUIRES: all outlive it.
    InputHandler(const Settings& settings, const RouterConfig& router, Hub& hub,
                 Log& log, ConnectionTable& table)
        : settings_(settings),
          router_(router),
          hub_(hub),
          log_(log),
          table_(table) {}

    void handle(Connection& connection, const ClientInput& input) {
        std::visit([&](const auto& kind) { act(connection, kind); }, input);
    }

    /// Acts on the end of what the peer sends.
    void end_of_input(Client& client);

private:
    // For each kind of input.
    void act(Connection& connection, const input::RequestHead& request);
    void act(Connection& connection, const input::TlsRequired&);
    void act(Connection& connection, const input::RequestBody& body);
    void act(Connection& connection, const input::RawJsonBegun&);
    void act(Connection& connection, const input::Message& message);
    void act(Connection& connection, const input::PeerClosed& close);
    void act(Connection& connection, const input::ProtocolError& error);
    void act(Connection&, const input::ControlFrame&) {}
    void act(Connection&, const input::Inflating&) {}
    void act(Connection&, const input::NeedMore&) {}

    void upgrade(Connection& connection, const Upgrade& upgrade);
    void warn_of_untrusted_proxy(const ClientAddress& from);

    const Settings& settings_;
    const RouterConfig& router_;
    Hub& hub_;
    Log& log_;
    ConnectionTable& table_;
    bool warned_of_proxy_ = false;  // the log names --trust-proxy
};

}  // namespace wschat
