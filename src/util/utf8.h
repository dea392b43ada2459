// UTF-8 as RFC 3629 defines it: no overlong forms, no surrogates, nothing above
// U+10FFFF. Knows nothing of frames or JSON.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace wschat {

/// Checks a text that arrives in pieces; a piece may end inside a character. A
/// bad byte is found in its own piece and not only at the end of the text, so
/// that a connection can be failed at once (RFC 6455, section 8.1).
class Utf8Checker {
public:
    /// Checks the next piece. Returns the index in it of the first byte that
    /// can't follow the bytes before it, or its size if there is none.
    /// REQUIRES: no bad byte was found since reset().
    size_t feed(std::string_view piece);

    /// True if the text may end here: not inside a character.
    bool complete() const { return state_ == 0; }

    void reset() { *this = Utf8Checker(); }

private:
    uint8_t state_ = 0;  // of the automaton in utf8.cpp; 0 between characters
};

/// Returns the length of the longest prefix of `text` that consists of complete
/// valid characters: text.size() if and only if all of it does.
size_t valid_utf8_prefix(std::string_view text);

}  // namespace wschat
