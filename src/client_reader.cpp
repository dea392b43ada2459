#include "client_reader.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace wschat {

namespace {

using State = Client::State;
using Kind = Deadlines::Kind;

// What one client may take of a turn: so many bytes of inflated messages, which
// may arrive in a thousandth of them, or so much time. The rest of its input
// waits for the next turn.
constexpr int64_t kMaxInflated = 256 << 10;
constexpr std::chrono::milliseconds kMaxClientTime(1);

/// A message counts for so many bytes more, because the smallest has its cost
/// too.
constexpr int64_t kMessageCost = 64;

/// The time is looked at again after so many bytes: that costs as much as a
/// small message.
constexpr int64_t kBytesBetweenLooks = 16 << 10;

// What all clients together may take of a turn, before what they have caused is
// sent and poll() is asked again. Each queue has a time of its own, so that
// none keeps the others waiting. Members that have published much lately wait
// in one of their own: a large message costs as much as thousands of small
// ones.
constexpr std::chrono::milliseconds kMaxTime[] = {
    std::chrono::milliseconds(4),   // Queue::Members
    std::chrono::milliseconds(1),   // Queue::Heavy
    std::chrono::milliseconds(2)};  // Queue::Newcomers

/// A string of a size below this has no memory of its own, or not much.
constexpr uint64_t kMinPartial = 64;

/// Bytes for a client alone, above which it is dropped: one that sends pings
/// and reads no pongs must not fill the memory.
constexpr size_t kMaxOwn = 64 << 10;

/// How long a client may publish more than its rate permits without a pause.
constexpr std::chrono::seconds kMaxOver(30);

/// What counts as a pause.
constexpr std::chrono::seconds kPause(1);

/// True if a client sends messages.
bool is_talking(const Client& client) {
    return client.state() == State::Open || client.state() == State::Raw;
}

/// Returns how many bytes of messages this is.
uint64_t size_of(const ClientInput& input) {
    if (const auto* message = std::get_if<input::Message>(&input))
        return message->text.size();
    if (const auto* part = std::get_if<input::Inflating>(&input))
        return part->size;
    return 0;
}

}  // namespace

class ClientReader::Share {
public:
    /// Takes what a message costs. Returns false if the share is used up.
    bool take(size_t bytes) {
        left_ -= static_cast<int64_t>(bytes) + kMessageCost;
        if (left_ <= 0) return false;
        if (left_ > next_look_) return true;
        next_look_ = left_ - kBytesBetweenLooks;
        return Clock::now() < until_;
    }

private:
    int64_t left_ = kMaxInflated;
    int64_t next_look_ = kMaxInflated - kBytesBetweenLooks;
    Time until_ = Clock::now() + kMaxClientTime;
};

ClientReader::ClientReader(const Settings& settings, ConnectionTable& table,
                           ClientWriter& writer, InputHandler& handler)
    : settings_(settings),
      table_(table),
      writer_(writer),
      handler_(handler),
      limits_(table.limits()),
      deadlines_(table.deadlines()),
      buffer_(kMaxRead) {}

bool ClientReader::has_waiting() const {
    return std::any_of(queues_.begin(), queues_.end(),
                       [](const auto& queue) { return !queue.empty(); });
}

void ClientReader::enqueue(Connection& connection) {
    if (std::exchange(connection.is_queued, true)) return;
    queues_[static_cast<size_t>(queue_of(connection))].push_back(
        connection.id());
}

ClientReader::Queue ClientReader::queue_of(const Connection& connection) const {
    const Client& client = connection.client;
    if (!is_talking(client)) return Queue::Newcomers;
    const AddressUse* use = client.member().use;
    const bool is_heavy =
        use && (limits_.has_published_much(*use, table_.now()) ||
                (connection.activity &&
                 limits_.has_published_much(connection.activity->published,
                                            table_.now())));
    return is_heavy ? Queue::Heavy : Queue::Members;
}

void ClientReader::serve_queues() {
    for (size_t i = 0; i < queues_.size(); ++i) {
        std::deque<uint32_t>& queue = queues_[i];
        const Time until = Clock::now() + kMaxTime[i];
        // Those that come back meanwhile go on in the next turn.
        for (size_t left = queue.size(); left > 0; --left) {
            const uint32_t id = queue.front();
            queue.pop_front();
            // It may have been destroyed, and its id belong to another one.
            if (!table_.has(id) || !table_[id].is_queued) continue;
            table_[id].is_queued = false;
            read(table_[id]);
            if (Clock::now() >= until) break;
        }
    }
}

/// Takes what was read before and waits still, else what the socket has.
void ClientReader::read(Connection& connection) {
    Client& client = connection.client;
    if (client.state() == State::Gone) return;
    table_.touch(connection);
    // The others of its address may have used up what they have together.
    if (is_talking(client) && hold_if_over(connection)) return;
    make_room_for_partial();
    Share share;
    if (connection.has_input()) {
        std::string& input = connection.activity->input;
        Bytes bytes{input.data(), input.size()};
        process(connection, bytes, share);
        input.erase(0, input.size() - bytes.size);
        if (input.empty()) release(input);
    } else {
        read_socket(connection, share);
    }
    note_partial(connection);
    if (!connection.is_held && client.state() != State::Gone &&
        (connection.has_input() || client.has_more()))
        enqueue(connection);
}

void ClientReader::read_socket(Connection& connection, Share& share) {
    Client& client = connection.client;
    // A second time only if TLS has something that poll() can't see. What else
    // the socket holds waits for the next turn.
    do {
        const IoResult result = client.read(buffer_.data(), buffer_.size());
        switch (result.state) {
            case IoResult::State::Blocked: return;
            case IoResult::State::Failed:
                return table_.drop(client, "left: " + result.error);
            case IoResult::State::Eof:
                return handler_.end_of_input(client);
            case IoResult::State::Done: break;
        }
        connection.last_activity = table_.now();
        Bytes bytes{buffer_.data(), result.size};
        process(connection, bytes, share);
        if (bytes.size > 0) connection.active().input = bytes.view();
    } while (client.has_more() && client.state() != State::Gone &&
             !connection.has_input() && !connection.is_held);
}

/// Handles what a client has sent: all of it, or as much as its share and its
/// rate permit. What is incomplete, the client keeps.
void ClientReader::process(Connection& connection, Bytes& bytes, Share& share) {
    Client& client = connection.client;
    for (;;) {
        const ClientInput input = client.next(bytes);
        if (std::holds_alternative<input::NeedMore>(input)) break;
        const uint64_t size = size_of(input);
        charge(connection, input);
        handler_.handle(connection, input);
        client.release_input();
        limit_own_bytes(connection);
        // If nothing is left, the next round ends the loop.
        if (bytes.size > 0 && (connection.is_held || !share.take(size))) return;
    }
    set_message_deadline(connection);
}

/// Before a client is dropped for its unsent own bytes, its socket is tried: a
/// client that sends many pings at once may well read the pongs.
void ClientReader::limit_own_bytes(Connection& connection) {
    const Client& client = connection.client;
    if (client.outbox().own_size() <= kMaxOwn) return;
    writer_.flush_now(connection);
    if (client.state() != State::Gone && client.outbox().own_size() > kMaxOwn)
        table_.drop(connection.client, "dropped: reply buffer full");
}

/// A message, also a raw object, has a time from its first byte to its last,
/// not renewed by the bytes in between. While its client is held, it stands
/// still.
void ClientReader::set_message_deadline(const Connection& connection) {
    const Client& client = connection.client;
    const Seconds time = client.state() == State::Raw
                             ? settings_.handshake_timeout
                             : settings_.message_timeout;
    if (!is_talking(client)) return;
    const uint32_t id = connection.id();
    const Time from =
        connection.is_held ? connection.activity->held_until : table_.now();
    if (!client.is_inside_message())
        deadlines_.clear(id, Kind::Step);
    else if (time.count() > 0 && !deadlines_.is_set(id, Kind::Step))
        deadlines_.set(id, Kind::Step, from + to_duration(time));
}

/// Counts what a client has sent. If it is too much, the client is held: that
/// only it notices, and nothing is lost.
void ClientReader::charge(Connection& connection, const ClientInput& input) {
    AddressUse* const use = connection.client.member().use;
    if (!use) return;
    const bool is_part = std::holds_alternative<input::Inflating>(input);
    const bool is_whole = std::holds_alternative<input::Message>(input);
    if (!is_part && !is_whole &&
        !std::holds_alternative<input::ControlFrame>(input))
        return;
    Activity& activity = connection.active();
    uint64_t bytes = size_of(input);
    // The parts of a message are counted as they come.
    if (is_whole) bytes -= std::min(bytes, std::exchange(activity.charged, 0));
    if (is_part) activity.charged += bytes;
    limits_.add_published(activity.published, *use, is_part ? 0 : 1, bytes,
                          table_.now());
    hold_if_over(connection);
}

/// Holds a client that has published too much, or whose address has. Returns
/// whether it did.
bool ClientReader::hold_if_over(Connection& connection) {
    Client& client = connection.client;
    const AddressUse* const use = client.member().use;
    if (!use) return false;
    const Time own = connection.activity
                         ? limits_.ready_at(connection.activity->published)
                         : Time::min();
    const Time ready = std::max(own, limits_.ready_at(*use));
    if (ready <= table_.now()) return false;
    Activity& activity = connection.active();
    // What the others of its address do is not held against it.
    if (table_.now() - activity.held_until >= kPause || own <= table_.now())
        activity.over_since = table_.now();
    // Not the time of a single hold, which is long after a large message.
    activity.is_over_too_long = table_.now() - activity.over_since >= kMaxOver;
    activity.held_until = ready;
    connection.is_held = true;
    deadlines_.postpone(connection.id(), Kind::Step, ready - table_.now());
    deadlines_.set(connection.id(), Kind::Hold, ready);
    return true;
}

void ClientReader::resume(Connection& connection) {
    connection.is_held = false;
    // What it has sent meanwhile, also its pongs, was not read.
    connection.last_activity = table_.now();
    enqueue(connection);
    if (connection.activity->is_over_too_long)
        table_.close(connection.client, kClosePolicyViolation,
                     "too many messages (--rate, --rate-bytes)");
}

/// Closes those with the largest unfinished messages until there is room for
/// what one read may add: a whole message, in a buffer that has just doubled.
void ClientReader::make_room_for_partial() {
    const uint64_t growth =
        2 * settings_.reader_config.max_message + Inflater::kMemory + kMaxRead;
    const uint64_t most = limits_.config().max_partial;
    const Partials& partials = limits_.partials();
    while (most > 0 && partials.total() > 0 &&
           partials.total() + growth > most) {
        Connection& connection = table_[partials.largest()];
        table_.touch(connection);
        Client& client = connection.client;
        const char* const why = "too much unfinished (--max-partial)";
        if (!client.accepts_input())
            client.release_memory();
        else if (client.state() == State::ReadingBody)
            table_.respond(client, error_response(413, why));
        else
            table_.close(client, kCloseTooBig, why);
        release(connection.activity->input);
        note_partial(connection);
    }
}

void ClientReader::note_partial(Connection& connection) {
    const uint64_t size =
        connection.client.partial_size() +
        (connection.activity ? connection.activity->input.capacity() : 0);
    // The empty string that every Activity has is no partial message.
    const uint64_t counted = size > kMinPartial ? size : 0;
    if (counted == 0 && !connection.activity) return;
    uint64_t& before = connection.active().partial;
    limits_.partials().set(connection.id(), before, counted);
    before = counted;
}

}  // namespace wschat
