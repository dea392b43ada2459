// An append-only log of encoded frames, which all clients of a room receive.
// A cursor marks how much of it one client has been sent. No sockets, no clock:
// the caller asks for bytes and reports how many it has sent.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "util/buffer.h"
#include "util/clock.h"
#include "ws/frame.h"

namespace wschat {

/// A log of unmasked frames, stored in chunks. Each client still has to be sent
/// [cursor, end()), and the log stores nothing else for it: a cursor takes no
/// allocation, and a chunk holds many messages, unless they are large. A chunk
/// is freed as soon as no cursor lies in it or in an earlier one, so memory
/// depends on the cursor that is furthest behind and not on the number of
/// cursors.
class Broadcast {
public:
    /// Capacity in bytes of the first chunk, and the most that chunks grow to.
    /// A frame that is larger than the next chunk gets a chunk of its own size.
    static constexpr size_t kMinChunk = 256;
    static constexpr size_t kMaxChunk = 64 << 10;

    /// If `stored` is not null, the log adds to it the bytes of the frames in
    /// all its chunks but the newest: those of cursors that are behind. It must
    /// outlive the log.
    explicit Broadcast(uint64_t* stored = nullptr) : stored_(stored) {}
    Broadcast(const Broadcast&) = delete;
    Broadcast& operator=(const Broadcast&) = delete;
    ~Broadcast() { free_chunks(chunks_.size()); }

    /// A position in the log. Only advance() of the log that opened it moves
    /// it, and it ends with close_cursor(). Copying is allowed, but only one of
    /// the copies may be advanced and closed.
    class Cursor {
    public:
        /// Bytes between the beginning of the log and the cursor.
        uint64_t offset() const { return offset_; }

    private:
        friend class Broadcast;
        uint64_t chunk_ = 0;  // number of its chunk since the log began
        uint64_t offset_ = 0;
    };

    /// Appends an unfragmented text frame.
    void append(std::string_view text);

    /// Appends an unfragmented text frame with RSV1 set. REQUIRES: `deflated`
    /// is a compressed message (RFC 7692, section 7.2.1).
    void append_deflated(std::string_view deflated);

    /// Appends a ping frame without payload.
    void append_ping();

    /// Returns the offset of the end: all bytes that were ever appended.
    uint64_t end() const { return end_; }

    /// How old bytes are at least that settled_end() includes.
    static constexpr std::chrono::seconds kSettled{1};

    /// Marks the current end as that of `now`, for settled_end(). REQUIRES: it
    /// is called at the end of each turn that has appended something.
    void end_turn(Time now);

    /// Returns an end that the log had a second ago or earlier. Bytes before it
    /// have been here for a second at least; a burst of the last second is
    /// behind it.
    uint64_t settled_end(Time now) const {
        if (now - newest_.at >= kSettled) return newest_.end;
        return now - newer_.at >= kSettled ? newer_.end : older_.end;
    }

    /// Returns how many of the bytes that `stored` counts this cursor keeps:
    /// those of its chunk, also before the cursor, and of later ones.
    uint64_t stored_for(const Cursor& cursor) const {
        return chunks_.back().begin - chunk(cursor.chunk_).begin;
    }

    /// Returns the number of open cursors. While it is 0 no bytes are stored.
    size_t cursors() const { return cursors_; }

    /// Opens a cursor at the end.
    Cursor open_cursor();

    /// Opens another cursor at `offset`. REQUIRES: cursor.offset() <= offset <=
    /// end(), and a frame begins at `offset` or the log ends there.
    Cursor open_cursor(const Cursor& cursor, uint64_t offset);

    /// Closes a cursor, and frees the chunks that only it needed.
    void close_cursor(const Cursor& cursor);

    /// Returns the bytes from the cursor to `target`, or those of them that lie
    /// in the first IoVec::kMax chunks. Returns no piece only if the cursor is
    /// at `target`. Valid until the log changes.
    /// REQUIRES: cursor.offset() <= target <= end().
    IoVec pending(const Cursor& cursor, uint64_t target) const;

    /// Moves the cursor forward by n bytes, and frees the chunks that no cursor
    /// needs any more. REQUIRES: n is at most the size of what pending()
    /// returned.
    void advance(Cursor& cursor, size_t n);

private:
    struct Chunk {
        std::unique_ptr<char[]> bytes;
        size_t capacity = 0;
        size_t size = 0;
        uint64_t begin = 0;  // offset in the log of its first byte
        size_t cursors = 0;  // cursors that lie in this chunk

        uint64_t end() const { return begin + size; }
    };

    /// The end of the log at some time.
    struct Mark {
        uint64_t end = 0;
        Time at{};
    };

    void append_frame(Opcode opcode, std::string_view payload,
                      bool compressed = false);
    Chunk& chunk_with_space(size_t size);
    Chunk& add_chunk(size_t capacity);
    void free_unneeded_chunks();
    void free_chunks(size_t count);

    Chunk& chunk(uint64_t number) { return chunks_[number - first_chunk_]; }
    const Chunk& chunk(uint64_t number) const {
        return chunks_[number - first_chunk_];
    }
    uint64_t last_chunk() const { return first_chunk_ + chunks_.size() - 1; }

    std::vector<Chunk> chunks_;  // empty if and only if there is no cursor
    uint64_t first_chunk_ = 0;   // number of chunks_[0]
    uint64_t end_ = 0;
    // The end of the last turn, and before it two marks that are a second apart
    // at least: in a steady flow a single one would never be old enough.
    Mark older_;
    Mark newer_;
    Mark newest_;
    size_t cursors_ = 0;
    uint64_t* stored_;  // in all logs that share it; null: not counted
};

}  // namespace wschat
