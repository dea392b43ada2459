#include "room/rooms.h"

#include <algorithm>
#include <cassert>
#include <random>
#include <utility>

namespace wschat {

namespace {

/// Nobody is to find one that was used before: numbers of messages mean
/// something else there.
std::string new_epoch() {
    std::random_device random;
    std::string epoch;
    while (epoch.size() < 12) epoch += "0123456789abcdef"[random() % 16];
    return epoch;
}

}  // namespace

Room* Rooms::open(std::string_view name, Time now) {
    const auto found = rooms_.find(name);
    if (found != rooms_.end()) {
        expire(*found->second, now);
        return found->second.get();
    }
    if (rooms_.size() >= rules_->most && !give_up_oldest()) return nullptr;
    return make(std::string(name));
}

Room* Rooms::make(std::string name) {
    auto made =
        std::make_unique<Room>(std::move(name), new_epoch(), rules_->retention);
    Room& room = *made;
    room.idle_ = idle_.insert(idle_.end(), &room);
    rooms_.emplace(room.name(), std::move(made));
    return &room;
}

void Rooms::hold(Room& room) {
    if (room.holders_++ == 0) idle_.erase(room.idle_);
}

void Rooms::release(Room& room) {
    assert(room.holders_ > 0);
    if (--room.holders_ > 0) return;
    forget_news(room);
    room.idle_ = idle_.insert(idle_.end(), &room);
    if (room.history().size() == 0) give_up(room);
}

/// False if all rooms are held.
bool Rooms::give_up_oldest() {
    if (idle_.empty()) return false;
    give_up(*idle_.front());
    return true;
}

void Rooms::give_up(Room& room) {
    kept_ -= room.kept_;
    idle_.erase(room.idle_);
    rooms_.erase(room.name());
}

void Rooms::publish(Room& room, std::string_view text, Time now) {
    if (!room.members().empty()) note_news(room);
    room.publish(text, deflater_, now);
    count_kept(room);
    if (room.holders_ == 0)
        idle_.splice(idle_.end(), idle_, room.idle_);
    if (kept_ > rules_->retained_total) limit_kept(room);
}

/// Rooms without clients go first, and then what this one has kept.
void Rooms::limit_kept(Room& room) {
    while (kept_ > rules_->retained_total && !idle_.empty() &&
           idle_.front() != &room)
        give_up_oldest();
    const uint64_t over =
        kept_ - std::min(kept_, rules_->retained_total);
    room.history().shrink(room.kept_ - std::min(room.kept_, over));
    count_kept(room);
}

void Rooms::count_kept(Room& room) {
    const uint64_t before = std::exchange(room.kept_, room.history().bytes());
    kept_ += room.kept_ - before;
}

void Rooms::ping(Time now) {
    for (auto& [name, room] : rooms_) {
        expire(*room, now);
        if (room->members().empty()) continue;
        note_news(*room);
        room->ping();
    }
    deflater_.rest();
}

void Rooms::note_news(Room& room) {
    if (!std::exchange(room.has_news_, true)) news_.push_back(&room);
}

void Rooms::forget_news(Room& room) {
    if (!std::exchange(room.has_news_, false)) return;
    news_.erase(std::remove(news_.begin(), news_.end(), &room), news_.end());
}

std::vector<Room*> Rooms::take_news() {
    for (Room* room : news_) room->has_news_ = false;
    return std::exchange(news_, {});
}

std::vector<Room*> Rooms::take_recounted() {
    std::vector<Room*> recounted;
    for (auto& [name, room] : rooms_) {
        const size_t number = room->members().size();
        if (std::exchange(room->counted_, number) != number && number > 0)
            recounted.push_back(room.get());
    }
    return recounted;
}

void Rooms::expire(Room& room, Time now) {
    room.history().expire(now);
    count_kept(room);
}

void Rooms::expire(Time now) {
    while (next_expiry() <= now) give_up_oldest();
}

/// Whoever was left alone first is looked at first: others whose messages are
/// older may have to wait for that one.
Rooms::Time Rooms::next_expiry() const {
    if (idle_.empty()) return Time::max();
    const History& history = idle_.front()->history();
    return history.size() > 0 ? history.expires_at() : Time::min();
}

}  // namespace wschat
