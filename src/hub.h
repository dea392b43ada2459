// Who is in which room, and the way of every message into a room. Members,
// texts and publish requests in; no sockets, no poller, no clock of its own.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "client_limits.h"
#include "http/publish_request.h"
#include "room/relay_rules.h"
#include "room/resume.h"
#include "room/room.h"
#include "room/room_cursor.h"
#include "room/rooms.h"
#include "settings.h"
#include "util/clock.h"

namespace wschat {

/// What a client asks for when it joins a room.
struct JoinRequest {
    std::string room;
    Resume resume{};
    bool deflated = false;  // it receives deflated messages
};

/// The result of joining a room.
struct Joined {
    // Why the client may not join, static text for a 503; null if it has.
    const char* refusal = nullptr;

    // The first message for it alone: a hello, or nothing if it does not speak
    // wschat.v1.
    std::string hello{};
};

/// What becomes of a message of a client.
struct Reply {
    std::string json{};  // to send to the sender alone: a notice, a pong or
                         // nothing
    std::string why{};   // why it was not relayed; empty if it was, or if it
                         // was a ping
};

/// The rooms and their members. A message takes two steps: submit() or
/// publish() takes what a sender says and checks it; deliver() appends it to
/// the room for everybody. Nothing else appends a message to a room.
class Hub {
public:

    /// REQUIRES: settings outlive it.
    explicit Hub(const Settings& settings)
        : settings_(settings), rooms_(settings.rooms_config) {}

    /// Sets the time for all that follows.
    void begin_turn(Time now) { now_ = now; }

    /// Makes a client a member of a room, starts its cursor there, then
    /// announces it to all, itself included. Does nothing if it refuses,
    /// because there are too many rooms or too many of the client's address.
    /// REQUIRES: the member is in no room. Member and cursor stay where they
    /// are in memory until release().
    Joined join(Member& member, RoomCursor& cursor, const JoinRequest& request);

    /// Ends a membership and announces it to those who stay. The room stays
    /// until release(), because the member's cursor is still in its log. Does
    /// nothing for a client that is no member.
    void leave(Member& member);

    /// Gives the room up. REQUIRES: the cursor is stopped, leave() was called.
    void release(Member& member);

    /// Takes a message from a member, or from a sender in no room, whose
    /// messages go to the room "/".
    Reply submit(const Member& sender, std::string_view text);

    /// Takes the messages of a publisher: all of them, or none. Returns the
    /// response: a receipt (200); 400 if one is not relayed; 503 if there are
    /// too many rooms, or if the room is empty and they can't all be retained.
    Response publish(const PublishRequest& request);

    /// Appends a message to a room, for its members and as far as it is
    /// retained for those who come later.
    void deliver(RoomEntry& entry, std::string_view text,
                 History::Kind kind = History::Kind::Message);

    /// Appends a ping in all rooms that have members.
    void ping();

    /// Announces no more: the server is stopping.
    void stop_announcing();

    /// Returns the rooms with something new for their members since the last
    /// call. When the members have been flushed, the caller calls end_turn() of
    /// each room.
    std::vector<Room*> take_changed();
    bool has_changed() const { return !changed_.empty(); }

    /// Does what is due: announces counts, drops expired messages, deletes
    /// rooms without members and messages.
    void run_timers();

    /// When run_timers() has something to do; Time::max() is never.
    Time next_timer() const;

    /// Bytes stored for members that are behind (see Rooms::backlogs()).
    uint64_t backlogs() const { return rooms_.backlogs(); }

    /// How many members there are in all rooms.
    size_t members() const { return members_; }

private:
    bool would_lose_any(std::string_view room,
                        const std::vector<std::string_view>& texts);
    bool has_too_many_rooms(const Member& member, std::string_view room);
    enum class Change { Join, Leave };

    void announce(const Member& member, Change change);
    void announce(RoomEntry& entry, const std::string& text);
    void announce_address(const Member& member, Change change);
    void fold(RoomEntry& entry, Change change);
    void announce_folded();
    void announce_counts();
    void note_change(RoomEntry& entry);

    const Settings& settings_;
    Rooms rooms_;
    std::vector<RoomEntry*> changed_;
    std::vector<RoomEntry*> folded_;  // rooms with folded announcements
    size_t members_ = 0;
    Time now_{};
    Time next_count_ = Time::max();  // when to announce counts
    Time next_folded_ = Time::max();  // when to announce what is folded
    Time next_clean_up_ = Time::max();
    Time last_count_{};
    bool announces_ = true;
};

/// Returns "1 client" or "2 clients", for the log.
std::string describe_members(size_t members);

}  // namespace wschat
