#include "server.h"

#include <algorithm>
#include <functional>
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
constexpr int kSpareMemory = 4 << 20;  // bytes that are free and stay ours
constexpr std::chrono::seconds kCountInterval(1);

constexpr char kNoRoom[] = "there is no place for another room";

std::optional<TlsContext> load_tls(const Settings& settings) {
    if (settings.tls_certificate.empty()) return std::nullopt;
    return TlsContext(settings.tls_certificate, settings.tls_key);
}

Keys load_keys(const Settings& settings) {
    return settings.publish_key.empty() ? Keys() : Keys(settings.publish_key);
}

/// What a turn takes and frees, records for a crowd on TLS above all, the next
/// one takes again: to give it back each time costs more than to fill it.
void keep_spare_memory() {
    mallopt(M_TRIM_THRESHOLD, kSpareMemory);
    mallopt(M_MMAP_THRESHOLD, kSpareMemory);
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
      tls_(load_tls(settings)),
      listeners_(listen_at(settings.endpoints)),
      buffer_(kBuffer),
      flusher_(settings.uring),
      rooms_(settings.room_rules),
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
    gate_.rooms = settings.rooms;
    gate_.keys = load_keys(settings);
    gate_.max_upload = settings.rules.max_message;
    raise_descriptor_limit();
    keep_spare_memory();
    prepare_handshakes();
    log_.info("listening on " + places + url_to_open(port));
    log_.debug("sends by " + flusher_.way());
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
        poller_.wait(next_event(), signals_.while_asleep());
        now_ = Clock::now();
        heed_signals();
        serve();
        accept_new();
        keep_time();
        flush();
        sweep();
        log_.flush();
    }
}

bool Server::finished() const {
    return stopping_ &&
           (clients_.empty() || now_ >= stop_by_ || signals_.stops() > 1);
}

/// Until when there is nothing to do but what poll tells.
Server::Time Server::next_event() const {
    if (rooms_.has_news()) return now_;
    return std::min({next_check_, next_ping_, next_count_, next_accept_,
                     stop_by_, rooms_.next_expiry()});
}

void Server::heed_signals() {
    signals_.look(now_);
    if (signals_.take_reload()) reload();
    if (signals_.stops() > 0 && !stopping_) stop();
}

/// What can't be used stays as it was, file by file.
void Server::reload() {
    const bool has_keys = !gate_.keys.empty();
    if (!tls_ && !has_keys)
        return log_.info("SIGHUP: there is nothing to reload");
    try {
        if (tls_) tls_->reload();
        if (tls_) log_.info("SIGHUP: the certificate was reloaded");
    } catch (const std::exception& error) {
        log_.error("SIGHUP: " + std::string(error.what()) +
                   "; the former certificate stays in use");
    }
    try {
        if (has_keys) gate_.keys = load_keys(settings_);
        if (has_keys) log_.info("SIGHUP: the keys were reloaded");
    } catch (const std::exception& error) {
        log_.error("SIGHUP: " + std::string(error.what()) +
                   "; the former keys stay in use");
    }
}

/// Stops listening and closes every client with 1001.
void Server::stop() {
    log_.info("stopping" + count_members());
    stopping_ = true;
    stop_by_ = after(settings_.close_timeout);
    next_accept_ = next_ping_ = next_count_ = Time::max();
    listeners_.clear();
    for (size_t i = 0; i < first_client_; ++i) poller_.mute(i);
    for (size_t i = 0; i < clients_.size(); ++i) {
        Client& client = clients_[i];
        if (client.state() == Client::State::Open) {
            leave_room(client);
            client.close(encode_close(kCloseGoingAway, "server is stopping"));
        } else if (client.listens()) {
            client.drop();
        }
        touch(i);
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
        touch(i);
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
    if (client.state() == Client::State::Handshaking) shake_hands(i, input);
    if (client.state() == Client::State::Receiving) receive(client, input);
    while (client.listens()) {
        const Event event = client.next(input);
        if (event.kind == Event::Kind::NeedMore) break;
        handle(client, event);
        limit_own(i);
    }
    if (client.state() == Client::State::Raw) limit_object_time(client);
}

void Server::shake_hands(size_t i, Bytes& input) {
    Client& client = clients_[i];
    auto admission = client.shake_hands(input, gate_);
    if (client.state() == Client::State::Raw) {
        client.deadline = Time::max();
        log_.debug(client.address() + " sends raw JSON");
    }
    if (!admission) return;
    mention_ignored(admission->visitor);
    if (admission->answer.status == 101) find_room(client, *admission);
    client.answer(*admission);
    if (client.state() == Client::State::Open) return welcome(i, *admission);
    if (client.state() == Client::State::Closing)
        answered(client, admission->answer);
}

void Server::find_room(Client& client, Admission& admission) {
    client.room = rooms_.open(admission.room, now_);
    if (client.room)
        rooms_.hold(*client.room);
    else
        admission.answer = refuse(503, kNoRoom);
}

/// A request was answered with what is not to be gone on with.
void Server::answered(Client& client, const Answer& answer) {
    closing(client);
    const std::string status = std::to_string(answer.status);
    if (answer.status < 400)
        log_.debug(client.address() + " was answered: " + status);
    else
        log_.info(client.address() + " refused: " + status + " " + answer.why);
}

void Server::receive(Client& client, Bytes& input) {
    const auto upload = client.receive(input);
    if (!upload) return;
    const Answer answer = publish(*upload);
    client.close(answer.bytes);
    answered(client, answer);
}

/// Publishes all messages of an upload, or none.
Answer Server::publish(const Upload& upload) {
    const Messages messages = messages_in(upload);
    if (!messages.error.empty())
        return refuse(400, "not relayed: " + messages.error);
    Room* room = rooms_.open(upload.room, now_);
    if (!room) return refuse(503, kNoRoom);
    for (std::string_view text : messages.texts)
        rooms_.publish(*room, text, now_);
    const bool keeps = settings_.room_rules.keep.messages > 0;
    if (room->members().empty() && keeps && room->history().size() == 0)
        return refuse(503, "nobody is there, and it is too much to be kept");
    return answer_with(200, "Content-Type: application/json\r\n",
                       receipt(room->name(), room->members().size(),
                               room->history().last()) + "\n");
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

void Server::welcome(size_t i, const Admission& admission) {
    Client& client = clients_[i];
    Room& room = *client.room;
    client.deadline = Time::max();
    client.seat = room.enter(static_cast<uint32_t>(i));
    const Room::Start start =
        room.start_for(admission.resume, settings_.room_rules.history);
    if (client.speaks_v1())
        client.tell(hello({room.name(), room.epoch(), start.first,
                           room.history().last(), room.members().size(),
                           start.recovered}));
    client.join(room, start.first);
    if (++members_ == 1 && settings_.ping_interval.count() > 0)
        next_ping_ = after(settings_.ping_interval);
    log_.info(client.address() + " joined" + where(client));
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
    client.tell(notice(event.reason));
}

void Server::relay(Client& client, std::string_view text) {
    const bool raw_peer = client.state() == Client::State::Raw;
    const Ruling ruling = rule_on(
        text, {settings_.relay_system || raw_peer, client.speaks_v1()});
    switch (ruling.verdict) {
        case Ruling::Verdict::Relay: break;
        case Ruling::Verdict::Drop: return;
        case Ruling::Verdict::Refuse: return client.tell(notice(ruling.why));
        case Ruling::Verdict::Answer: return client.tell(kPong);
    }
    Room* room = raw_peer ? rooms_.open("/", now_) : client.room;
    if (!room) return client.tell(notice(kNoRoom));
    rooms_.publish(*room, text, now_);
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
        client.tell(notice("the object has no end"));
    client.end_of_input();
    if (client.state() == Client::State::Closing) closing(client);
    if (was_open) left(client, "left: connection ended");
}

// Writing

void Server::flush() {
    const std::vector<Room*> news = rooms_.take_news();
    for (const Room* room : news)
        for (uint32_t member : room->members()) touch(member);
    for (size_t i = 0; i < touched_.size(); i += Outflow::kBatch)
        flush(&touched_[i], std::min(Outflow::kBatch, touched_.size() - i));
    for (Room* room : news) room->mark();
    for (uint32_t i : touched_) clients_[i].touched = false;
    touched_.clear();
}

void Server::flush(const uint32_t* batch, size_t count) {
    flusher_.begin();
    for (size_t n = 0; n < count; ++n)
        if (can_flush(batch[n])) flusher_.add(clients_[batch[n]]);
    for (const Flusher::Flushed& each : flusher_.write())
        wrote(*each.client, each.flush);
    for (size_t n = 0; n < count; ++n) settle(batch[n]);
}

/// The client is to be flushed in this turn, and what follows from that.
void Server::touch(size_t i) {
    if (!std::exchange(clients_[i].touched, true))
        touched_.push_back(static_cast<uint32_t>(i));
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
    return clients_[i].state() != Client::State::Gone &&
           clients_[i].can_flush(happened(i) & POLLOUT);
}

/// What follows from where its writing has come to.
void Server::settle(size_t i) {
    Client& client = clients_[i];
    limit_backlog(client);
    if (client.state() == Client::State::Gone) return gone_.push_back(static_cast<uint32_t>(i));
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
    const auto index = static_cast<uint32_t>(i);
    flush(&index, 1);
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

void Server::keep_time() {
    if (now_ >= next_check_) check_deadlines();
    if (now_ >= next_ping_) ping();
    if (now_ >= next_count_) announce_counts();
    rooms_.expire(now_);
}

void Server::ping() {
    next_ping_ = members_ > 0 ? after(settings_.ping_interval) : Time::max();
    for (size_t i = 0; i < clients_.size(); ++i) {
        Client& client = clients_[i];
        if (client.state() == Client::State::Open &&
            client.heard <= ping_before_last_) {
            lose(client, "dropped: answers no ping");
            touch(i);
        }
    }
    ping_before_last_ = std::exchange(last_ping_, now_);
    rooms_.ping(now_);
}

void Server::check_deadlines() {
    Time next = Time::max();
    for (size_t i = 0; i < clients_.size(); ++i) {
        Client& client = clients_[i];
        if (now_ >= std::min(client.deadline, client.stalled)) touch(i);
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
    } else if (client.state() <= Client::State::Receiving) {
        const Answer answer = refuse(408, "no request in time");
        client.close(answer.bytes);
        answered(client, answer);
    } else if (client.state() == Client::State::Raw) {
        client.tell(notice("the object took too long"));
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
    leave_room(client);
    log_.info(client.address() + " " + why + where(client));
    if (!stopping_) announce(client, "disconnected");
}

/// It is no member any more; the room stays until the client is destroyed.
void Server::leave_room(Client& client) {
    --members_;
    Room& room = *client.room;
    room.leave(client.seat);
    if (client.seat < room.members().size())
        clients_[room.members()[client.seat]].seat = client.seat;
}

void Server::announce(const Client& client, const char* what) {
    if (settings_.announce == Announce::Address)
        rooms_.publish(*client.room,
                       system_message(client.address() + " " + what), now_);
    if (settings_.announce == Announce::Count && next_count_ == Time::max())
        next_count_ = std::max(now_, last_count_ + kCountInterval);
}

void Server::announce_counts() {
    for (Room* room : rooms_.take_recounted())
        rooms_.publish(*room,
                       system_message(std::to_string(room->members().size()) +
                                      " online"),
                       now_);
    last_count_ = now_;
    next_count_ = Time::max();
}

/// For the log: how many there are in all rooms, and which one it was.
std::string Server::where(const Client& client) const {
    return count_members() +
           (settings_.rooms ? " in " + client.room->name() : "");
}

std::string Server::count_members() const {
    return " (" + std::to_string(members_) +
           (members_ == 1 ? " client)" : " clients)");
}

/// Destroys who is gone. The last one takes the place of each.
void Server::sweep() {
    if (gone_.empty()) return;
    // From the last to the first: who comes to a place stays.
    std::sort(gone_.begin(), gone_.end(), std::greater<>());
    gone_.erase(std::unique(gone_.begin(), gone_.end()), gone_.end());
    const size_t before = clients_.size();
    for (uint32_t i : gone_) destroy(i);
    gone_.clear();
    if (starved_ && !stopping_) set_accepting(true);
    peak_ = std::max(peak_, before);
    if (clients_.size() >= peak_ / 4) return;
    peak_ = clients_.size();
    malloc_trim(0);
}

void Server::destroy(uint32_t i) {
    if (clients_[i].room) rooms_.release(*clients_[i].room);
    std::swap(clients_[i], clients_.back());
    clients_.pop_back();
    poller_.remove(first_client_ + i);
    if (i == clients_.size()) return;
    const Client& moved = clients_[i];
    if (moved.state() == Client::State::Open)
        moved.room->rename(moved.seat, i);
}

}  // namespace wschat
