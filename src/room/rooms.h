// All rooms by name: they are made when somebody comes, and gone when nobody is
// there and nothing is kept. No sockets, no clock.
#pragma once

#include <list>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ws/deflate.h"
#include "room/room.h"
#include "room/room_config.h"

namespace wschat {

class Rooms {
public:
    using Time = History::Time;

    /// REQUIRES: rules outlive it.
    explicit Rooms(const RoomsConfig& rules) : rules_(&rules) {}

    /// The room of this name, made if there is none. Null if there is no place
    /// for one more: a room that somebody holds is never given up for it.
    Room* open(std::string_view name, Time now);

    /// A room stays as long as anybody holds it.
    void hold(Room& room);
    void release(Room& room);

    /// To all members, and to those who come later as far as it is kept.
    void publish(Room& room, std::string_view text, Time now);

    /// To the members of all rooms. Also forgets what was kept for its time.
    void ping(Time now);

    /// The rooms with members to whom something was published since this was
    /// last called. Whoever has written it to them marks it as old.
    std::vector<Room*> take_news();
    bool has_news() const { return !news_.empty(); }

    /// The rooms whose number of members changed since this was last called,
    /// but for those without any.
    std::vector<Room*> take_recounted();

    /// Gives up rooms that nobody holds and where all that was kept was kept
    /// for its time.
    void expire(Time now);

    /// When that is to be done next; Time::max() is never.
    Time next_expiry() const;

    size_t size() const { return rooms_.size(); }

private:
    Room* make(std::string name);
    void expire(Room& room, Time now);
    bool give_up_oldest();
    void give_up(Room& room);
    void note_news(Room& room);
    void forget_news(Room& room);
    void count_kept(Room& room);
    void limit_kept(Room& room);

    const RoomsConfig* rules_;
    Deflater deflater_;
    std::map<std::string_view, std::unique_ptr<Room>> rooms_;
    std::list<Room*> idle_;  // nobody holds them; oldest first
    std::vector<Room*> news_;
    uint64_t kept_ = 0;  // bytes, by all
};

}  // namespace wschat
