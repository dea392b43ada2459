// JSON as PHP's json_decode() takes it (RFC 8259, at most 511 levels, no
// unpaired surrogate escapes), and what a relay must know of a text: whether
// PHP would call it truthy and which "type" it claims. Nothing is built from
// the text; it is only looked at. No sockets, no frames.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace wschat {

constexpr int kMaxJsonDepth = 511;

/// True for the four bytes that JSON takes for white space (RFC 8259, section
/// 2).
inline bool is_json_space(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/// What check_json() found.
struct JsonCheck {
    enum class Verdict {
        Truthy,    // JSON, and relayed
        Falsy,     // JSON that PHP's `if ($data)` drops: null false 0 "" "0" []
        Malformed  // not JSON; see reason and offset
    };

    /// The values of a top-level "type" that clients may not claim. If the
    /// key is repeated, any value but System wins over System.
    enum class Reserved { None, System, Error, Hello, Ping, Pong };

    Verdict verdict = Verdict::Malformed;
    Reserved reserved = Reserved::None;  // meaningful unless Malformed
    const char* reason = "";             // Malformed: a few words, static
    size_t offset = 0;                   // Malformed: the byte, from 0
};

/// Judges a whole text. Takes any bytes, needs time linear in their number
/// and no memory that grows with them (save for a text that is one number,
/// which is copied). "type" and its value are recognised however they are
/// escaped.
JsonCheck check_json(std::string_view text);

/// The reserved type as it stands between quotes: "system" and so on.
const char* reserved_name(JsonCheck::Reserved type);

/// `text` as a JSON string, with its quotes. REQUIRES: text is valid UTF-8.
std::string quote_json(std::string_view text);

/// Finds the ends of JSON objects in a stream of bytes that may be cut
/// anywhere: an object starts with `{` and ends where its braces close,
/// braces inside strings not counted. Does not check anything else.
class ObjectScanner {
public:
    /// Looks at the next bytes of the stream, the first of which must be `{`
    /// if no object is open. Returns how many belong to the object: fewer
    /// than bytes.size() (or as many, with open() false) if it ends there.
    size_t feed(std::string_view bytes);

    /// Whether an object has begun and not ended.
    bool open() const { return depth_ > 0; }

private:
    size_t depth_ = 0;
    bool in_string_ = false;
    bool escaped_ = false;
};

}  // namespace wschat
