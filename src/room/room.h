// One conversation: its messages, in a run for those who take them as they
// are and in one for those who take them deflated, and who is in it. No
// sockets; its members are only numbers here.
#pragma once

#include <cstdint>
#include <list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "room/broadcast.h"
#include "ws/deflate.h"
#include "room/history.h"
#include "room/resume.h"

namespace wschat {

class Room {
public:
    /// Shorter texts are not compressed: it would hardly save a packet's head.
    static constexpr size_t kMinDeflated = 128;

    /// REQUIRES: rules outlive it.
    Room(std::string name, std::string epoch, const RetentionConfig& rules)
        : name_(std::move(name)), epoch_(std::move(epoch)), history_(rules) {}

    const std::string& name() const { return name_; }

    /// A word for this numbering of messages, and for no other.
    const std::string& epoch() const { return epoch_; }

    /// The run that a client of either kind receives.
    Broadcast& log(bool deflated) {
        return deflated ? deflated_ : history_.log();
    }

    History& history() { return history_; }
    const History& history() const { return history_; }

    /// What is published is compressed once, however many take it so, and not
    /// at all if nobody does.
    void publish(std::string_view text, Deflater& deflater, History::Time now);
    void ping();

    /// Makes what was published until now old, in both runs.
    void mark();

    /// The first message for a client: if it comes back, and all is kept that
    /// it misses, the one after the last that it has (then it has recovered);
    /// else the oldest of so many that newcomers get.
    struct Start {
        uint64_t first = 0;
        bool recovered = false;
    };
    Start start_for(const Resume& resume, size_t newcomers_get) const;

    /// A member's place in members(), which changes when others leave.
    using Seat = uint32_t;

    const std::vector<uint32_t>& members() const { return members_; }
    Seat enter(uint32_t member);

    /// The last member takes the seat.
    void leave(Seat seat);

    /// A member has another number.
    void rename(Seat seat, uint32_t member) { members_[seat] = member; }

private:
    friend class Rooms;

    void publish_deflated(std::string_view text, Deflater& deflater);

    std::string name_;
    std::string epoch_;
    History history_;
    Broadcast deflated_;
    std::vector<uint32_t> members_;

    // What Rooms notes.
    size_t holders_ = 0;
    std::list<Room*>::iterator idle_{};  // without holders: its place there
    uint64_t kept_ = 0;    // bytes that its history had
    size_t counted_ = 0;   // members that it had
    bool has_news_ = false;
};

}  // namespace wschat
