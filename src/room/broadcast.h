// The one run of encoded frames that every client of a room receives, and the
// positions of the clients in it. No sockets: whoever flushes asks for bytes
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
/// A client is owed [position, end()) and nothing else is kept for it. A
/// chunk is freed when no position is in it or before it, so memory is what
/// the hindmost client has still to receive, whatever their number.
class Broadcast {
public:
    static constexpr size_t kMinChunk = 256;
    static constexpr size_t kMaxChunk = 64 << 10;

    /// A place in the run, counted by the chunk that it lies in. It belongs
    /// to the run that gave it and is moved by advance() alone.
    class Position {
    public:
        uint64_t offset() const { return offset_; }

    private:
        friend class Broadcast;
        uint64_t chunk_ = 0;   // its number since the run began
        uint64_t offset_ = 0;  // bytes since the run began
    };

    /// Appends an unfragmented text frame.
    void publish(std::string_view text);

    /// The same with a text that is deflated (RFC 7692, section 6.1).
    void publish_deflated(std::string_view deflated);

    /// Appends an empty ping frame.
    void ping();

    /// Bytes appended since the run began: the offset of its end.
    uint64_t end() const { return end_; }

    /// Sets a mark at the end. What lies before it is called old.
    void mark() { mark_ = end_; }
    uint64_t marked() const { return mark_; }

    /// How many positions are in the run; without any, nothing is kept of it.
    size_t positions() const { return positions_; }

    /// A position at the end. To be given back by leave().
    Position join();

    /// One at an offset not before that position, where a frame begins or at
    /// the end. REQUIRES: position.offset() <= offset <= end().
    Position join(const Position& position, uint64_t offset);

    void leave(const Position& position);

    /// The bytes from the position towards `target`, as far as they lie in
    /// Pieces::kMax chunks. None only if the position is at the target.
    /// REQUIRES: position.offset() <= target <= end().
    Pieces pending(const Position& position, uint64_t target) const;

    /// Moves the position over the first n of the bytes that pending() has
    /// shown.
    void advance(Position& position, size_t n);

    /// Bytes of memory that the chunks take.
    size_t capacity() const;

private:
    struct Chunk {
        std::unique_ptr<char[]> bytes;
        size_t capacity = 0;
        size_t size = 0;
        uint64_t begin = 0;    // offset of its first byte in the run
        size_t positions = 0;  // how many lie in it

        uint64_t end() const { return begin + size; }
    };

    void append(Opcode opcode, std::string_view payload,
                bool compressed = false);
    Chunk& room_for(size_t size);
    Chunk& at(uint64_t number) { return chunks_[number - first_]; }
    const Chunk& at(uint64_t number) const { return chunks_[number - first_]; }
    uint64_t last() const { return first_ + chunks_.size() - 1; }
    void free_passed();

    std::vector<Chunk> chunks_;
    uint64_t first_ = 0;  // number of chunks_[0]
    uint64_t end_ = 0;
    uint64_t mark_ = 0;
    size_t positions_ = 0;
};

}  // namespace wschat
