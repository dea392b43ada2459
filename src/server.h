// The daemon: listeners, signals and the poll loop.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "connections.h"
#include "http/router.h"
#include "hub.h"
#include "net/poller.h"
#include "net/signals.h"
#include "net/socket.h"
#include "net/tls.h"
#include "settings.h"
#include "util/clock.h"
#include "util/log.h"

namespace wschat {

/// Listens from its construction on. One process has at most one.
class Server {
public:
    /// Throws std::runtime_error with one line if it cannot listen where the
    /// settings say, or cannot use a file. REQUIRES: both outlive the server.
    Server(const Settings& settings, Log& log);

    /// Serves until SIGTERM or SIGINT, then closes every client and returns. A
    /// second signal ends it at once. SIGHUP loads the certificate and the keys
    /// again.
    void run();

private:
    /// The owner in the tokens of listeners.
    static constexpr uint32_t kListeners = 0;
    static_assert(kListeners != Connections::kClients);

    /// A listener and its place in the loop.
    struct Port {
        Listener listener;
        Poller::Handle handle = 0;
    };

    static std::vector<Port> open_ports(const Settings& settings);
    // What follows from the settings and the real ports.
    RouterConfig make_router_config() const;
    int port() const;
    std::string url_to_open() const;
    void warn_of_unknown_host();
    bool is_stopping() const { return stop_by_ != Time::max(); }
    bool is_finished() const;
    // When the next turn must begin even if poll() reports nothing.
    Time next_event();
    // SIGTERM and SIGINT lead to stop(), SIGHUP to reload().
    void handle_signals();
    void reload();
    template <typename Load>
    void reload(const std::string& what, Load load);
    void stop();
    // Hands out what poll() has reported. Without descriptors, accepting rests
    // until a client has left, or for a second.
    void serve();
    void accept_from_port(Port& port);
    void set_accepting(bool accepting);
    void trim_memory();

    const Settings& settings_;
    Log& log_;
    std::optional<TlsContext> tls_;  // none: no port speaks TLS
    std::vector<Port> ports_;        // none: the server is stopping
    RouterConfig router_;            // its keys change with SIGHUP
    Signals signals_;
    Poller poller_;
    // Clients refer to rooms and to TLS, so these must outlive the connections.
    Hub hub_;
    Connections connections_;

    Time now_{};                      // when the turn began
    Time next_accept_ = Time::max();  // try again, when out of descriptors
    Time stop_by_ = Time::max();  // set: the server is stopping
    size_t peak_connections_ = 0;  // since most clients have left
    Time next_reload_ = Time::max();  // again: there was no descriptor
    bool is_retry_ = false;           // the error was logged
    Time next_trim_{};  // when to look for free memory again
    bool is_out_of_descriptors_ = false;  // and the log says so
};

}  // namespace wschat
