// A client's place in the messages of its room. No sockets, no clock.
#pragma once

#include <cstddef>
#include <cstdint>

#include "room/broadcast.h"
#include "room/room.h"

namespace wschat {

/// A cursor in one of the room's two logs.
///
/// Retained messages are plain only. So a client that receives deflated
/// messages and begins with retained ones starts in the plain log, and is moved
/// to the deflated one when it has been sent all of the plain one.
class RoomCursor {
public:
    /// In no room.
    RoomCursor() = default;
    RoomCursor(const RoomCursor&) = delete;
    RoomCursor& operator=(const RoomCursor&) = delete;
    ~RoomCursor() { stop(); }

    /// Begins with the message of this number. REQUIRES: it is in no room; the
    /// number is retained or that of the next message; the room outlives the
    /// cursor, or stop() is called before the room goes.
    void start(Room& room, uint64_t first, bool deflated);

    /// Leaves the room: what lies ahead is not sent any more.
    void stop();

    bool is_started() const { return log_; }

    /// Bytes from the log's beginning to the cursor, and to the log's end.
    /// REQUIRES: is_started() for end().
    uint64_t offset() const { return cursor_.offset(); }
    uint64_t end() const { return log_->end(); }

    /// Returns the bytes from the cursor towards `target`, as many as one call
    /// takes. REQUIRES: is_started(), offset() <= target <= end().
    IoVec pending(uint64_t target) const {
        return log_->pending(cursor_, target);
    }

    /// Moves over the first n of the bytes that pending() returns.
    /// REQUIRES: is_started().
    void advance(size_t n) { log_->advance(cursor_, n); }

    /// Moves to the deflated log if the client receives that one and has been
    /// sent all of the plain one. Offsets are then those of the other log.
    void switch_log_at_end();

    /// Returns how many bytes lie ahead that were appended after the cursor
    /// started and a second ago or earlier. The rest is no backlog: a burst
    /// takes its time on the fastest network, and retained messages were not
    /// missed by the client.
    uint64_t backlog(Time now) const;

    /// Returns how many bytes lie ahead; 0 if it is in no room.
    uint64_t unsent() const { return log_ ? end() - offset() : 0; }

private:
    void start_in(Broadcast& log, const Broadcast::Cursor& cursor);

    Broadcast* log_ = nullptr;
    Broadcast* next_log_ = nullptr;  // to switch to
    Broadcast::Cursor cursor_;
    uint64_t started_at_ = 0;  // the log's end at that time
};

}  // namespace wschat
