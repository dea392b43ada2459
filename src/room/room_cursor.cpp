#include "room/room_cursor.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace wschat {

void RoomCursor::start(Room& room, uint64_t first, bool deflated) {
    assert(!log_);
    History& history = room.history();
    Broadcast& deflated_log = room.log(true);
    const bool from_history = first <= history.newest();
    // To deflate retained messages too would take their memory twice, for the
    // few clients that begin with them.
    if (deflated && !from_history)
        return start_in(deflated_log, deflated_log.open_cursor());
    start_in(history.log(), history.open_cursor(first));
    if (deflated) next_log_ = &deflated_log;
}

void RoomCursor::start_in(Broadcast& log, const Broadcast::Cursor& cursor) {
    log_ = &log;
    cursor_ = cursor;
    // What is retained was not missed for being slow: it is no backlog.
    started_at_ = log.end();
}

void RoomCursor::stop() {
    next_log_ = nullptr;
    if (log_) std::exchange(log_, nullptr)->close_cursor(cursor_);
}

void RoomCursor::switch_log_at_end() {
    if (!next_log_ || offset() < end()) return;
    // Both logs end with the same message, so none is lost or doubled.
    Broadcast& next = *next_log_;
    stop();
    start_in(next, next.open_cursor());
}

uint64_t RoomCursor::backlog(Time now) const {
    if (!log_) return 0;
    const uint64_t from = std::max(offset(), started_at_);
    const uint64_t until = log_->settled_end(now);
    return until > from ? until - from : 0;
}

}  // namespace wschat
