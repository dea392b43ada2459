#include "room/rooms.h"

#include <algorithm>
#include <cassert>
#include <random>
#include <utility>

#include "util/text.h"

namespace wschat {

namespace {

/// Epochs must never repeat: message numbers can be compared within one epoch
/// only, and a client that resumes with another's would miss messages.
std::string new_epoch() {
    std::random_device random;
    std::string epoch;
    while (epoch.size() < 12)
        append_hex(epoch, static_cast<unsigned char>(random()));
    return epoch;
}

}  // namespace

RoomEntry* Rooms::find(std::string_view name, Time now) {
    const auto found = rooms_.find(name);
    if (found == rooms_.end()) return nullptr;
    drop_expired_messages(*found->second, now);
    return found->second.get();
}

RoomEntry* Rooms::open(std::string_view name, Time now) {
    if (RoomEntry* found = find(name, now)) return found;
    if (rooms_.size() >= config_->most && !delete_longest_idle())
        return nullptr;
    return make(std::string(name));
}

RoomEntry* Rooms::make(std::string name) {
    auto made = std::make_unique<RoomEntry>(std::move(name), new_epoch(),
                                            config_->retention, &stored_);
    RoomEntry& entry = *made;
    entry.idle = idle_.insert(idle_.end(), &entry);
    rooms_.emplace(entry.room.name(), std::move(made));
    return &entry;
}

void Rooms::hold(RoomEntry& entry) {
    if (entry.holders++ == 0) idle_.erase(entry.idle);
}

void Rooms::release(RoomEntry& entry) {
    assert(entry.holders > 0);
    if (--entry.holders > 0) return;
    // With retained messages it waits for clients that come back.
    entry.idle = idle_.insert(idle_.end(), &entry);
    if (entry.room.history().size() == 0) delete_room(entry);
}

/// Returns false if all rooms are held.
bool Rooms::delete_longest_idle() {
    if (idle_.empty()) return false;
    delete_room(*idle_.front());
    return true;
}

void Rooms::delete_room(RoomEntry& entry) {
    set_retained(entry, 0, 0);
    idle_.erase(entry.idle);
    rooms_.erase(entry.room.name());
}

void Rooms::append(RoomEntry& entry, std::string_view text, Time now,
                   History::Kind kind) {
    entry.room.append(text, deflater_, now, kind);
    recount(entry);
    // A message is a sign of use: the room moves behind those that have been
    // idle for longer. It also keeps the list nearly in the order of expiry.
    if (entry.holders == 0) idle_.splice(idle_.end(), idle_, entry.idle);
    limit_retained();
}

void Rooms::append_ping(RoomEntry& entry) {
    entry.room.append_ping();
    recount(entry);
    limit_retained();
}

void Rooms::limit_retained() {
    while (retained_ > config_->retained_total) {
        RoomEntry& largest = *by_retained_.rbegin()->second;
        const uint64_t over = retained_ - config_->retained_total;
        largest.room.history().shrink(largest.retained -
                                      std::min(largest.retained, over));
        recount(largest);
    }
}

bool Rooms::can_retain(const RoomEntry* entry, size_t messages,
                       uint64_t bytes) const {
    if (messages > config_->retention.messages ||
        bytes > config_->retention.bytes)
        return false;
    // As limit_retained() does: rooms that retain more than this one would give
    // way, the largest first; then what this one retains already.
    const uint64_t own = entry ? entry->retained : 0;
    uint64_t free = config_->retained_total - retained_;
    for (auto largest = by_retained_.rbegin();
         free < bytes && largest != by_retained_.rend() &&
         largest->first > own + bytes;
         ++largest)
        free += largest->first;
    return free + own >= bytes;
}

void Rooms::recount(RoomEntry& entry) {
    const History& history = entry.room.history();
    set_retained(entry, history.bytes(), history.stored());
}

void Rooms::set_retained(RoomEntry& entry, uint64_t bytes, uint64_t stored) {
    stored_retained_ += stored - entry.stored_retained;
    entry.stored_retained = stored;
    if (bytes == entry.retained) return;
    retained_ += bytes - entry.retained;
    auto node = by_retained_.extract({entry.retained, &entry});
    entry.retained = bytes;
    if (bytes == 0) return;
    if (!node) {
        by_retained_.emplace(bytes, &entry);
    } else {
        // Without freeing and allocating: this is done for every message.
        node.value().first = bytes;
        by_retained_.insert(std::move(node));
    }
}

void Rooms::drop_expired_messages(RoomEntry& entry, Time now) {
    entry.room.history().expire(now);
    recount(entry);
}

bool Rooms::clean_up(Time now) {
    bool has_more = deflater_.release_if_unused();
    for (auto& [name, entry] : rooms_) {
        drop_expired_messages(*entry, now);
        has_more = has_more || entry->room.history().size() > 0;
    }
    return has_more;
}

void Rooms::delete_expired(Time now) {
    while (next_expiry() <= now) delete_longest_idle();
}

/// Only the longest idle room is checked: the list is in the order of the last
/// message or member. A room without members whose messages are older than
/// those of a room before it lives a little longer, which harms nothing.
Time Rooms::next_expiry() const {
    if (idle_.empty()) return Time::max();
    const History& history = idle_.front()->room.history();
    return history.size() > 0 ? history.expires_at() : Time::min();
}

}  // namespace wschat
