// The daemon: listeners, signals and the poll loop.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "crowd.h"
#include "util/log.h"
#include "net/poller.h"
#include "settings.h"
#include "net/signals.h"
#include "net/socket.h"
#include "net/tls.h"

namespace wschat {

/// Listens from its construction on. One process has at most one.
class Server {
public:
    /// Throws std::runtime_error with one line if it cannot listen where the
    /// settings say, or cannot use a file. REQUIRES: both outlive the server.
    Server(const Settings& settings, Log& log);

    /// Serves until SIGTERM or SIGINT, then says goodbye to every client. A
    /// second signal ends it at once. SIGHUP loads the certificate and the keys
    /// anew.
    void run();

private:
    using Clock = std::chrono::steady_clock;
    using Time = Clock::time_point;

    RouterConfig gate_rules() const;
    int port() const;
    std::string url_to_open() const;
    bool finished() const;
    void heed_signals();
    void reload();
    void stop();

    void accept_new();
    void accept_at(size_t listener);
    void set_accepting(bool accepting);

    const Settings& settings_;
    Log& log_;
    std::optional<TlsContext> tls_;
    std::vector<Listener> listeners_;
    RouterConfig gate_;
    Signals signals_;
    Poller poller_;  // an entry for each listener, then the crowd's
    Crowd crowd_;

    Time now_{};  // when the turn began
    Time next_accept_ = Time::max();  // try again, when out of descriptors
    Time stop_by_ = Time::max();
    bool stopping_ = false;
    bool starved_ = false;  // out of descriptors, and the log says so
};

}  // namespace wschat
