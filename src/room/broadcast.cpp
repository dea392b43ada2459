#include "room/broadcast.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace wschat {

void Broadcast::append(std::string_view text) {
    append_frame(Opcode::Text, text);
}

void Broadcast::append_deflated(std::string_view deflated) {
    append_frame(Opcode::Text, deflated, true);
}

void Broadcast::append_ping() { append_frame(Opcode::Ping, {}); }

void Broadcast::append_frame(Opcode opcode, std::string_view payload,
                             bool compressed) {
    char header[kMaxServerHeader];
    const size_t header_size =
        encode_header(header, opcode, payload.size(), compressed);
    const size_t size = header_size + payload.size();
    // Without a cursor nothing will read this frame, because the next cursor
    // opens at the end: storing it would only cost memory. The end moves all
    // the same, so that it never means two places.
    if (cursors_ > 0) {
        Chunk& newest = chunk_with_space(size);
        char* out = newest.bytes.get() + newest.size;
        std::copy_n(header, header_size, out);
        std::copy(payload.begin(), payload.end(), out + header_size);
        newest.size += size;
    }
    end_ += size;
    // A client that has been sent everything still holds the newest chunk,
    // which must not be one of a large message.
    if (!chunks_.empty() && chunks_.back().capacity > kMaxChunk)
        add_chunk(kMinChunk);
}

void Broadcast::end_turn(Time now) {
    newest_ = {end_, now};
    if (now - newer_.at < kSettled) return;
    older_ = newer_;
    newer_ = newest_;
}

/// Returns the newest chunk if it has `size` free bytes, else a new chunk.
///
/// A frame never spans two chunks. So every chunk begins and ends at a frame
/// boundary, freeing one never leaves half a frame for the next reader, and
/// appending is one copy. The price is the unused end of some chunks.
Broadcast::Chunk& Broadcast::chunk_with_space(size_t size) {
    if (!chunks_.empty()) {
        Chunk& newest = chunks_.back();
        if (size <= newest.capacity - newest.size) return newest;
    }
    // There may be thousands of rooms in which hardly anything is said: each
    // costs 256 bytes. A busy one soon allocates once for 64 KiB of frames.
    // Chunks don't grow further, because a client that has been sent everything
    // still holds the last one, and because memory is freed by whole chunks.
    const size_t twice = chunks_.empty() ? 0 : 2 * chunks_.back().capacity;
    return add_chunk(std::max(size, std::clamp(twice, kMinChunk, kMaxChunk)));
}

Broadcast::Chunk& Broadcast::add_chunk(size_t capacity) {
    if (stored_ && !chunks_.empty()) *stored_ += chunks_.back().size;
    Chunk added;
    added.capacity = capacity;
    added.bytes.reset(new char[added.capacity]);
    added.begin = end_;
    return chunks_.emplace_back(std::move(added));
}

Broadcast::Cursor Broadcast::open_cursor() {
    chunk_with_space(0).cursors++;
    cursors_++;
    Cursor cursor;
    cursor.chunk_ = last_chunk();
    cursor.offset_ = end_;
    return cursor;
}

Broadcast::Cursor Broadcast::open_cursor(const Cursor& cursor,
                                         uint64_t offset) {
    Cursor opened = cursor;
    chunk(opened.chunk_).cursors++;
    cursors_++;
    advance(opened, static_cast<size_t>(offset - opened.offset_));
    return opened;
}

void Broadcast::close_cursor(const Cursor& cursor) {
    assert(chunk(cursor.chunk_).cursors > 0);
    chunk(cursor.chunk_).cursors--;
    if (--cursors_ > 0) return free_unneeded_chunks();
    free_chunks(chunks_.size());
    // A log without readers gives back the vector's memory too.
    chunks_.shrink_to_fit();
}

IoVec Broadcast::pending(const Cursor& cursor, uint64_t target) const {
    IoVec pieces;
    uint64_t offset = cursor.offset_;
    for (uint64_t number = cursor.chunk_;
         offset < target && pieces.count < IoVec::kMax; ++number) {
        const Chunk& next = chunk(number);
        const uint64_t end = std::min(target, next.end());
        pieces.add({next.bytes.get() + (offset - next.begin),
                    static_cast<size_t>(end - offset)});
        offset = end;
    }
    return pieces;
}

void Broadcast::advance(Cursor& cursor, size_t n) {
    cursor.offset_ += n;
    const uint64_t before = cursor.chunk_;
    // At the end of a chunk a cursor moves on to the next one, if there is one,
    // so that the chunk behind it can be freed at once.
    while (cursor.chunk_ < last_chunk() &&
           cursor.offset_ >= chunk(cursor.chunk_).end())
        cursor.chunk_++;
    if (cursor.chunk_ == before) return;
    chunk(before).cursors--;
    chunk(cursor.chunk_).cursors++;
    free_unneeded_chunks();
}

/// Frees the chunks in front of the first one with a cursor. The counts per
/// chunk make this possible without a look at every cursor of the room, of
/// which there may be thousands: only the oldest chunks are examined.
void Broadcast::free_unneeded_chunks() {
    size_t unneeded = 0;
    while (unneeded + 1 < chunks_.size() && chunks_[unneeded].cursors == 0)
        ++unneeded;
    free_chunks(unneeded);
}

/// Frees the first chunks.
void Broadcast::free_chunks(size_t count) {
    if (stored_)
        for (size_t i = 0; i < std::min(count, chunks_.size() - 1); ++i)
            *stored_ -= chunks_[i].size;
    first_chunk_ += count;
    using Difference = std::vector<Chunk>::difference_type;
    chunks_.erase(chunks_.begin(),
                  chunks_.begin() + static_cast<Difference>(count));
}

}  // namespace wschat
