// What is sent to one client: the frames of its room's log, and bytes for it
// alone. No sockets: the caller sends the bytes and says how many went.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "room/room_cursor.h"
#include "util/buffer.h"

namespace wschat {

/// Own bytes (first the response to the request, then pongs and notices, which
/// are whole frames) may only stand between two frames of the log. So both
/// alternate: the log up to `target_`, which is a frame boundary; then the own
/// bytes that wait at that moment; then the log up to its present end, and so
/// on. The response comes before all of the log.
///
/// After close() the log is sent up to its end at that time, and own bytes,
/// also those that are added later; then the last words.
class Outbox {
public:
    /// The client's place in the log of its room, once it has joined one.
    RoomCursor& cursor() { return cursor_; }
    const RoomCursor& cursor() const { return cursor_; }

    /// Adds bytes of its own: whole frames, or text if the client gets none.
    void add(std::string_view bytes) { own().waiting.append(bytes); }

    /// Sets the last words. Messages that are published later are not sent.
    void close(std::string last_words);

    /// Returns the next bytes to send; none if nothing waits. Returns the same
    /// bytes, or more, until consume() is called.
    IoVec next_bytes();

    /// Notes that the first n of the next bytes were sent. n may be 0.
    void consume(size_t n);

    /// How many bytes of its own wait.
    size_t own_size() const;

private:
    /// Clients seldom have any, so that it is allocated when it is needed.
    struct Own {
        std::string waiting;  // to be sent at the next frame boundary
        std::string current;  // being sent
        size_t sent = 0;      // bytes of `current`
        std::string last_words;
        bool is_closing = false;
    };

    Own& own();
    bool is_closing() const { return own_ && own_->is_closing; }
    bool take_own_bytes();

    RoomCursor cursor_;

    // An offset in the log, always a frame boundary: own bytes must wait until
    // the cursor is there. It begins with 0, so that the response comes before
    // all of the log.
    uint64_t target_ = 0;
    std::unique_ptr<Own> own_;
};

}  // namespace wschat
