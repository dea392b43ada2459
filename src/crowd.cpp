#include "crowd.h"

#include <algorithm>
#include <functional>
#include <utility>

#include <malloc.h>
#include <poll.h>

#include "room/relay_rules.h"

namespace wschat {

namespace {

constexpr size_t kBuffer = 64 << 10;  // bytes that a client may send a turn
constexpr size_t kMaxOwn = 64 << 10;  // bytes of its own owed to a client
constexpr Seconds kMinCheck{0.01};    // between two looks at all deadlines
constexpr std::chrono::seconds kCountInterval(1);

constexpr char kNoRoom[] = "too many rooms";

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

Crowd::Crowd(const Settings& settings, Log& log, const RouterConfig& gate,
             Poller& poller)
    : settings_(settings),
      log_(log),
      gate_(gate),
      poller_(poller),
      first_(poller.size()),
      buffer_(kBuffer),
      flusher_(settings.uring),
      rooms_(settings.rooms_config) {}

void Crowd::add(Accepted peer, const TlsContext* tls) {
    log_.debug(peer.peer.address + " accepted");
    poller_.add(peer.fd.get(), POLLIN);
    clients_.emplace_back(std::move(peer), settings_.reader_config, tls);
    clients_.back().heard = now_;
    set_timer(clients_.back().deadline, settings_.handshake_timeout);
}

void Crowd::dismiss() {
    dismissed_ = true;
    next_ping_ = next_count_ = Time::max();
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

bool Crowd::end_turn() {
    keep_time();
    flush();
    return sweep();
}

Crowd::Time Crowd::next_event() const {
    if (rooms_.has_news()) return now_;
    return std::min(
        {next_check_, next_ping_, next_count_, rooms_.next_expiry()});
}

// Reading

void Crowd::serve() {
    for (size_t entry : poller_.ready()) {
        if (entry < first_) continue;
        const size_t i = entry - first_;
        const short what = happened(i);
        touch(i);
        if (clients_[i].can_read(what & ~POLLOUT, what & POLLOUT)) read(i);
    }
}

void Crowd::read(size_t i) {
    Client& client = clients_[i];
    if (client.state() == Client::State::Gone) return;
    const IoResult result = client.read(buffer_.data(), buffer_.size());
    switch (result.state) {
        case IoResult::State::Blocked: return;
        case IoResult::State::Done:
            client.heard = now_;
            take(i, {buffer_.data(), result.size});
            if (client.has_more()) read(i);
            return;
        case IoResult::State::Failed:
            return lose(client, "left: " + result.error);
        case IoResult::State::Eof: return end_of_input(i);
    }
}

/// What a client has sent, of which nothing is kept but what is incomplete.
void Crowd::take(size_t i, Bytes input) {
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

void Crowd::shake_hands(size_t i, Bytes& input) {
    Client& client = clients_[i];
    auto admission = client.shake_hands(input, gate_);
    if (client.state() == Client::State::Raw) {
        clear_timer(client.deadline);
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

void Crowd::find_room(Client& client, Admission& admission) {
    client.room = rooms_.open(admission.room, now_);
    if (client.room)
        rooms_.hold(*client.room);
    else
        admission.answer = error_response(503, kNoRoom);
}

/// A request was answered, and nothing more comes of its connection.
void Crowd::answered(Client& client, const Response& answer) {
    closing(client);
    const std::string status = std::to_string(answer.status);
    if (answer.status < 400)
        log_.debug(client.address() + " response: " + status);
    else
        log_.info(client.address() + " refused: " + status + " " + answer.why);
}

void Crowd::receive(Client& client, Bytes& input) {
    const auto upload = client.receive(input);
    if (!upload) return;
    const Response answer = publish(*upload);
    client.close(answer.bytes);
    answered(client, answer);
}

/// Publishes all messages of an upload, or none.
Response Crowd::publish(const Upload& upload) {
    const Messages messages = messages_in(upload);
    if (!messages.error.empty())
        return error_response(400, "not relayed: " + messages.error);
    Room* room = rooms_.open(upload.room, now_);
    if (!room) return error_response(503, kNoRoom);
    for (std::string_view text : messages.texts)
        rooms_.publish(*room, text, now_);
    const bool keeps = settings_.rooms_config.retention.messages > 0;
    if (room->members().empty() && keeps && room->history().size() == 0)
        return error_response(503, "room is empty and the message exceeds the retention limit");
    return make_response(200, "Content-Type: application/json\r\n",
                       receipt(room->name(), room->members().size(),
                               room->history().newest()) + "\n");
}

/// A proxy on this machine whose word does not count is a mistake in the
/// options, most likely.
void Crowd::mention_ignored(const ClientAddress& visitor) {
    if (!visitor.ignored || std::exchange(mentioned_ignored_, true)) return;
    const bool is_unix = visitor.address == kUnixAddress;
    log_.warning(visitor.address + " sends X-Forwarded-For, which is ignored"
                 " without --trust-proxy=" + (is_unix ? "unix" : "loopback"));
}

void Crowd::welcome(size_t i, const Admission& admission) {
    Client& client = clients_[i];
    Room& room = *client.room;
    clear_timer(client.deadline);
    client.seat = room.enter(static_cast<uint32_t>(i));
    const Room::Start start =
        room.start_for(admission.resume, settings_.rooms_config.history);
    if (client.speaks_v1())
        client.tell(hello({room.name(), room.epoch(), start.first,
                           room.history().newest(), room.members().size(),
                           start.recovered}));
    client.join(room, start.first);
    if (++members_ == 1 && settings_.ping_interval.count() > 0)
        next_ping_ = after(settings_.ping_interval);
    poller_.rest(first_ + i);
    log_.info(client.address() + " joined" + where(client));
    announce(client, "connected");
}

void Crowd::handle(Client& client, const Event& event) {
    switch (event.kind) {
        case Event::Kind::Raw: clear_timer(client.deadline); [[fallthrough]];
        case Event::Kind::Text:
        case Event::Kind::Binary: return relay(client, event.payload);
        case Event::Kind::Close:
            closing(client);
            return left(client, "left: " + close_text(event));
        case Event::Kind::Error: return refuse_input(client, event);
        default: return;
    }
}

void Crowd::refuse_input(Client& client, const Event& event) {
    closing(client);
    if (client.in_room())
        return left(client, "closed: protocol error " + std::to_string(event.code) +
                                ": " + event.reason);
    log_.info(client.address() + " refused: " + event.reason);
    client.tell(notice(event.reason));
}

void Crowd::relay(Client& client, std::string_view text) {
    const bool raw_peer = client.state() == Client::State::Raw;
    const RelayDecision ruling = decide_relay(
        text, {settings_.relay_system || raw_peer, client.speaks_v1()});
    switch (ruling.verdict) {
        case RelayDecision::Verdict::Relay: break;
        case RelayDecision::Verdict::Drop: return;
        case RelayDecision::Verdict::Refuse: return client.tell(notice(ruling.why));
        case RelayDecision::Verdict::Answer: return client.tell(kPong);
    }
    Room* room = raw_peer ? rooms_.open("/", now_) : client.room;
    if (!room) return client.tell(notice(kNoRoom));
    rooms_.publish(*room, text, now_);
}

/// A raw peer has the handshake's time for each object from its first byte.
void Crowd::limit_object_time(Client& client) {
    if (!client.reader().inside_raw())
        clear_timer(client.deadline);
    else if (client.deadline == Time::max())
        set_timer(client.deadline, settings_.handshake_timeout);
}

void Crowd::end_of_input(size_t i) {
    Client& client = clients_[i];
    const bool was_open = client.state() == Client::State::Open;
    if (client.listens() && client.reader().inside_raw())
        client.tell(notice("connection closed inside a JSON object"));
    client.end_of_input();
    if (client.state() == Client::State::Closing) closing(client);
    if (was_open) left(client, "left: connection ended");
}

// Writing

void Crowd::flush() {
    const std::vector<Room*> news = rooms_.take_news();
    for (const Room* room : news)
        for (uint32_t member : room->members()) touch(member);
    for (size_t i = 0; i < touched_.size(); i += SendBatch::kBatch)
        flush(&touched_[i], std::min(SendBatch::kBatch, touched_.size() - i));
    for (Room* room : news) room->mark();
    for (uint32_t i : touched_) clients_[i].touched = false;
    touched_.clear();
}

void Crowd::flush(const uint32_t* batch, size_t count) {
    flusher_.begin();
    for (size_t n = 0; n < count; ++n)
        if (can_flush(batch[n])) flusher_.add(clients_[batch[n]]);
    for (const Flusher::Flushed& each : flusher_.write())
        wrote(*each.client, each.flush);
    for (size_t n = 0; n < count; ++n) settle(batch[n]);
}

/// The client is to be flushed and settled in this turn.
void Crowd::touch(size_t i) {
    if (!std::exchange(clients_[i].touched, true))
        touched_.push_back(static_cast<uint32_t>(i));
}

void Crowd::wrote(Client& client, const Client::Flush& flush) {
    const IoResult& result = flush.result;
    if (result.state == IoResult::State::Failed)
        return lose(client, "left: " + result.error);
    // Only a socket that was full tells that the peer takes bytes.
    if (flush.was_blocked && result.size > 0) client.heard = now_;
    if (result.state == IoResult::State::Done)
        clear_timer(client.stalled);
    else if (!flush.was_blocked || result.size > 0)
        set_timer(client.stalled, settings_.stall_timeout);
    if (client.state() != flush.before) closing(client);
}

bool Crowd::can_flush(size_t i) const {
    return clients_[i].state() != Client::State::Gone &&
           clients_[i].can_flush(happened(i) & POLLOUT);
}

/// After its writing: it is too far behind, gone, or waits for something.
void Crowd::settle(size_t i) {
    Client& client = clients_[i];
    limit_backlog(client);
    if (client.state() == Client::State::Gone)
        gone_.push_back(static_cast<uint32_t>(i));
    else
        await(i);
}

void Crowd::await(size_t i) {
    const Client& client = clients_[i];
    short events = 0;
    if (client.waits_for_input()) events |= POLLIN;
    if (client.waits_for_output()) events |= POLLOUT;
    poller_.watch(first_ + i, events);
}

/// What was published in this turn does not count: nobody has had the time
/// to take it.
void Crowd::limit_backlog(Client& client) {
    const uint64_t backlog = client.backlog();
    if (backlog > settings_.max_backlog)
        lose(client, "dropped: backlog of " + std::to_string(backlog) + " bytes");
}

void Crowd::limit_own(size_t i) {
    Client& client = clients_[i];
    if (client.own_size() <= kMaxOwn) return;
    const auto index = static_cast<uint32_t>(i);
    flush(&index, 1);
    if (client.own_size() > kMaxOwn)
        lose(client, "dropped: reply buffer full");
}

// Time

Crowd::Time Crowd::after(Seconds seconds) const {
    return now_ + std::chrono::duration_cast<Time::duration>(seconds);
}

void Crowd::set_timer(Time& timer, Seconds seconds) {
    if (timer == Time::max()) ++timers_;
    timer = after(seconds);
    next_check_ = std::min(next_check_, timer);
}

void Crowd::clear_timer(Time& timer) {
    if (std::exchange(timer, Time::max()) == Time::max()) return;
    if (--timers_ == 0) next_check_ = Time::max();
}

void Crowd::keep_time() {
    if (now_ >= next_check_) check_deadlines();
    if (now_ >= next_ping_) ping();
    if (now_ >= next_count_) announce_counts();
    rooms_.expire(now_);
}

void Crowd::ping() {
    next_ping_ = members_ > 0 ? after(settings_.ping_interval) : Time::max();
    for (size_t i = 0; i < clients_.size(); ++i) {
        Client& client = clients_[i];
        if (client.state() == Client::State::Open &&
            client.heard <= ping_before_last_) {
            lose(client, "dropped: ping timeout");
            touch(i);
        }
    }
    ping_before_last_ = std::exchange(last_ping_, now_);
    rooms_.ping(now_);
}

void Crowd::check_deadlines() {
    Time next = Time::max();
    for (size_t i = 0; i < clients_.size(); ++i) {
        Client& client = clients_[i];
        if (now_ >= std::min(client.deadline, client.stalled)) touch(i);
        if (now_ >= client.deadline) {
            expire(client);
        } else if (now_ >= client.stalled) {
            lose(client, "dropped: send stalled for " +
                             text_of(settings_.stall_timeout));
        }
        next = std::min({next, client.deadline, client.stalled});
    }
    next_check_ = next == Time::max() ? next : std::max(next, after(kMinCheck));
}

/// The time of the client's state is over.
void Crowd::expire(Client& client) {
    if (client.state() == Client::State::Handshaking && !client.is_ready()) {
        client.drop();
        log_.info(client.address() + " refused: TLS handshake not complete in time");
    } else if (client.state() <= Client::State::Receiving) {
        const Response answer = error_response(408, "request not complete in time");
        client.close(answer.bytes);
        answered(client, answer);
    } else if (client.state() == Client::State::Raw) {
        client.tell(notice("JSON object not complete in time"));
        client.close("");
        closing(client);
    } else {
        client.drop();
    }
}

// Leaving

/// The client is Closing or Draining from now on.
void Crowd::closing(Client& client) {
    set_timer(client.deadline, settings_.close_timeout);
    clear_timer(client.stalled);
}

/// The client is gone without a goodbye.
void Crowd::lose(Client& client, const std::string& why) {
    const bool was_open = client.state() == Client::State::Open;
    client.drop();
    clear_timer(client.deadline);
    clear_timer(client.stalled);
    if (was_open)
        left(client, why);
    else
        log_.debug(client.address() + " " + why);
}

/// A client was Open and is not any more.
void Crowd::left(Client& client, const std::string& why) {
    leave_room(client);
    log_.info(client.address() + " " + why + where(client));
    if (!dismissed_) announce(client, "disconnected");
}

/// It is no member any more; the room stays until the client is destroyed.
void Crowd::leave_room(Client& client) {
    --members_;
    Room& room = *client.room;
    room.leave(client.seat);
    if (client.seat < room.members().size())
        clients_[room.members()[client.seat]].seat = client.seat;
}

void Crowd::announce(const Client& client, const char* what) {
    if (settings_.announce == Announce::Address)
        rooms_.publish(*client.room,
                       system_message(client.address() + " " + what), now_);
    if (settings_.announce == Announce::Count && next_count_ == Time::max())
        next_count_ = std::max(now_, last_count_ + kCountInterval);
}

void Crowd::announce_counts() {
    for (Room* room : rooms_.take_recounted())
        rooms_.publish(*room,
                       system_message(std::to_string(room->members().size()) +
                                      " online"),
                       now_);
    last_count_ = now_;
    next_count_ = Time::max();
}

/// For the log: how many there are in all rooms, and which one it was.
std::string Crowd::where(const Client& client) const {
    return count_members() +
           (settings_.rooms ? " in " + client.room->name() : "");
}

std::string Crowd::count_members() const {
    return " (" + std::to_string(members_) +
           (members_ == 1 ? " client)" : " clients)");
}

/// Destroys who is gone. The last one takes the place of each.
bool Crowd::sweep() {
    if (gone_.empty()) return false;
    // From the last to the first: who comes to a place stays.
    std::sort(gone_.begin(), gone_.end(), std::greater<>());
    gone_.erase(std::unique(gone_.begin(), gone_.end()), gone_.end());
    const size_t before = clients_.size();
    for (uint32_t i : gone_) destroy(i);
    gone_.clear();
    peak_ = std::max(peak_, before);
    if (clients_.size() < peak_ / 4) {
        peak_ = clients_.size();
        malloc_trim(0);
    }
    return true;
}

void Crowd::destroy(uint32_t i) {
    clear_timer(clients_[i].deadline);
    clear_timer(clients_[i].stalled);
    if (clients_[i].room) rooms_.release(*clients_[i].room);
    std::swap(clients_[i], clients_.back());
    clients_.pop_back();
    poller_.remove(first_ + i);
    if (i == clients_.size()) return;
    const Client& moved = clients_[i];
    if (moved.state() == Client::State::Open)
        moved.room->rename(moved.seat, i);
}

}  // namespace wschat
