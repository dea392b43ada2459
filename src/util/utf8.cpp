#include "util/utf8.h"

#include <array>
#include <cstring>

namespace wschat {

namespace {

// The states of the automaton are bit offsets. kTransitions has an entry for
// each byte, which holds the next state at the offset of each state. So a step
// is one load and one shift, without a branch that could be mispredicted.
constexpr int kWidth = 6;

enum State : uint8_t {
    kStart = 0 * kWidth,  // between characters; Utf8Checker relies on 0
    kReject = 1 * kWidth,
    kLast1 = 2 * kWidth,    // one more continuation byte
    kLast2 = 3 * kWidth,    // two more
    kLast3 = 4 * kWidth,    // three more
    kAfterE0 = 5 * kWidth,  // two more, the first not below A0: overlong
    kAfterED = 6 * kWidth,  // two more, the first not above 9F: surrogates
    kAfterF0 = 7 * kWidth,  // three more, the first not below 90: overlong
    kAfterF4 = 8 * kWidth   // three more, the first not above 8F: U+10FFFF
};

constexpr State after_start(int byte) {
    if (byte <= 0x7F) return kStart;
    if (byte < 0xC2 || byte > 0xF4) return kReject;
    if (byte <= 0xDF) return kLast1;
    if (byte == 0xE0) return kAfterE0;
    if (byte == 0xED) return kAfterED;
    if (byte <= 0xEF) return kLast2;
    if (byte == 0xF0) return kAfterF0;
    if (byte == 0xF4) return kAfterF4;
    return kLast3;
}

constexpr uint64_t transition(State from, State to) {
    return static_cast<uint64_t>(to) << from;
}

constexpr uint64_t transitions_of(int byte) {
    auto within = [byte](int low, int high, State then) {
        return byte >= low && byte <= high ? then : kReject;
    };
    return transition(kStart, after_start(byte)) |
           transition(kReject, kReject) |
           transition(kLast1, within(0x80, 0xBF, kStart)) |
           transition(kLast2, within(0x80, 0xBF, kLast1)) |
           transition(kLast3, within(0x80, 0xBF, kLast2)) |
           transition(kAfterE0, within(0xA0, 0xBF, kLast1)) |
           transition(kAfterED, within(0x80, 0x9F, kLast1)) |
           transition(kAfterF0, within(0x90, 0xBF, kLast2)) |
           transition(kAfterF4, within(0x80, 0x8F, kLast2));
}

constexpr std::array<uint64_t, 256> make_transitions() {
    std::array<uint64_t, 256> table{};
    for (int byte = 0; byte < 256; ++byte)
        table[static_cast<size_t>(byte)] = transitions_of(byte);
    return table;
}

constexpr std::array<uint64_t, 256> kTransitions = make_transitions();

constexpr size_t kBlock = 16;  // bytes checked at once

/// Returns the state after a byte, in the low six bits; the others are
/// arbitrary. The mask costs nothing: shift instructions ignore them as well.
uint64_t step(uint64_t state, char byte) {
    return kTransitions[static_cast<uint8_t>(byte)] >> (state & 63);
}

/// Four bytes in each pass, because the loop costs more than a step.
uint8_t step_block(uint64_t state, const char* block) {
    for (size_t i = 0; i < kBlock; i += 4) {
        state = step(state, block[i]);
        state = step(state, block[i + 1]);
        state = step(state, block[i + 2]);
        state = step(state, block[i + 3]);
    }
    return state & 63;
}

bool is_ascii_block(const char* block) {
    uint64_t words[2];
    static_assert(sizeof words == kBlock);
    std::memcpy(words, block, kBlock);
    return ((words[0] | words[1]) & 0x8080808080808080) == 0;
}

bool is_continuation(char byte) {
    return (byte & 0xC0) == 0x80;
}

}  // namespace

size_t Utf8Checker::feed(std::string_view piece) {
    size_t i = 0;
    for (; piece.size() - i >= kBlock; i += kBlock) {
        const char* block = piece.data() + i;
        if (state_ == kStart && is_ascii_block(block)) continue;
        uint8_t next = step_block(state_, block);
        if (next == kReject) break;  // the loop below finds the byte
        state_ = next;
    }
    // Less than a block is left. If the last bytes that make up a block are
    // ASCII, no character is open and none of them is bad.
    if (i > 0 && piece.size() - i < kBlock &&
        is_ascii_block(piece.data() + piece.size() - kBlock))
        return piece.size();
    for (; i < piece.size(); ++i) {
        uint8_t next = step(state_, piece[i]) & 63;
        if (next == kReject) return i;
        state_ = next;
    }
    return i;
}

size_t valid_utf8_prefix(std::string_view text) {
    Utf8Checker checker;
    size_t end = checker.feed(text);
    if (checker.complete()) return end;
    // The character that the bad byte, or the end, cut short is not part of it.
    do --end;
    while (is_continuation(text[end]));
    return end;
}

}  // namespace wschat
