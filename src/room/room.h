// One room: a log of plain frames, one of deflated frames, and its members. No
// sockets, no clock.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "room/broadcast.h"
#include "room/history.h"
#include "room/relay_rules.h"
#include "room/resume.h"
#include "util/address.h"
#include "util/clock.h"
#include "ws/deflate.h"

namespace wschat {

struct AddressUse;
struct RoomEntry;

/// A client as its room sees it. The rest of a client, its connection, is not
/// known here.
struct Member {
    uint32_t client_id = 0;
    uint32_t number = 0;  // of its connection in the log; never used again
    Address address{};    // of the client; announcements name it
    AddressUse* use = nullptr;  // of all of its address; null: not counted
    Grants grants{};      // what it may send
    bool v1 = false;      // it speaks wschat.v1

    // Set by the hub. The entry of the room stays set after leaving, until it
    // is released: the client may still be sent messages from before.
    RoomEntry* entry = nullptr;
    size_t position = kNotIn;  // among the room's members

    static constexpr size_t kNotIn = SIZE_MAX;
};

/// The messages of a conversation in each encoding that a client receives, and
/// who is in it.
class Room {
public:
    /// Shorter texts are not deflated, which would hardly save the header of a
    /// packet.
    static constexpr size_t kMinDeflated = 128;

    /// For `stored` see Broadcast. REQUIRES: config and it outlive the room.
    Room(std::string name, std::string epoch, const RetentionConfig& config,
         uint64_t* stored = nullptr)
        : name_(std::move(name)),
          epoch_(std::move(epoch)),
          history_(config, stored),
          deflated_(stored) {}

    const std::string& name() const { return name_; }

    /// The random id of this room's message numbering. A room that is made
    /// again gets a new one.
    const std::string& epoch() const { return epoch_; }

    /// The log of deflated frames, or the one of plain frames.
    Broadcast& log(bool deflated) {
        return deflated ? deflated_ : history_.log();
    }

    /// The numbered messages, and those that are retained. They are plain.
    History& history() { return history_; }
    const History& history() const { return history_; }

    /// Appends a message to each log. It is deflated once, however many receive
    /// it deflated, and not at all if no client does.
    void append(std::string_view text, Deflater& deflater, Time now,
                History::Kind kind = History::Kind::Message);
    void append_ping();

    /// To be called at the end of a turn that has appended something (see
    /// Broadcast::settled_end()).
    void end_turn(Time now);

    /// Where a joining client begins: the number of its first message.
    struct Start {
        uint64_t first = 0;
        bool recovered = false;  // it resumes, and nothing was lost
    };

    /// Returns where a client begins. A client that resumes, and all of whose
    /// missed messages are retained, begins with the first of these. Any other
    /// client begins with the oldest of that many newest messages that count.
    Start start_for(const Resume& resume, size_t newest_wanted) const;

    const std::vector<Member*>& members() const { return members_; }

    /// Adds a member, which stays where it is in memory until removed.
    void add(Member& member);

    /// REQUIRES: the member was added to this room.
    void remove(Member& member);

private:
    void append_to_deflated(std::string_view text, Deflater& deflater);

    std::string name_;
    std::string epoch_;
    History history_;  // has the plain log
    Broadcast deflated_;
    std::vector<Member*> members_;
};

}  // namespace wschat
