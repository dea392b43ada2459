#include "hub.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "room/server_messages.h"

namespace wschat {

namespace {

/// The least time between two announcements of a count: a flood of clients
/// that come and go must not become a flood of messages to everybody.
constexpr std::chrono::seconds kCountInterval(1);

/// Announcements of addresses in a room and a second. Further ones are folded
/// into one, for the same reason.
constexpr size_t kMaxAnnouncements = 20;
constexpr std::chrono::seconds kFoldInterval(1);

/// How long expired messages and the memory of the deflater may stay. Shorter
/// intervals would only wake up an idle daemon more often.
constexpr std::chrono::seconds kCleanUpInterval(25);

constexpr char kTooManyRooms[] = "too many rooms";
constexpr char kTooManyOfAddress[] =
    "too many rooms of this address (--max-rooms-per-address)";

/// Notes whose room it is: that of an address if it has no other members.
void set_only_use(RoomEntry& entry, AddressUse* use) {
    if (entry.only_use) --entry.only_use->rooms;
    entry.only_use = use;
    if (use) ++use->rooms;
}

/// Returns the use that all members have; null if they have different ones, or
/// one is not counted, or there are no members.
AddressUse* find_only_use(const Room& room) {
    const auto& members = room.members();
    if (members.empty() || !members.front()->use) return nullptr;
    // Most rooms have members of several addresses among the first.
    AddressUse* const use = members.front()->use;
    return std::all_of(
               members.begin(), members.end(),
               [use](const Member* member) { return member->use == use; })
               ? use
               : nullptr;
}

void forget(std::vector<RoomEntry*>& entries, RoomEntry* entry) {
    entries.erase(std::remove(entries.begin(), entries.end(), entry),
                  entries.end());
}

/// Returns "3 connected, 2 disconnected", without the part that is 0.
std::string describe_changes(size_t joins, size_t leaves) {
    std::string text;
    if (joins > 0) text = std::to_string(joins) + " connected";
    if (joins > 0 && leaves > 0) text += ", ";
    if (leaves > 0) text += std::to_string(leaves) + " disconnected";
    return text;
}

}  // namespace

Joined Hub::join(Member& member, RoomCursor& cursor,
                 const JoinRequest& request) {
    if (has_too_many_rooms(member, request.room)) return {kTooManyOfAddress};
    RoomEntry* entry = rooms_.open(request.room, now_);
    if (!entry) return {kTooManyRooms};
    // From here on the room can't be deleted to make place for another.
    rooms_.hold(*entry);
    Room& room = entry->room;
    member.entry = entry;
    const bool is_first = room.members().empty();
    room.add(member);
    if (is_first)
        set_only_use(*entry, member.use);
    else if (entry->only_use != member.use)
        set_only_use(*entry, nullptr);
    ++members_;
    // The cursor starts before anything is announced: what is appended from now
    // on, the client receives once and in order.
    const Room::Start start =
        room.start_for(request.resume, settings_.rooms_config.history);
    cursor.start(room, start.first, request.deflated);
    Joined joined;
    if (member.v1)
        joined.hello = hello_message(
            {room.name(), room.epoch(), start.first, room.history().newest(),
             room.members().size(), start.recovered,
             settings_.reader_config.max_message,
             announce_name(settings_.announce)});
    // After the cursor: the newcomer receives its own announcement too.
    announce(member, Change::Join);
    return joined;
}

/// An address must not take the rooms of all: those that exist only for its
/// clients are limited.
bool Hub::has_too_many_rooms(const Member& member, std::string_view room) {
    const size_t most = settings_.limits.max_rooms_per_address;
    if (!member.use || most == 0 || member.use->rooms < most) return false;
    const RoomEntry* entry = rooms_.find(room, now_);
    return !entry || entry->room.members().empty();
}

void Hub::leave(Member& member) {
    if (member.position == Member::kNotIn) return;
    // First out, then announced: the client itself is not told.
    RoomEntry& entry = *member.entry;
    entry.room.remove(member);
    if (!entry.only_use || entry.room.members().empty())
        set_only_use(entry, find_only_use(entry.room));
    --members_;
    announce(member, Change::Leave);
}

void Hub::release(Member& member) {
    RoomEntry* entry = std::exchange(member.entry, nullptr);
    if (!entry) return;
    const bool is_last = entry->holders == 1;
    // The room may be deleted, and must not be found in these lists.
    if (is_last) {
        forget(changed_, entry);
        forget(folded_, entry);
        entry->has_new_messages = false;
        entry->folded_joins = entry->folded_leaves = 0;
    }
    rooms_.release(*entry);
}

Reply Hub::submit(const Member& sender, std::string_view text) {
    using Action = RelayDecision::Action;
    const RelayDecision decision =
        decide_relay(text, sender.grants, sender.v1);
    switch (decision.action) {
        case Action::Relay: break;
        case Action::Ignore: return {"", "it is falsy in PHP"};
        case Action::Refuse:
            return {error_notice(decision.reason), decision.reason};
        case Action::Pong: return {kPong};
    }
    // Raw JSON has no path that could name a room.
    RoomEntry* entry = sender.entry ? sender.entry : rooms_.open("/", now_);
    if (!entry) return {error_notice(kTooManyRooms), kTooManyRooms};
    deliver(*entry, text);
    return {};
}

Response Hub::publish(const PublishRequest& request) {
    const ParsedMessages messages = parse_messages(request);
    if (!messages.error.empty())
        return error_response(400, "not relayed: " + messages.error);
    // Before a room is made, which may cost another room its place.
    if (would_lose_any(request.room, messages.texts))
        return error_response(
            503, "room is empty and the message exceeds the retention limit");
    RoomEntry* entry = rooms_.open(request.room, now_);
    if (!entry) return error_response(503, kTooManyRooms);
    // All are checked before the first is delivered: a publisher may send the
    // whole body again after an error.
    for (std::string_view text : messages.texts) deliver(*entry, text);
    const Room& room = entry->room;
    return make_response(200, "Content-Type: application/json\r\n",
                         receipt(room.name(), room.members().size(),
                                 room.history().newest()) +
                             "\n");
}

/// In a room without members, a message that is not retained is lost. Without
/// any retention that is what the operator asked for.
bool Hub::would_lose_any(std::string_view room,
                         const std::vector<std::string_view>& texts) {
    const RoomEntry* entry = rooms_.find(room, now_);
    const bool has_members = entry && !entry->room.members().empty();
    if (has_members || settings_.rooms_config.retention.messages == 0)
        return false;
    uint64_t bytes = 0;
    for (std::string_view text : texts)
        bytes += History::retained_size(text.size());
    return !rooms_.can_retain(entry, texts.size(), bytes);
}

void Hub::deliver(RoomEntry& entry, std::string_view text,
                  History::Kind kind) {
    rooms_.append(entry, text, now_, kind);
    note_change(entry);
    if (next_clean_up_ == Time::max())
        next_clean_up_ = now_ + kCleanUpInterval;
}

void Hub::ping() {
    for (auto& [name, entry] : rooms_.all()) {
        if (entry->room.members().empty()) continue;
        rooms_.append_ping(*entry);
        note_change(*entry);
    }
}

void Hub::note_change(RoomEntry& entry) {
    // Without members nothing has to be flushed, and the room may be deleted
    // before the end of the turn.
    if (entry.room.members().empty()) return;
    if (!std::exchange(entry.has_new_messages, true))
        changed_.push_back(&entry);
}

std::vector<Room*> Hub::take_changed() {
    std::vector<Room*> rooms;
    rooms.reserve(changed_.size());
    for (RoomEntry* entry : changed_) {
        entry->has_new_messages = false;
        rooms.push_back(&entry->room);
    }
    changed_.clear();
    return rooms;
}

void Hub::announce(const Member& member, Change change) {
    if (!announces_) return;
    if (settings_.announce == Announce::Address)
        announce_address(member, change);
    if (settings_.announce == Announce::Count && next_count_ == Time::max())
        next_count_ = std::max(now_, last_count_ + kCountInterval);
}

void Hub::announce_address(const Member& member, Change change) {
    RoomEntry& entry = *member.entry;
    // While some are folded, later ones are too: they must not overtake. The
    // second does not begin again either, or the folded ones would wait as long
    // as clients come and go.
    const bool is_folding = entry.folded_joins + entry.folded_leaves > 0;
    if (!is_folding && now_ - entry.second_begin >= kFoldInterval) {
        entry.second_begin = now_;
        entry.in_second = 0;
    }
    if (is_folding || entry.in_second == kMaxAnnouncements)
        return fold(entry, change);
    ++entry.in_second;
    const char* what = change == Change::Join ? "connected" : "disconnected";
    announce(entry, member.address.to_string() + " " + what);
}

void Hub::announce(RoomEntry& entry, const std::string& text) {
    // An empty room has no one to tell, and must not be retained for the
    // announcement alone.
    if (entry.room.members().empty()) return;
    deliver(entry, system_message(text), History::Kind::Announcement);
}

void Hub::fold(RoomEntry& entry, Change change) {
    if (entry.folded_joins + entry.folded_leaves == 0) {
        folded_.push_back(&entry);
        next_folded_ =
            std::min(next_folded_, entry.second_begin + kFoldInterval);
    }
    ++(change == Change::Join ? entry.folded_joins : entry.folded_leaves);
}

void Hub::announce_folded() {
    next_folded_ = Time::max();
    for (RoomEntry* entry : std::exchange(folded_, {})) {
        const Time due = entry->second_begin + kFoldInterval;
        if (now_ < due) {
            folded_.push_back(entry);
            next_folded_ = std::min(next_folded_, due);
            continue;
        }
        announce(*entry, describe_changes(entry->folded_joins,
                                          entry->folded_leaves));
        entry->folded_joins = entry->folded_leaves = 0;
        entry->second_begin = now_;
        entry->in_second = 1;
    }
}

void Hub::announce_counts() {
    for (auto& [name, entry] : rooms_.all()) {
        const size_t members = entry->room.members().size();
        // One that left and one that joined leave the number as it was told.
        if (std::exchange(entry->announced, members) != members && members > 0)
            announce(*entry, std::to_string(members) + " online");
    }
    last_count_ = now_;
    next_count_ = Time::max();
}

void Hub::stop_announcing() {
    announces_ = false;
    next_count_ = next_folded_ = Time::max();
}

void Hub::run_timers() {
    if (now_ >= next_count_) announce_counts();
    if (now_ >= next_folded_) announce_folded();
    if (now_ >= next_clean_up_)
        next_clean_up_ =
            rooms_.clean_up(now_) ? now_ + kCleanUpInterval : Time::max();
    rooms_.delete_expired(now_);
}

std::string describe_members(size_t members) {
    return std::to_string(members) + (members == 1 ? " client" : " clients");
}

Time Hub::next_timer() const {
    return std::min({next_count_, next_folded_, next_clean_up_,
                     rooms_.next_expiry()});
}

}  // namespace wschat
