#include "util/utf8.h"

#include <array>
#include <cstring>

namespace wschat {

namespace {

// A finite automaton reads the text byte by byte. Its 9 states say which bytes
// may follow (RFC 3629, section 4). Each state is a number of 6 bits, and all 9
// next states for one byte are packed into a uint64_t of kTransitions: the next
// state is at the bit offset that is the current state. So a step is one load
// and one shift, without a branch that the processor could mispredict.
constexpr int kWidth = 6;

enum State : uint8_t {
    kStart = 0 * kWidth,  // between characters; Utf8Checker relies on 0
    kReject = 1 * kWidth,   // after an illegal byte, for ever
    kLast1 = 2 * kWidth,    // one continuation byte must follow
    kLast2 = 3 * kWidth,    // two must follow
    kLast3 = 4 * kWidth,    // three must follow
    kAfterE0 = 5 * kWidth,  // two, the first at least A0: else overlong
    kAfterED = 6 * kWidth,  // two, the first at most 9F: else a surrogate
    kAfterF0 = 7 * kWidth,  // three, the first at least 90: else overlong
    kAfterF4 = 8 * kWidth   // three, the first at most 8F: else over U+10FFFF
};

/// Returns the state after the first byte of a character. C0 and C1 could only
/// begin overlong forms, F5 and above only code points over U+10FFFF.
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

/// Returns the entry of one transition, to be combined with those from other
/// states.
constexpr uint64_t transition(State from, State to) {
    return static_cast<uint64_t>(to) << from;
}

/// Returns the next state after this byte for each current state, packed.
constexpr uint64_t transitions_of(int byte) {
    auto within = [byte](int low, int high, State next) {
        return byte >= low && byte <= high ? next : kReject;
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

constexpr size_t kBlock = 16;  // bytes

/// Returns the next state in the low 6 bits, with garbage above them. The next
/// step masks that away at no cost: a shift uses only the low 6 bits anyway.
uint64_t step(uint64_t state, char byte) {
    return kTransitions[static_cast<uint8_t>(byte)] >> (state & 63);
}

/// Steps over a block. The loop is unrolled by four, because counting would
/// take longer than the steps.
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
        if (next == kReject) break;  // the last loop finds the byte
        state_ = next;
    }
    // The bytes that are left after the last block need no steps if they and as
    // many before them as make a block are ASCII: then no character is
    // incomplete where they begin.
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
    // The last character is incomplete: removes it back to its first byte.
    do --end;
    while (is_continuation(text[end]));
    return end;
}

}  // namespace wschat
