#include "server.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include <malloc.h>

#include "handshake.h"
#include "json.h"

namespace wschat {

namespace {

constexpr size_t kBuffer = 64 << 10;   // bytes that a client may send a turn
constexpr size_t kMaxOwn = 64 << 10;   // bytes of its own owed to a client
constexpr int kMaxAccepts = 128;       // connections that a turn accepts
constexpr Seconds kMinCheck{0.01};     // between two looks at all deadlines
constexpr Seconds kAcceptRetry{1};

volatile sig_atomic_t stop_signals = 0;

extern "C" void on_stop_signal(int) { stop_signals = stop_signals + 1; }

/// Blocks the stop signals but while asleep in poll. Returns the mask for
/// that.
sigset_t install_signals() {
    for (int ignored : {SIGPIPE, SIGHUP, SIGUSR1, SIGUSR2})
        signal(ignored, SIG_IGN);
    sigset_t stop;
    sigset_t asleep;
    sigemptyset(&stop);
    struct sigaction action;
    std::memset(&action, 0, sizeof action);
    action.sa_handler = on_stop_signal;
    for (int number : {SIGTERM, SIGINT}) {
        sigaction(number, &action, nullptr);
        sigaddset(&stop, number);
    }
    sigprocmask(SIG_BLOCK, &stop, &asleep);
    sigdelset(&asleep, SIGTERM);
    sigdelset(&asleep, SIGINT);
    return asleep;
}

std::string notice(const std::string& text) {
    return "{\"type\":\"error\",\"message\":" + quote_json(text) + "}";
}

std::string text_of(Seconds seconds) {
    std::string text = std::to_string(seconds.count());
    text.erase(text.find_last_not_of('0') + 1);
    if (text.back() == '.') text.pop_back();
    return text + " s";
}

std::string close_text(const Event& event) {
    if (event.code == kCloseNoStatus) return "closed without a code";
    return "closed with " + std::to_string(event.code);
}

}  // namespace

Server::Server(const Settings& settings, Log& log)
    : settings_(settings),
      log_(log),
      listeners_(listen_at(settings.endpoints)),
      while_asleep_(install_signals()),
      buffer_(kBuffer),
      now_(Clock::now()) {
    int port = settings.port;
    std::string places;
    for (const Listener& listener : listeners_) {
        if (!listener.endpoint().is_unix) port = listener.endpoint().port;
        places += (places.empty() ? "" : " and ") +
                  listener.endpoint().to_string();
        polls_.push_back({listener.fd(), POLLIN, 0});
    }
    first_client_ = polls_.size();
    site_.host = host_in_url(settings.host);
    site_.location = websocket_location(settings.host, port, false);
    raise_descriptor_limit();
    log_.info("listening on " + places + ", open ws://" + site_.host + ":" +
              std::to_string(port) + "/");
    log_.flush();
}

void Server::run() {
    while (!finished()) {
        wait();
        now_ = Clock::now();
        heed_signals();
        serve();
        accept_new();
        if (now_ >= next_check_) check_deadlines();
        if (now_ >= next_ping_) ping();
        flush();
        sweep();
        log_.flush();
    }
}

bool Server::finished() const {
    return stopping_ &&
           (clients_.empty() || now_ >= stop_by_ || stop_signals > 1);
}

void Server::wait() {
    const timespec sleep = time_to_sleep();
    const bool forever = sleep.tv_sec < 0;
    if (ppoll(polls_.data(), polls_.size(), forever ? nullptr : &sleep,
              &while_asleep_) >= 0)
        return;
    // Interrupted: the entries are as before, and say nothing of now.
    for (pollfd& entry : polls_) entry.revents = 0;
}

/// How long to sleep in poll; seconds are -1 if nothing is to be done then.
timespec Server::time_to_sleep() const {
    if (room_.end() != flushed_) return {0, 0};
    const Time next =
        std::min({next_check_, next_ping_, next_accept_, stop_by_});
    if (next == Time::max()) return {-1, 0};
    const auto left = std::max(next - Clock::now(), Clock::duration::zero());
    const auto whole = std::chrono::duration_cast<std::chrono::seconds>(left);
    const auto rest =
        std::chrono::duration_cast<std::chrono::nanoseconds>(left - whole);
    return {static_cast<time_t>(whole.count()), rest.count()};
}

void Server::heed_signals() {
    if (stop_signals > 0 && !stopping_) stop();
}

/// Stops listening and closes every client with 1001.
void Server::stop() {
    log_.info("stopping" + count_members());
    stopping_ = true;
    stop_by_ = after(settings_.close_timeout);
    next_accept_ = next_ping_ = Time::max();
    listeners_.clear();
    for (size_t i = 0; i < first_client_; ++i) polls_[i].fd = -1;
    for (size_t i = 0; i < clients_.size(); ++i) {
        Client& client = clients_[i];
        if (client.state() == Client::State::Open)
            client.close(encode_close(kCloseGoingAway, "server is stopping"));
        else if (client.listens())
            client.drop();
        touched_.push_back(i);
    }
}

// Accepting

void Server::accept_new() {
    if (now_ >= next_accept_) set_accepting(true);
    for (size_t i = 0; i < listeners_.size(); ++i)
        if (polls_[i].revents) accept_at(i);
}

void Server::accept_at(size_t listener) {
    for (int n = 0; n < kMaxAccepts; ++n) {
        Accepted peer = accept_from(listeners_[listener]);
        if (peer.state == Accepted::State::OutOfDescriptors) {
            if (!std::exchange(starved_, true))
                log_.error("out of descriptors at " +
                           std::to_string(clients_.size()) +
                           " connections: accepting again when one ends");
            return set_accepting(false);
        }
        if (peer.state == Accepted::State::None) {
            starved_ = false;
            return;
        }
        log_.debug(peer.address + " accepted");
        polls_.push_back({peer.fd.get(), POLLIN, 0});
        clients_.emplace_back(std::move(peer), settings_.rules);
        clients_.back().heard = now_;
        set_timer(clients_.back().deadline, settings_.handshake_timeout);
    }
}

void Server::set_accepting(bool accepting) {
    for (size_t i = 0; i < listeners_.size(); ++i)
        polls_[i].events = accepting ? POLLIN : 0;
    next_accept_ = Time::max();
    if (!accepting) next_accept_ = after(kAcceptRetry);
}

// Reading

void Server::serve() {
    const size_t count = clients_.size();
    for (size_t i = 0; i < count; ++i) {
        const short happened = poll_of(i).revents;
        if (!happened) continue;
        touched_.push_back(i);
        if (happened != POLLOUT) read(i);
    }
}

void Server::read(size_t i) {
    Client& client = clients_[i];
    if (client.state() == Client::State::Gone) return;
    const Transfer result = client.read(buffer_.data(), buffer_.size());
    switch (result.state) {
        case Transfer::State::Blocked: return;
        case Transfer::State::Done:
            client.heard = now_;
            return take(i, {buffer_.data(), result.size});
        case Transfer::State::Failed:
            return lose(client, std::string("left: ") + strerror(result.error));
        case Transfer::State::Eof: return end_of_input(i);
    }
}

/// What a client has sent, of which nothing is kept but what is incomplete.
void Server::take(size_t i, Bytes input) {
    Client& client = clients_[i];
    if (client.state() == Client::State::Handshaking)
        shake_hands(client, input);
    while (client.listens()) {
        const Event event = client.next(input);
        if (event.kind == Event::Kind::NeedMore) break;
        handle(client, event);
        limit_own(i);
    }
    if (client.state() == Client::State::Raw) limit_object_time(client);
}

void Server::shake_hands(Client& client, Bytes& input) {
    const auto answer = client.shake_hands(input, site_);
    if (client.state() == Client::State::Raw) {
        client.deadline = Time::max();
        log_.debug(client.address() + " sends raw JSON");
    }
    if (!answer) return;
    if (client.state() == Client::State::Open) return admit(client);
    closing(client);
    log_.info(client.address() + " refused: " +
              std::to_string(answer->status) + " " + answer->why);
}

void Server::admit(Client& client) {
    client.deadline = Time::max();
    client.join(room_);
    if (++members_ == 1 && settings_.ping_interval.count() > 0)
        next_ping_ = after(settings_.ping_interval);
    log_.info(client.address() + " joined" + count_members());
    announce(client, "connected");
}

void Server::handle(Client& client, const Event& event) {
    switch (event.kind) {
        case Event::Kind::Raw: client.deadline = Time::max(); [[fallthrough]];
        case Event::Kind::Text:
        case Event::Kind::Binary: return relay(client, event.payload);
        case Event::Kind::Close:
            closing(client);
            return left(client, "left: " + close_text(event));
        case Event::Kind::Error: return refuse_input(client, event);
        default: return;
    }
}

void Server::refuse_input(Client& client, const Event& event) {
    closing(client);
    if (client.in_room())
        return left(client, "left: failed with " + std::to_string(event.code) +
                                ": " + event.reason);
    log_.info(client.address() + " refused: " + event.reason);
    client.tell(notice(std::string("not relayed: ") + event.reason));
}

void Server::relay(Client& client, std::string_view text) {
    using Reserved = JsonCheck::Reserved;
    const JsonCheck json = check_json(text);
    if (json.verdict == JsonCheck::Verdict::Malformed)
        return client.tell(notice("not relayed: " + std::string(json.reason) +
                                  " at byte " + std::to_string(json.offset)));
    if (json.verdict == JsonCheck::Verdict::Falsy) return;
    const bool may_speak_for_system =
        settings_.relay_system || client.state() == Client::State::Raw;
    if (json.reserved == Reserved::None ||
        (json.reserved == Reserved::System && may_speak_for_system))
        return room_.publish(text);
    client.tell(notice("not relayed: the type \"" +
                       std::string(reserved_name(json.reserved)) +
                       "\" is reserved"));
}

/// A raw peer has the handshake's time for each object from its first byte.
void Server::limit_object_time(Client& client) {
    if (!client.reader().inside_raw())
        client.deadline = Time::max();
    else if (client.deadline == Time::max())
        set_timer(client.deadline, settings_.handshake_timeout);
}

void Server::end_of_input(size_t i) {
    Client& client = clients_[i];
    const bool was_open = client.state() == Client::State::Open;
    if (client.listens() && client.reader().inside_raw())
        client.tell(notice("not relayed: the object has no end"));
    client.end_of_input();
    poll_of(i).events = 0;
    if (client.state() == Client::State::Closing) closing(client);
    if (was_open) left(client, "left: connection ended");
}

// Writing

void Server::flush() {
    const uint64_t end = room_.end();
    if (end != flushed_) {
        for (size_t i = 0; i < clients_.size(); ++i) flush(i);
    } else {
        for (size_t i : touched_) flush(i);
    }
    touched_.clear();
    flushed_ = end;
}

void Server::flush(size_t i) {
    Client& client = clients_[i];
    pollfd& entry = poll_of(i);
    if (client.state() == Client::State::Gone) return;
    const bool was_blocked = entry.events & POLLOUT;
    if (was_blocked && !(entry.revents & POLLOUT)) return limit_backlog(client);

    const Client::State before = client.state();
    const Transfer result = client.flush();
    if (result.state == Transfer::State::Failed)
        return lose(client, std::string("left: ") + strerror(result.error));
    // Only a socket that was full tells that the peer takes bytes.
    if (was_blocked && result.size > 0) client.heard = now_;
    if (result.state == Transfer::State::Done) {
        entry.events &= ~POLLOUT;
        client.stalled = Time::max();
    } else {
        entry.events |= POLLOUT;
        if (!was_blocked || result.size > 0)
            set_timer(client.stalled, settings_.stall_timeout);
    }
    if (client.state() != before) closing(client);
    limit_backlog(client);
}

/// What was published in this turn does not count: nobody has had the time
/// to take it.
void Server::limit_backlog(Client& client) {
    const uint64_t backlog = client.backlog(flushed_);
    if (backlog > settings_.max_backlog)
        lose(client, "dropped: " + std::to_string(backlog) + " bytes behind");
}

void Server::limit_own(size_t i) {
    Client& client = clients_[i];
    if (client.own_size() <= kMaxOwn) return;
    flush(i);
    if (client.own_size() > kMaxOwn)
        lose(client, "dropped: takes no replies to what it sends");
}

// Time

Server::Time Server::after(Seconds seconds) const {
    return now_ + std::chrono::duration_cast<Clock::duration>(seconds);
}

void Server::set_timer(Time& timer, Seconds seconds) {
    timer = after(seconds);
    next_check_ = std::min(next_check_, timer);
}

void Server::ping() {
    next_ping_ = members_ > 0 ? after(settings_.ping_interval) : Time::max();
    for (Client& client : clients_)
        if (client.state() == Client::State::Open &&
            client.heard <= ping_before_last_)
            lose(client, "dropped: answers no ping");
    ping_before_last_ = std::exchange(last_ping_, now_);
    room_.ping();
}

void Server::check_deadlines() {
    Time next = Time::max();
    for (size_t i = 0; i < clients_.size(); ++i) {
        Client& client = clients_[i];
        if (now_ >= client.deadline) {
            expire(client);
            touched_.push_back(i);
        } else if (now_ >= client.stalled) {
            lose(client, "dropped: took nothing for " +
                             text_of(settings_.stall_timeout));
        }
        next = std::min({next, client.deadline, client.stalled});
    }
    next_check_ = next == Time::max() ? next : std::max(next, after(kMinCheck));
}

/// The time of the client's state is over.
void Server::expire(Client& client) {
    if (client.state() == Client::State::Handshaking) {
        const Answer answer = refuse(408, "no request in time");
        client.close(answer.bytes);
        closing(client);
        log_.info(client.address() + " refused: 408 " + answer.why);
    } else if (client.state() == Client::State::Raw) {
        client.tell(notice("not relayed: the object took too long"));
        client.close("");
        closing(client);
    } else {
        client.drop();
    }
}

// Leaving

/// The client is Closing or Draining from now on.
void Server::closing(Client& client) {
    set_timer(client.deadline, settings_.close_timeout);
    client.stalled = Time::max();
}

/// The client is gone without a goodbye.
void Server::lose(Client& client, const std::string& why) {
    const bool was_open = client.state() == Client::State::Open;
    client.drop();
    client.deadline = client.stalled = Time::max();
    if (was_open)
        left(client, why);
    else
        log_.debug(client.address() + " " + why);
}

/// A client was Open and is not any more.
void Server::left(Client& client, const std::string& why) {
    --members_;
    log_.info(client.address() + " " + why + count_members());
    if (!stopping_) announce(client, "disconnected");
}

void Server::announce(const Client& client, const char* what) {
    if (!settings_.announce) return;
    room_.publish("{\"type\":\"system\",\"message\":" +
                  quote_json(client.address() + " " + what) + "}");
}

std::string Server::count_members() const {
    return " (" + std::to_string(members_) +
           (members_ == 1 ? " client)" : " clients)");
}

/// Destroys who is gone. The last one takes the place of each.
void Server::sweep() {
    const size_t count = clients_.size();
    for (size_t i = count; i-- > 0;) {
        if (clients_[i].state() != Client::State::Gone) continue;
        std::swap(clients_[i], clients_.back());
        clients_.pop_back();
        poll_of(i) = polls_.back();
        polls_.pop_back();
    }
    if (clients_.size() == count) return;
    if (starved_ && !stopping_) set_accepting(true);
    if (polls_.size() < polls_.capacity() / 4) {
        polls_.shrink_to_fit();
        malloc_trim(0);
    }
}

}  // namespace wschat
