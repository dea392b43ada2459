// The daemon: listeners, clients, their rooms and the poll loop.
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "client.h"
#include "flusher.h"
#include "log.h"
#include "poller.h"
#include "rooms.h"
#include "settings.h"
#include "signals.h"
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
    void shake_hands(size_t i, Bytes& input);
    void find_room(Client& client, Admission& admission);
    void answered(Client& client, const Answer& answer);
    void receive(Client& client, Bytes& input);
    Answer publish(const Upload& upload);
    void welcome(size_t i, const Admission& admission);
    void mention_ignored(const Visitor& visitor);
    void handle(Client& client, const Event& event);
    void refuse_input(Client& client, const Event& event);
    void relay(Client& client, std::string_view text);
    void limit_object_time(Client& client);
    void end_of_input(size_t i);

    void flush();
    void flush(const uint32_t* batch, size_t count);
    void touch(size_t i);
    void wrote(Client& client, const Client::Flush& flush);
    bool can_flush(size_t i) const;
    void settle(size_t i);
    void limit_backlog(Client& client);
    void limit_own(size_t i);

    Time after(Seconds seconds) const;
    void set_timer(Time& timer, Seconds seconds);
    void keep_time();
    void ping();
    void check_deadlines();
    void expire(Client& client);

    void closing(Client& client);
    void lose(Client& client, const std::string& why);
    void left(Client& client, const std::string& why);
    void leave_room(Client& client);
    void announce(const Client& client, const char* what);
    void announce_counts();
    std::string where(const Client& client) const;
    std::string count_members() const;
    void sweep();
    void destroy(uint32_t i);

    short happened(size_t i) const {
        return poller_.happened(first_client_ + i);
    }
    void await(size_t i);

    const Settings& settings_;
    Log& log_;
    std::optional<TlsContext> tls_;
    std::vector<Listener> listeners_;
    GateRules gate_;
    Signals signals_;
    std::vector<char> buffer_;

    // One entry for each listener, then one for each client, kept in step.
    Poller poller_;
    size_t first_client_ = 0;
    std::deque<Client> clients_;  // none moves when another comes
    std::vector<uint32_t> touched_;  // clients to be flushed in this turn
    std::vector<uint32_t> gone_;     // those that are to be destroyed
    size_t members_ = 0;             // clients that are Open
    size_t peak_ = 0;  // connections, since memory was last given back

    Flusher flusher_;
    Rooms rooms_;

    Time now_;  // when the turn began
    Time next_check_ = Time::max();
    Time next_ping_ = Time::max();
    Time last_ping_ = Time::min();
    Time ping_before_last_ = Time::min();  // two may go unanswered
    Time next_accept_ = Time::max();  // try again, when out of descriptors
    Time next_count_ = Time::max();
    Time last_count_{};
    Time stop_by_ = Time::max();
    bool stopping_ = false;
    bool mentioned_ignored_ = false;  // the log names --trust-proxy
    bool starved_ = false;  // out of descriptors, and the log says so
};

}  // namespace wschat
