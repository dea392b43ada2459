// JSON as PHP's json_decode() accepts it (RFC 8259, at most 511 levels, no
// unpaired surrogate escapes). Finds out what a relay must know of a text:
// whether PHP would call it truthy, and which reserved "type" it has. Builds no
// values. Knows no sockets and no frames.
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

/// The result of check_json().
struct JsonCheck {
    enum class Outcome {
        Malformed,  // not JSON; see reason and offset
        Falsy,  // JSON that PHP's `if ($data)` drops: null false 0 "" "0" []
        Truthy  // any other JSON; `reserved` may still forbid to relay it
    };

    /// The values of a top-level "type" that clients may not use. An array of
    /// one element counts as that element. If the key is repeated, the value
    /// that comes last in this enum counts, not the one that comes last in the
    /// text. So System must come before the others: a client that may send
    /// System can't add another type that some pages read instead.
    enum class Reserved { None, System, Error, Hello, Ping, Pong };

    Outcome outcome = Outcome::Malformed;
    Reserved reserved = Reserved::None;  // meaningful unless Malformed
    const char* reason = "";             // Malformed: a few words, static
    size_t offset = 0;                   // Malformed: the byte, from 0
};

/// Checks a complete text. Takes any bytes. Needs time linear in their number
/// and no memory that grows with them, except for a text that is one number,
/// which is copied. Recognises "type" and its value however they are escaped.
JsonCheck check_json(std::string_view text);

/// Returns a reserved type as it is written between the quotes: "system" and so
/// on. Empty for None.
const char* reserved_name(JsonCheck::Reserved type);

/// Returns `text` as a JSON string, including its quotes. REQUIRES: text is
/// valid UTF-8.
std::string quote_json(std::string_view text);

/// Finds the ends of JSON objects in a stream of bytes that may be cut
/// anywhere. An object starts with `{` and ends where its braces close; braces
/// inside strings do not count. Checks nothing else.
class ObjectScanner {
public:
    /// Scans the next bytes of the stream, up to the end of the object. Returns
    /// how many belong to the object; it has ended if open() is false then.
    /// REQUIRES: open(), or the first byte is `{`.
    size_t feed(std::string_view bytes);

    /// True if an object has begun and not ended.
    bool open() const { return depth_ > 0; }

private:
    size_t depth_ = 0;
    bool in_string_ = false;
    bool escaped_ = false;  // the last byte was the backslash of an escape
};

}  // namespace wschat
