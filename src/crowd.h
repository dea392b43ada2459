// All clients and their rooms: what they say is relayed, what they are owed is
// written, and their time is kept. Where they come from is not known here.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "client.h"
#include "flusher.h"
#include "util/log.h"
#include "net/poller.h"
#include "room/rooms.h"
#include "settings.h"

namespace wschat {

/// Driven by the server: begin_turn() when poll has returned, then whatever
/// has happened, then end_turn().
class Crowd {
public:
    using Time = Client::Time;

    /// From now on the poller's next entries are the clients', in the same
    /// order, and nobody else adds or removes any. REQUIRES: all of these
    /// outlive it.
    Crowd(const Settings& settings, Log& log, const RouterConfig& gate,
          Poller& poller);

    /// How messages are sent: words for the log.
    const std::string& way() const { return flusher_.way(); }

    void begin_turn(Time now) { now_ = now; }

    /// A connection was accepted. `tls` is null where it is not spoken.
    void add(Accepted peer, const TlsContext* tls);

    /// Reads from those of whom poll has told.
    void serve();

    /// Asks everyone to go: clients are closed with 1001.
    void dismiss();

    /// Does what is due, writes, and destroys who is gone. Returns whether
    /// anybody was.
    bool end_turn();

    /// Until when there is nothing to do but what poll tells.
    Time next_event() const;

    /// How many connections there are.
    size_t size() const { return clients_.size(); }

    /// For the log: as in " (2 clients)", those that are in rooms.
    std::string count_members() const;

private:
    void read(size_t i);
    void take(size_t i, Bytes input);
    void shake_hands(size_t i, Bytes& input);
    void find_room(Client& client, Admission& admission);
    void answered(Client& client, const Response& answer);
    void receive(Client& client, Bytes& input);
    Response publish(const Upload& upload);
    void welcome(size_t i, const Admission& admission);
    void mention_ignored(const ClientAddress& visitor);
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
    void clear_timer(Time& timer);
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
    bool sweep();
    void destroy(uint32_t i);

    short happened(size_t i) const { return poller_.happened(first_ + i); }
    void await(size_t i);

    const Settings& settings_;
    Log& log_;
    const RouterConfig& gate_;
    Poller& poller_;
    const size_t first_;  // entry of the poller that is the first client's
    std::vector<char> buffer_;

    std::deque<Client> clients_;     // none moves when another comes
    std::vector<uint32_t> touched_;  // clients to be flushed in this turn
    std::vector<uint32_t> gone_;     // those that are to be destroyed
    size_t members_ = 0;             // clients that are Open
    size_t peak_ = 0;  // connections, since memory was last given back

    Flusher flusher_;
    Rooms rooms_;

    Time now_{};  // when the turn began
    size_t timers_ = 0;  // that are set, of all clients
    Time next_check_ = Time::max();  // none before this
    Time next_ping_ = Time::max();
    Time last_ping_ = Time::min();
    Time ping_before_last_ = Time::min();  // two may go unanswered
    Time next_count_ = Time::max();
    Time last_count_{};
    bool dismissed_ = false;
    bool mentioned_ignored_ = false;  // the log names --trust-proxy
};

}  // namespace wschat
