#include "room/broadcast.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace wschat {

void Broadcast::append(std::string_view text) { append_frame(Opcode::Text, text); }

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
    if (cursors_ > 0) {
        Chunk& chunk = room_for(size);
        char* out = chunk.bytes.get() + chunk.size;
        std::copy_n(header, header_size, out);
        std::copy(payload.begin(), payload.end(), out + header_size);
        chunk.size += size;
    }
    end_ += size;
}

Broadcast::Chunk& Broadcast::room_for(size_t size) {
    if (!chunks_.empty()) {
        Chunk& newest = chunks_.back();
        if (size <= newest.capacity - newest.size) return newest;
    }
    const size_t twice = chunks_.empty() ? 0 : 2 * chunks_.back().capacity;
    Chunk chunk;
    chunk.capacity = std::max(size, std::clamp(twice, kMinChunk, kMaxChunk));
    chunk.bytes.reset(new char[chunk.capacity]);
    chunk.begin = end_;
    return chunks_.emplace_back(std::move(chunk));
}

Broadcast::Cursor Broadcast::open_cursor() {
    room_for(0).cursors++;
    cursors_++;
    Cursor cursor;
    cursor.chunk_ = last();
    cursor.offset_ = end_;
    return cursor;
}

Broadcast::Cursor Broadcast::open_cursor(const Cursor& cursor,
                                    uint64_t offset) {
    Cursor further = cursor;
    at(further.chunk_).cursors++;
    cursors_++;
    advance(further, static_cast<size_t>(offset - further.offset_));
    return further;
}

void Broadcast::close_cursor(const Cursor& cursor) {
    assert(at(cursor.chunk_).cursors > 0);
    at(cursor.chunk_).cursors--;
    if (--cursors_ > 0) return free_passed();
    first_ += chunks_.size();
    chunks_ = std::vector<Chunk>();
}

IoVec Broadcast::pending(const Cursor& cursor, uint64_t target) const {
    IoVec pieces;
    uint64_t offset = cursor.offset_;
    for (uint64_t number = cursor.chunk_;
         offset < target && pieces.count < IoVec::kMax; ++number) {
        const Chunk& chunk = at(number);
        const uint64_t end = std::min(target, chunk.end());
        pieces.add({chunk.bytes.get() + (offset - chunk.begin),
                    static_cast<size_t>(end - offset)});
        offset = end;
    }
    return pieces;
}

void Broadcast::advance(Cursor& cursor, size_t n) {
    cursor.offset_ += n;
    const uint64_t old = cursor.chunk_;
    while (cursor.chunk_ < last() &&
           cursor.offset_ >= at(cursor.chunk_).end())
        cursor.chunk_++;
    if (cursor.chunk_ == old) return;
    at(old).cursors--;
    at(cursor.chunk_).cursors++;
    free_passed();
}

void Broadcast::free_passed() {
    auto first = chunks_.begin();
    while (first + 1 != chunks_.end() && first->cursors == 0) ++first;
    first_ += static_cast<uint64_t>(first - chunks_.begin());
    chunks_.erase(chunks_.begin(), first);
}

size_t Broadcast::capacity() const {
    size_t sum = 0;
    for (const Chunk& chunk : chunks_) sum += chunk.capacity;
    return sum;
}

}  // namespace wschat
