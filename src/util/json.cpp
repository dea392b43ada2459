#include "util/json.h"

#include <algorithm>
#include <bitset>
#include <cassert>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <optional>

#include <endian.h>

#include "util/text.h"
#include "util/utf8.h"

namespace wschat {

namespace {

using Reserved = JsonCheck::Reserved;
using Outcome = JsonCheck::Outcome;

/// The reserved types, and how they are written between the quotes.
constexpr struct {
    Reserved type;
    const char* name;
} kReservedTypes[] = {
    {Reserved::System, "system"}, {Reserved::Error, "error"},
    {Reserved::Hello, "hello"},   {Reserved::Ping, "ping"},
    {Reserved::Pong, "pong"},
};

/// True for a byte that does not stand for itself in a string: it ends the
/// string, begins an escape, or is not allowed.
bool is_special(char c) {
    return c == '"' || c == '\\' || static_cast<unsigned char>(c) < 0x20;
}

/// Checks eight bytes at once, because most of a message is strings. The lowest
/// byte whose top bit is set in the result is the first special one. Bytes
/// above it may have theirs set wrongly: a subtraction borrows from them.
uint64_t special_bytes(uint64_t word) {
    constexpr uint64_t kOnes = 0x0101010101010101;
    // With this bit flipped the quote is 0x20 and the controls change places,
    // below it: one subtraction finds both. Bytes from 0x80 on are not special.
    static_assert(('"' ^ 2) == 0x20);
    uint64_t low = (word ^ kOnes * 2) - kOnes * 0x21;
    uint64_t backslashes = (word ^ kOnes * '\\') - kOnes;
    return (low | backslashes) & ~word & kOnes * 0x80;
}

/// Returns the first special byte at or after p, or end.
const char* find_special(const char* p, const char* end) {
    for (; end - p >= 8; p += 8) {
        uint64_t word;
        std::memcpy(&word, p, sizeof word);
        uint64_t special = special_bytes(le64toh(word));
        if (special != 0) return p + __builtin_ctzll(special) / 8;
    }
    while (p != end && !is_special(*p)) ++p;
    return p;
}

/// Returns how many bytes the ASCII letter c takes at the front of a string's
/// body: 1 as itself, 6 as \u00XX; 0 if something else is there.
size_t spelling(std::string_view body, char c) {
    if (body.size() >= 1 && body[0] == c) return 1;
    if (body.size() < 6 || body.compare(0, 4, "\\u00") != 0) return 0;
    return hex_digit(body[4]) * 16 + hex_digit(body[5]) == c ? 6 : 0;
}

/// Returns what follows the closing quote if a string is this word, however it
/// is escaped; else nothing. `body` is the text behind its opening quote. If
/// that is not JSON, the result is arbitrary.
/// REQUIRES: no short escape such as \n stands for a letter of word.
std::optional<std::string_view> after_word(std::string_view body,
                                           std::string_view word) {
    for (char c : word) {
        size_t n = spelling(body, c);
        if (n == 0) return std::nullopt;
        body.remove_prefix(n);
    }
    if (body.empty() || body[0] != '"') return std::nullopt;
    return body.substr(1);
}

/// True if a string is this word. Parameters as above.
bool spells(std::string_view body, std::string_view word) {
    return after_word(body, word).has_value();
}

/// Removes white space and `bracket` from the front while both alternate.
/// Returns how many brackets were removed.
size_t skip_brackets(std::string_view& text, char bracket) {
    for (size_t count = 0;; ++count) {
        while (!text.empty() && is_json_space(text[0])) text.remove_prefix(1);
        if (text.empty() || text[0] != bracket) return count;
        text.remove_prefix(1);
    }
}

/// True if a number is zero as a double, as in PHP; so is one that is too small
/// for a double. REQUIRES: number is JSON.
bool is_zero(std::string_view number) {
    return std::strtod(std::string(number).c_str(), nullptr) == 0;
}

/// REQUIRES: text is JSON without white space before it.
bool is_falsy(std::string_view text) {
    std::string_view body = text.substr(1);
    char c = text[0];
    // An empty object is truthy: PHP decodes it to an object, not to an array.
    if (c == '{' || c == 't') return false;
    if (c == 'f' || c == 'n') return true;
    if (c == '"') return spells(body, "") || spells(body, "0");
    if (c == '[')
        return *std::find_if_not(body.begin(), body.end(), is_json_space) ==
               ']';
    return is_zero(text);
}

/// Returns the reserved type that a value is, or None. `value` is the text
/// behind the colon and its white space. If that is not JSON, the result is
/// arbitrary.
///
/// Pages compare the type with ==, for which JavaScript makes a string of an
/// array: ["system"] == "system", and so are arrays in it. Therefore an array
/// of one element counts as that element.
Reserved find_reserved(std::string_view value) {
    const size_t opened = skip_brackets(value, '[');
    if (value.empty() || value[0] != '"') return Reserved::None;
    for (const auto& reserved : kReservedTypes) {
        auto rest = after_word(value.substr(1), reserved.name);
        if (rest && skip_brackets(*rest, ']') >= opened) return reserved.type;
    }
    return Reserved::None;
}

/// Reads a text once, token by token. One bit for each open container says
/// whether it is an object, so that nesting costs neither stack nor memory. The
/// functions return true if the text is JSON so far; if not, fail() was called.
class Parser {
public:
    explicit Parser(std::string_view text)
        : begin_(text.data()), p_(begin_), end_(begin_ + text.size()) {}

    JsonCheck check() {
        skip_space();
        std::string_view trimmed = unread();
        while (!done_)
            if (!value()) return result_;
        result_.outcome = is_falsy(trimmed) ? Outcome::Falsy : Outcome::Truthy;
        return result_;
    }

private:
    /// Reads up to the start of the next value: a scalar, an empty container or
    /// the start of another one, and the punctuation behind it.
    bool value() {
        skip_space();
        char c = peek();
        if (c == '{') return open_object();
        if (c == '[') return open_array();
        return scalar(c) && after_value();
    }

    bool scalar(char first) {
        if (first == '"') return string();
        if (first == 't') return literal("true");
        if (first == 'f') return literal("false");
        if (first == 'n') return literal("null");
        return number();
    }

    bool open_array() {
        if (!open(false)) return false;
        skip_space();
        return peek() == ']' ? after_value() : true;
    }

    bool open_object() {
        if (!open(true)) return false;
        skip_space();
        return peek() == '}' ? after_value() : key();
    }

    bool open(bool object) {
        if (depth_ == kMaxJsonDepth) return fail("nested too deep");
        is_object_[depth_++] = object;
        ++p_;
        return true;
    }

    /// Reads a key, its colon and the white space behind it.
    bool key() {
        skip_space();
        if (peek() != '"') return fail();
        bool is_type = depth_ == 1 && spells(unread().substr(1), "type");
        if (!string()) return false;
        skip_space();
        if (peek() != ':') return fail();
        ++p_;
        skip_space();
        // Clients differ in which of repeated keys they take. System may be
        // allowed by an option and the others never, so those win.
        if (is_type)
            result_.reserved =
                std::max(result_.reserved, find_reserved(unread()));
        return true;
    }

    /// Reads the ends of containers, then a comma and the key behind it, or the
    /// end of the text.
    bool after_value() {
        for (; skip_space(), depth_ > 0; --depth_, ++p_) {
            bool object = is_object_[depth_ - 1];
            char c = peek();
            if (c == ',') {
                ++p_;
                return object ? key() : true;
            }
            if (c != (object ? '}' : ']')) return fail();
        }
        done_ = p_ == end_;
        return done_ || fail("trailing characters");
    }

    bool string() {
        ++p_;
        for (;; ++p_) {
            p_ = find_special(p_, end_);
            char c = peek();
            if (c == '"') break;
            if (c != '\\') return fail("control character in a string");
            if (!escape()) return false;
        }
        ++p_;
        return true;
    }

    /// Reads an escape up to its last byte, which string() steps over.
    bool escape() {
        ++p_;
        if (peek() == 'u') return unicode_escape();
        bool known = std::string_view("\"\\/bfnrt").find(peek()) !=
                     std::string_view::npos;
        return known || fail("bad escape");
    }

    /// Reads the rest of a \u escape; two escapes if they are a surrogate pair.
    bool unicode_escape() {
        if (!hex(0x0, 0xF)) return false;
        // D800 to DBFF are high surrogates, DC00 to DFFF low ones: those are
        // legal only behind a high one, so here the second digit ends at B.
        bool surrogate = hex_digit(*p_) == 0xD;
        if (!hex(0x0, surrogate ? 0xB : 0xF)) return false;
        bool high = surrogate && hex_digit(*p_) >= 0x8;
        if (!hex(0x0, 0xF) || !hex(0x0, 0xF)) return false;
        return !high || low_surrogate();
    }

    bool low_surrogate() {
        for (char c : {'\\', 'u'}) {
            ++p_;
            if (peek() != c) return fail("unpaired surrogate escape");
        }
        return hex(0xD, 0xD) && hex(0xC, 0xF) && hex(0x0, 0xF) && hex(0x0, 0xF);
    }

    /// Steps to a digit that must be from low to high: another one would make
    /// the escape half a surrogate pair.
    bool hex(int low, int high) {
        ++p_;
        int digit = hex_digit(peek());
        if (digit < 0) return fail("bad escape");
        if (digit < low || digit > high)
            return fail("unpaired surrogate escape");
        return true;
    }

    bool number() {
        if (peek() == '-') ++p_;
        bool zero = peek() == '0';
        if (zero) ++p_;
        if (!zero && !digits()) return false;
        if (peek() == '.' && (++p_, !digits())) return false;
        if (peek() != 'e' && peek() != 'E') return true;
        ++p_;
        if (peek() == '+' || peek() == '-') ++p_;
        return digits();
    }

    bool digits() {
        if (!is_digit(peek())) return fail();
        while (is_digit(peek())) ++p_;
        return true;
    }

    bool literal(std::string_view word) {
        for (char c : word) {
            if (peek() != c) return fail();
            ++p_;
        }
        return true;
    }

    void skip_space() {
        while (p_ != end_ && is_json_space(*p_)) ++p_;
    }

    /// Returns the next byte; at the end NUL, which is legal nowhere.
    char peek() const { return p_ != end_ ? *p_ : '\0'; }

    std::string_view unread() const {
        return {p_, static_cast<size_t>(end_ - p_)};
    }

    /// Notes that the text is not JSON from here on. Returns false.
    bool fail(const char* reason = "unexpected character") {
        result_.reason = p_ != end_ ? reason : "unexpected end";
        result_.offset = static_cast<size_t>(p_ - begin_);
        return false;
    }

    const char* begin_;
    const char* p_;
    const char* end_;
    bool done_ = false;
    size_t depth_ = 0;
    std::bitset<kMaxJsonDepth> is_object_;  // of open containers, by depth
    JsonCheck result_;
};

}  // namespace

JsonCheck check_json(std::string_view text) {
    // First, because the parser takes strings for UTF-8 unseen.
    size_t valid = valid_utf8_prefix(text);
    if (valid == text.size()) return Parser(text).check();
    JsonCheck result;
    result.reason = "malformed UTF-8";
    result.offset = valid;
    return result;
}

const char* reserved_name(Reserved type) {
    for (const auto& reserved : kReservedTypes)
        if (reserved.type == type) return reserved.name;
    return "";
}

std::string quote_json(std::string_view text) {
    std::string quoted = "\"";
    const char* p = text.data();
    const char* end = p + text.size();
    for (;;) {
        const char* special = find_special(p, end);
        quoted.append(p, special);
        if (special == end) break;
        char c = *special;
        quoted += '\\';
        if (c == '"' || c == '\\') {
            quoted += c;
        } else {
            quoted += "u00";
            append_hex(quoted, static_cast<unsigned char>(c));
        }
        p = special + 1;
    }
    return quoted + '"';
}

size_t ObjectScanner::feed(std::string_view bytes) {
    assert(open() || bytes.empty() || bytes[0] == '{');
    const char* p = bytes.data();
    const char* end = p + bytes.size();
    while (p != end) {
        if (in_string_ && !escaped_) p = find_special(p, end);
        if (p == end) break;
        char c = *p++;
        if (escaped_) {
            escaped_ = false;
        } else if (in_string_) {
            escaped_ = c == '\\';
            in_string_ = c != '"';
        } else if (c == '"') {
            in_string_ = true;
        } else if (c == '{') {
            ++depth_;
        } else if (c == '}' && --depth_ == 0) {
            break;
        }
    }
    return static_cast<size_t>(p - bytes.data());
}

}  // namespace wschat
