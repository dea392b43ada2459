// The one run of encoded frames that every client of a room receives, and the
// cursors of the clients in it. No sockets: whoever flushes asks for bytes
// and says how many were taken.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "util/buffer.h"
#include "ws/frame.h"

namespace wschat {

/// An append-only run of frames, kept in chunks. A frame never spans chunks.
/// A client is owed [cursor, end()) and nothing else is kept for it. A
/// chunk is freed when no cursor is in it or before it, so memory is what
/// the hindmost client has still to receive, whatever their number.
class Broadcast {
public:
    static constexpr size_t kMinChunk = 256;
    static constexpr size_t kMaxChunk = 64 << 10;

    /// A place in the run, counted by the chunk that it lies in. It belongs
    /// to the run that gave it and is moved by advance() alone.
    class Cursor {
    public:
        uint64_t offset() const { return offset_; }

    private:
        friend class Broadcast;
        uint64_t chunk_ = 0;   // its number since the run began
        uint64_t offset_ = 0;  // bytes since the run began
    };

    /// Appends an unfragmented text frame.
    void append(std::string_view text);

    /// The same with a text that is deflated (RFC 7692, section 6.1).
    void append_deflated(std::string_view deflated);

    /// Appends an empty ping frame.
    void append_ping();

    /// Bytes appended since the run began: the offset of its end.
    uint64_t end() const { return end_; }

    /// Sets a mark at the end. What lies before it is called old.
    void end_turn() { end_of_last_turn_ = end_; }
    uint64_t end_of_last_turn() const { return end_of_last_turn_; }

    /// How many cursors are in the run; without any, nothing is kept of it.
    size_t cursors() const { return cursors_; }

    /// A cursor at the end. To be given back by close_cursor().
    Cursor open_cursor();

    /// One at an offset not before that cursor, where a frame begins or at
    /// the end. REQUIRES: cursor.offset() <= offset <= end().
    Cursor open_cursor(const Cursor& cursor, uint64_t offset);

    void close_cursor(const Cursor& cursor);

    /// The bytes from the cursor towards `target`, as far as they lie in
    /// IoVec::kMax chunks. None only if the cursor is at the target.
    /// REQUIRES: cursor.offset() <= target <= end().
    IoVec pending(const Cursor& cursor, uint64_t target) const;

    /// Moves the cursor over the first n of the bytes that pending() has
    /// shown.
    void advance(Cursor& cursor, size_t n);

    /// Bytes of memory that the chunks take.
    size_t capacity() const;

private:
    struct Chunk {
        std::unique_ptr<char[]> bytes;
        size_t capacity = 0;
        size_t size = 0;
        uint64_t begin = 0;    // offset of its first byte in the run
        size_t cursors = 0;  // how many lie in it

        uint64_t end() const { return begin + size; }
    };

    void append_frame(Opcode opcode, std::string_view payload,
                bool compressed = false);
    Chunk& room_for(size_t size);
    Chunk& at(uint64_t number) { return chunks_[number - first_]; }
    const Chunk& at(uint64_t number) const { return chunks_[number - first_]; }
    uint64_t last() const { return first_ + chunks_.size() - 1; }
    void free_passed();

    std::vector<Chunk> chunks_;
    uint64_t first_ = 0;  // number of chunks_[0]
    uint64_t end_ = 0;
    uint64_t end_of_last_turn_ = 0;
    size_t cursors_ = 0;
};

}  // namespace wschat
