// Checks UTF-8 (RFC 3629): no overlong forms, no surrogates, no code point
// above U+10FFFF. Knows nothing of frames or JSON.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace wschat {

/// Checks a text that arrives in pieces, which may be cut inside a character.
/// Finds an illegal byte in the piece that contains it, not at the end of the
/// text, so that a connection can fail early (RFC 6455, section 8.1).
class Utf8Checker {
public:
    /// Checks the next piece. Returns the index of the first byte in it that
    /// can't follow the bytes before it, or piece.size() if all can. REQUIRES:
    /// no illegal byte was found since the last reset().
    size_t feed(std::string_view piece);

    /// Returns true if the text may end here: not inside a character. After an
    /// illegal byte: whether it could have ended before that byte.
    bool complete() const { return state_ == 0; }

    /// Begins a new text.
    void reset() { *this = Utf8Checker(); }

private:
    uint8_t state_ = 0;  // of the automaton in utf8.cpp; 0 between characters
};

/// Returns the length in bytes of the longest prefix of `text` that consists of
/// whole legal characters: text.size() if and only if `text` is UTF-8.
size_t valid_utf8_prefix(std::string_view text);

}  // namespace wschat
