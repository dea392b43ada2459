#include "room/broadcast.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace wschat {

void Broadcast::publish(std::string_view text) { append(Opcode::Text, text); }

void Broadcast::publish_deflated(std::string_view deflated) {
    append(Opcode::Text, deflated, true);
}

void Broadcast::ping() { append(Opcode::Ping, {}); }

void Broadcast::append(Opcode opcode, std::string_view payload,
                       bool compressed) {
    char header[kMaxServerHeader];
    const size_t header_size =
        encode_header(header, opcode, payload.size(), compressed);
    const size_t size = header_size + payload.size();
    if (positions_ > 0) {
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

Broadcast::Position Broadcast::join() {
    room_for(0).positions++;
    positions_++;
    Position position;
    position.chunk_ = last();
    position.offset_ = end_;
    return position;
}

Broadcast::Position Broadcast::join(const Position& position,
                                    uint64_t offset) {
    Position further = position;
    at(further.chunk_).positions++;
    positions_++;
    advance(further, static_cast<size_t>(offset - further.offset_));
    return further;
}

void Broadcast::leave(const Position& position) {
    assert(at(position.chunk_).positions > 0);
    at(position.chunk_).positions--;
    if (--positions_ > 0) return free_passed();
    first_ += chunks_.size();
    chunks_ = std::vector<Chunk>();
}

Pieces Broadcast::pending(const Position& position, uint64_t target) const {
    Pieces pieces;
    uint64_t offset = position.offset_;
    for (uint64_t number = position.chunk_;
         offset < target && pieces.count < Pieces::kMax; ++number) {
        const Chunk& chunk = at(number);
        const uint64_t end = std::min(target, chunk.end());
        pieces.add({chunk.bytes.get() + (offset - chunk.begin),
                    static_cast<size_t>(end - offset)});
        offset = end;
    }
    return pieces;
}

void Broadcast::advance(Position& position, size_t n) {
    position.offset_ += n;
    const uint64_t old = position.chunk_;
    while (position.chunk_ < last() &&
           position.offset_ >= at(position.chunk_).end())
        position.chunk_++;
    if (position.chunk_ == old) return;
    at(old).positions--;
    at(position.chunk_).positions++;
    free_passed();
}

void Broadcast::free_passed() {
    auto first = chunks_.begin();
    while (first + 1 != chunks_.end() && first->positions == 0) ++first;
    first_ += static_cast<uint64_t>(first - chunks_.begin());
    chunks_.erase(chunks_.begin(), first);
}

size_t Broadcast::capacity() const {
    size_t sum = 0;
    for (const Chunk& chunk : chunks_) sum += chunk.capacity;
    return sum;
}

}  // namespace wschat
