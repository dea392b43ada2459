// The daemon: listeners, clients, their room, the poll loop and the signals.
#pragma once

#include <signal.h>

#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "client.h"
#include "log.h"
#include "outflow.h"
#include "poller.h"
#include "room.h"
#include "settings.h"
#include "socket.h"
#include "tls.h"

namespace wschat {

/// Listens from its construction on. One process has at most one.
class Server {
public:
    /// Throws std::runtime_error with one line if it cannot listen where the
    /// settings say. REQUIRES: both outlive the server.
    Server(const Settings& settings, Log& log);

    /// Serves until SIGTERM or SIGINT, then says goodbye to every client. A
    /// second signal ends it at once. SIGHUP loads the certificate anew.
    void run();

private:
    using Clock = std::chrono::steady_clock;
    using Time = Client::Time;

    std::string url_to_open(int port) const;
    bool finished() const;
    Time next_event() const;
    void heed_signals();
    void reload();
    void stop();

    void accept_new();
    void accept_at(size_t listener);
    void set_accepting(bool accepting);

    void serve();
    void read(size_t i);
    void take(size_t i, Bytes input);
    void shake_hands(Client& client, Bytes& input);
    void welcome(Client& client);
    void mention_ignored(const Visitor& visitor);
    void handle(Client& client, const Event& event);
    void refuse_input(Client& client, const Event& event);
    void relay(Client& client, std::string_view text);
    void limit_object_time(Client& client);
    void end_of_input(size_t i);

    void flush();
    void flush(const size_t* batch, size_t count);
    void write_all();
    void wrote(Client& client, const Client::Flush& flush);
    bool can_flush(size_t i) const;
    void settle(size_t i);
    void limit_backlog(Client& client);
    void limit_own(size_t i);

    Time after(Seconds seconds) const;
    void set_timer(Time& timer, Seconds seconds);
    void ping();
    void check_deadlines();
    void expire(Client& client);

    void closing(Client& client);
    void lose(Client& client, const std::string& why);
    void left(Client& client, const std::string& why);
    void announce(const Client& client, const char* what);
    std::string count_members() const;
    void sweep();

    short happened(size_t i) const {
        return poller_.happened(first_client_ + i);
    }
    void await(size_t i);

    struct Flushing {
        Client* client;
        Client::Flush flush;
    };

    const Settings& settings_;
    Log& log_;
    std::optional<TlsContext> tls_;
    std::vector<Listener> listeners_;
    GateRules gate_;
    sigset_t while_asleep_;
    std::vector<char> buffer_;

    // One entry for each listener, then one for each client, kept in step.
    Poller poller_;
    size_t first_client_ = 0;
    std::deque<Client> clients_;  // none moves when another comes
    std::vector<size_t> touched_;  // clients that were served in this turn
    std::vector<size_t> gone_;     // those that are to be destroyed
    size_t members_ = 0;           // clients that are Open
    size_t peak_ = 0;  // connections, since memory was last given back

    Outflow outflow_;
    std::vector<Flushing> flushing_;  // those of a batch
    std::vector<Outgoing> outgoing_;  // what each of them is to be written

    Room room_;

    Time now_;  // when the turn began
    Time next_check_ = Time::max();
    Time next_ping_ = Time::max();
    Time last_ping_ = Time::min();
    Time ping_before_last_ = Time::min();  // two may go unanswered
    Time next_accept_ = Time::max();  // try again, when out of descriptors
    Time next_heed_ = Time::min();
    Time stop_by_ = Time::max();
    bool stopping_ = false;
    bool mentioned_ignored_ = false;  // the log names --trust-proxy
    bool starved_ = false;  // out of descriptors, and the log says so
};

}  // namespace wschat
