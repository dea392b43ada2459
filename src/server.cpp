#include "server.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <utility>

#include <malloc.h>
#include <poll.h>

#include "chat.h"

namespace wschat {

namespace {

constexpr size_t kBuffer = 64 << 10;   // bytes that a client may send a turn
constexpr size_t kMaxOwn = 64 << 10;   // bytes of its own owed to a client
constexpr int kMaxAccepts = 128;       // connections that a turn accepts
constexpr Seconds kMinCheck{0.01};     // between two looks at all deadlines
constexpr Seconds kAcceptRetry{1};
constexpr Seconds kHeedInterval{0.01};  // between looks for signals, at work

volatile sig_atomic_t stop_signals = 0;
volatile sig_atomic_t reload_signals = 0;

extern "C" void on_stop_signal(int) { stop_signals = stop_signals + 1; }
extern "C" void on_reload_signal(int) { reload_signals = 1; }

/// Blocks the signals that are heeded but while asleep in poll. Returns the
/// mask for that.
sigset_t install_signals() {
    for (int ignored : {SIGPIPE, SIGUSR1, SIGUSR2}) signal(ignored, SIG_IGN);
    sigset_t heeded;
    sigset_t asleep;
    sigemptyset(&heeded);
    struct sigaction action;
    std::memset(&action, 0, sizeof action);
    for (int number : {SIGTERM, SIGINT, SIGHUP}) {
        action.sa_handler =
            number == SIGHUP ? on_reload_signal : on_stop_signal;
        sigaction(number, &action, nullptr);
        sigaddset(&heeded, number);
    }
    sigprocmask(SIG_BLOCK, &heeded, &asleep);
    for (int number : {SIGTERM, SIGINT, SIGHUP}) sigdelset(&asleep, number);
    return asleep;
}

std::optional<TlsContext> load_tls(const Settings& settings) {
    if (settings.tls_certificate.empty()) return std::nullopt;
    return TlsContext(settings.tls_certificate, settings.tls_key);
}

std::string text_of(Seconds seconds) {
    std::string text = std::to_string(seconds.count());
    text.erase(text.find_last_not_of('0') + 1);
    if (text.back() == '.') text.pop_back();
    return text + " s";
}

void sort_unique(std::vector<size_t>& indices) {
    std::sort(indices.begin(), indices.end());
    indices.erase(std::unique(indices.begin(), indices.end()), indices.end());
}

std::string close_text(const Event& event) {
    if (event.code == kCloseNoStatus) return "closed without a code";
    return "closed with " + std::to_string(event.code);
}

}  // namespace

Server::Server(const Settings& settings, Log& log)
    : settings_(settings),
      log_(log),
      tls_(load_tls(settings)),
      listeners_(listen_at(settings.endpoints)),
      while_asleep_(install_signals()),
      buffer_(kBuffer),
      outflow_(settings.uring),
      now_(Clock::now()) {
    int port = settings.port;
    std::string places;
    for (const Listener& listener : listeners_) {
        if (!listener.endpoint().is_unix) port = listener.endpoint().port;
        places += (places.empty() ? "" : " and ") +
                  listener.endpoint().to_string();
        poller_.add(listener.fd(), POLLIN);
    }
    first_client_ = poller_.size();
    gate_.site.host = host_in_url(settings.host);
    gate_.site.location =
        websocket_location(settings.host, port, tls_.has_value());
    gate_.origins = {settings.host, settings.origins};
    gate_.trusted = settings.trusted_proxies;
    gate_.page = settings.page;
    gate_.deflate = settings.deflate;
    raise_descriptor_limit();
    log_.info("listening on " + places + url_to_open(port));
    log_.debug("sends by " + outflow_.way());
    log_.flush();
}

/// How a browser gets here; nothing if it needs a proxy for that.
std::string Server::url_to_open(int port) const {
    bool reachable = false;
    for (const Listener& listener : listeners_) {
        const Endpoint& endpoint = listener.endpoint();
        reachable = reachable ||
                    (!endpoint.is_unix &&
                     (is_loopback_host(settings_.host) ||
                      !is_loopback_host(endpoint.address)));
    }
    if (!reachable) return "";
    const std::string scheme = settings_.page ? "http" : "ws";
    return ", open " + scheme + (tls_ ? "s" : "") + "://" + gate_.site.host +
           ":" + std::to_string(port) + "/";
}

void Server::run() {
    while (!finished()) {
        poller_.wait(next_event(), while_asleep_);
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

/// Until when there is nothing to do but what poll tells.
Server::Time Server::next_event() const {
    if (room_.has_news()) return now_;
    return std::min({next_check_, next_ping_, next_accept_, stop_by_});
}

void Server::heed_signals() {
    // poll() lets no signal through while it always finds something ready.
    if (now_ >= next_heed_) {
        sigset_t blocked;
        sigprocmask(SIG_SETMASK, &while_asleep_, &blocked);
        sigprocmask(SIG_SETMASK, &blocked, nullptr);
        next_heed_ = after(kHeedInterval);
    }
    if (std::exchange(reload_signals, 0)) reload();
    if (stop_signals > 0 && !stopping_) stop();
}

void Server::reload() {
    if (!tls_) return log_.info("SIGHUP: there is nothing to reload");
    try {
        tls_->reload();
        log_.info("SIGHUP: the certificate was reloaded");
    } catch (const std::exception& error) {
        log_.error("SIGHUP: " + std::string(error.what()) +
                   "; the former certificate stays in use");
    }
}

/// Stops listening and closes every client with 1001.
void Server::stop() {
    log_.info("stopping" + count_members());
    stopping_ = true;
    stop_by_ = after(settings_.close_timeout);
    next_accept_ = next_ping_ = Time::max();
    listeners_.clear();
    for (size_t i = 0; i < first_client_; ++i) poller_.mute(i);
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
        if (poller_.happened(i)) accept_at(i);
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
        log_.debug(peer.peer.address + " accepted");
        poller_.add(peer.fd.get(), POLLIN);
        const bool tls = tls_ && !listeners_[listener].endpoint().is_unix;
        clients_.emplace_back(std::move(peer), settings_.rules,
                              tls ? &*tls_ : nullptr);
        clients_.back().heard = now_;
        set_timer(clients_.back().deadline, settings_.handshake_timeout);
    }
}

void Server::set_accepting(bool accepting) {
    for (size_t i = 0; i < listeners_.size(); ++i)
        poller_.watch(i, accepting ? POLLIN : 0);
    next_accept_ = Time::max();
    if (!accepting) next_accept_ = after(kAcceptRetry);
}

// Reading

void Server::serve() {
    for (size_t entry : poller_.ready()) {
        if (entry < first_client_) continue;
        const size_t i = entry - first_client_;
        const short what = happened(i);
        touched_.push_back(i);
        if (clients_[i].can_read(what & ~POLLOUT, what & POLLOUT)) read(i);
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
            return lose(client, "left: " + result.error);
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
    const auto admission = client.shake_hands(input, gate_);
    if (client.state() == Client::State::Raw) {
        client.deadline = Time::max();
        log_.debug(client.address() + " sends raw JSON");
    }
    if (!admission) return;
    mention_ignored(admission->visitor);
    if (client.state() == Client::State::Open) return welcome(client);
    closing(client);
    const std::string status = std::to_string(admission->answer.status);
    if (admission->page)
        log_.debug(client.address() + " was given a page: " + status);
    else
        log_.info(client.address() + " refused: " + status + " " +
                  admission->answer.why);
}

/// A proxy on this machine whose word does not count is a mistake in the
/// options, most likely.
void Server::mention_ignored(const Visitor& visitor) {
    const bool by_proxy = visitor.ignored &&
                          (visitor.address == kUnixAddress ||
                           is_loopback_host(visitor.address));
    if (!by_proxy || std::exchange(mentioned_ignored_, true)) return;
    const bool is_unix = visitor.address == kUnixAddress;
    log_.warning(visitor.address + " sends X-Forwarded-For, which is ignored"
                 " without --trust-proxy=" + (is_unix ? "unix" : "loopback"));
}

void Server::welcome(Client& client) {
    client.deadline = Time::max();
    client.join(room_.run(client.takes_deflated()));
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
    const bool raw_peer = client.state() == Client::State::Raw;
    const Ruling ruling = rule_on(
        text, {settings_.relay_system || raw_peer, client.speaks_v1()});
    if (ruling.relay) room_.publish(text);
    if (!ruling.reply.empty()) client.tell(ruling.reply);
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
    if (client.state() == Client::State::Closing) closing(client);
    if (was_open) left(client, "left: connection ended");
}

// Writing

void Server::flush() {
    if (room_.has_news()) {
        touched_.resize(clients_.size());
        std::iota(touched_.begin(), touched_.end(), size_t{0});
    } else {
        sort_unique(touched_);
    }
    room_.mark();
    for (size_t i = 0; i < touched_.size(); i += Outflow::kBatch)
        flush(&touched_[i], std::min(Outflow::kBatch, touched_.size() - i));
    touched_.clear();
}

void Server::flush(const size_t* batch, size_t count) {
    flushing_.clear();
    for (size_t n = 0; n < count; ++n) {
        if (!can_flush(batch[n])) continue;
        Client& client = clients_[batch[n]];
        flushing_.push_back({&client, client.begin_flush()});
    }
    write_all();
    for (Flushing& each : flushing_) wrote(*each.client, each.flush);
    for (size_t n = 0; n < count; ++n) settle(batch[n]);
}

/// Round after round, until nobody takes or is owed more.
void Server::write_all() {
    do {
        outgoing_.clear();
        for (Flushing& each : flushing_)
            if (each.flush.next.count > 0)
                outgoing_.push_back({&each.client->stream(), &each.flush.next});
        outflow_.write(outgoing_);
        auto written = outgoing_.begin();
        for (Flushing& each : flushing_)
            if (each.flush.next.count > 0)
                each.client->go_on(each.flush, written++->result);
    } while (!outgoing_.empty());
}

void Server::wrote(Client& client, const Client::Flush& flush) {
    const Transfer& result = flush.result;
    if (result.state == Transfer::State::Failed)
        return lose(client, "left: " + result.error);
    // Only a socket that was full tells that the peer takes bytes.
    if (flush.was_blocked && result.size > 0) client.heard = now_;
    if (result.state == Transfer::State::Done)
        client.stalled = Time::max();
    else if (!flush.was_blocked || result.size > 0)
        set_timer(client.stalled, settings_.stall_timeout);
    if (client.state() != flush.before) closing(client);
}

bool Server::can_flush(size_t i) const {
    const short what = happened(i);
    return clients_[i].state() != Client::State::Gone &&
           clients_[i].can_flush(what & ~POLLOUT, what & POLLOUT);
}

/// What follows from where its writing has come to.
void Server::settle(size_t i) {
    Client& client = clients_[i];
    limit_backlog(client);
    if (client.state() == Client::State::Gone) return gone_.push_back(i);
    await(i);
}

void Server::await(size_t i) {
    const Client& client = clients_[i];
    short events = 0;
    if (client.waits_for_input()) events |= POLLIN;
    if (client.waits_for_output()) events |= POLLOUT;
    poller_.watch(first_client_ + i, events);
}

/// What was published in this turn does not count: nobody has had the time
/// to take it.
void Server::limit_backlog(Client& client) {
    const uint64_t backlog = client.backlog();
    if (backlog > settings_.max_backlog)
        lose(client, "dropped: " + std::to_string(backlog) + " bytes behind");
}

void Server::limit_own(size_t i) {
    Client& client = clients_[i];
    if (client.own_size() <= kMaxOwn) return;
    flush(&i, 1);
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
    for (size_t i = 0; i < clients_.size(); ++i) {
        Client& client = clients_[i];
        if (client.state() == Client::State::Open &&
            client.heard <= ping_before_last_) {
            lose(client, "dropped: answers no ping");
            touched_.push_back(i);
        }
    }
    ping_before_last_ = std::exchange(last_ping_, now_);
    room_.ping();
}

void Server::check_deadlines() {
    Time next = Time::max();
    for (size_t i = 0; i < clients_.size(); ++i) {
        Client& client = clients_[i];
        if (now_ >= std::min(client.deadline, client.stalled))
            touched_.push_back(i);
        if (now_ >= client.deadline) {
            expire(client);
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
    if (client.state() == Client::State::Handshaking && !client.is_ready()) {
        client.drop();
        log_.info(client.address() + " refused: no TLS handshake in time");
    } else if (client.state() == Client::State::Handshaking) {
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
    if (settings_.announce)
        room_.publish(system_message(client.address() + " " + what));
}

std::string Server::count_members() const {
    return " (" + std::to_string(members_) +
           (members_ == 1 ? " client)" : " clients)");
}

/// Destroys who is gone. The last one takes the place of each.
void Server::sweep() {
    if (gone_.empty()) return;
    // From the last to the first: who comes to a place stays.
    sort_unique(gone_);
    std::reverse(gone_.begin(), gone_.end());
    const size_t before = clients_.size();
    for (size_t i : gone_) {
        std::swap(clients_[i], clients_.back());
        clients_.pop_back();
        poller_.remove(first_client_ + i);
    }
    gone_.clear();
    room_.tidy();
    if (starved_ && !stopping_) set_accepting(true);
    peak_ = std::max(peak_, before);
    if (clients_.size() >= peak_ / 4) return;
    peak_ = clients_.size();
    malloc_trim(0);
}

}  // namespace wschat
