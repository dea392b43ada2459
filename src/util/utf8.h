// UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above
// U+10FFFF. Knows nothing of frames or JSON.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace wschat {

/// Checks a text that arrives in pieces; a piece may end inside a character.
/// A bad byte is found in the piece that brings it, not at the text's end.
class Utf8Checker {
public:
    /// Takes the next piece. Returns the index in it of the first byte that
    /// cannot follow what came before, or its size if there is none. After
    /// a bad byte the checker must not be used until reset().
    size_t feed(std::string_view piece);

    /// Whether the text may end here, that is, not inside a character.
    bool complete() const { return state_ == 0; }

    void reset() { *this = Utf8Checker(); }

private:
    uint8_t state_ = 0;  // of the automaton in utf8.cpp; 0 between characters
};

/// The length of the longest prefix of `text` that is whole valid UTF-8
/// characters: text.size() exactly if all of it is.
size_t valid_utf8_prefix(std::string_view text);

}  // namespace wschat
