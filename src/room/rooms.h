// All rooms by name, and what they retain together. No sockets, no clock.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "room/room.h"
#include "room/room_config.h"
#include "util/clock.h"
#include "ws/deflate.h"

namespace wschat {

/// A room and what is known of it beside its messages.
struct RoomEntry {
    RoomEntry(std::string name, std::string epoch,
              const RetentionConfig& config, uint64_t* stored)
        : room(std::move(name), std::move(epoch), config, stored) {}

    Room room;

    // For Rooms.
    size_t holders = 0;
    std::list<RoomEntry*>::iterator idle{};  // in Rooms::idle_, if not held
    uint64_t retained = 0;                   // bytes, as last counted
    uint64_t stored_retained = 0;            // see History::stored()

    // For the hub.
    AddressUse* only_use = nullptr;  // if all members have this one, not null
    size_t announced = 0;  // members, when that was last announced
    Time second_begin{};   // of the second that `in_second` counts
    size_t in_second = 0;  // announcements in it
    size_t folded_joins = 0;  // to be announced together
    size_t folded_leaves = 0;
    bool has_new_messages = false;  // to be sent to members
};

/// Makes a room when it is first asked for. Deletes it when it has no holders
/// and retains no message. A room without holders is also deleted when another
/// one needs its place.
class Rooms {
public:
    /// REQUIRES: config outlives it.
    explicit Rooms(const RoomsConfig& config) : config_(&config) {}

    /// Returns the room of this name, after dropping its expired messages; null
    /// if there is none.
    RoomEntry* find(std::string_view name, Time now);

    /// The same, but makes the room if there is none. Returns null if there are
    /// too many rooms, all of them held. If it is not held, the room stays at
    /// least until the next call of this, or of append() to another room.
    RoomEntry* open(std::string_view name, Time now);

    /// A held room stays. release() may delete it.
    void hold(RoomEntry& entry);
    void release(RoomEntry& entry);

    /// Appends a message to a room's logs and retains it within the limits. If
    /// all rooms together retain too much, the one that retains most gives way,
    /// whichever this is: a room must not be emptied by what is said in others.
    void append(RoomEntry& entry, std::string_view text, Time now,
                History::Kind kind = History::Kind::Message);

    /// Appends a ping to a room's logs, of which retained messages take more
    /// then.
    void append_ping(RoomEntry& entry);

    /// Returns whether `messages` messages that take `bytes` together, as
    /// History::retained_size() counts, would all be retained in a room, which
    /// may be null if it is to be made.
    bool can_retain(const RoomEntry* entry, size_t messages,
                    uint64_t bytes) const;

    /// Drops the expired messages of all rooms, and gives back the memory of
    /// the deflater if it was not used since the last call. Returns true if
    /// there will be more to do, even if nothing is appended.
    bool clean_up(Time now);

    /// Deletes rooms without holders whose messages have all expired.
    void delete_expired(Time now);

    /// When delete_expired() has something to do; Time::max() is never.
    Time next_expiry() const;

    /// Bytes that the logs store for cursors that are behind, beyond what they
    /// store for retained messages anyway.
    uint64_t backlogs() const { return stored_ - stored_retained_; }

    /// All rooms. The keys refer to Room::name().
    using Map = std::map<std::string_view, std::unique_ptr<RoomEntry>>;
    const Map& all() const { return rooms_; }

private:
    RoomEntry* make(std::string name);
    void drop_expired_messages(RoomEntry& entry, Time now);
    bool delete_longest_idle();
    void delete_room(RoomEntry& entry);
    void recount(RoomEntry& entry);
    void set_retained(RoomEntry& entry, uint64_t bytes, uint64_t stored);
    void limit_retained();

    const RoomsConfig* config_;
    Deflater deflater_;
    uint64_t stored_ = 0;  // as the logs count it, see Broadcast
    uint64_t stored_retained_ = 0;  // of that, for retained messages
    Map rooms_;
    std::list<RoomEntry*> idle_;  // without holders; the longest idle first
    uint64_t retained_ = 0;       // bytes, in all rooms
    std::set<std::pair<uint64_t, RoomEntry*>> by_retained_;  // those with any
};

}  // namespace wschat
