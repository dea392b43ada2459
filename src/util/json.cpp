#include "util/json.h"

#include <algorithm>
#include <bitset>
#include <cassert>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include <endian.h>

#include "util/text.h"
#include "util/utf8.h"

namespace wschat {

namespace {

using Reserved = JsonCheck::Reserved;
using Verdict = JsonCheck::Verdict;

// By Reserved.
constexpr std::string_view kReservedNames[] = {"",      "system", "error",
                                               "hello", "ping",   "pong"};

std::string_view name_of(Reserved type) {
    return kReservedNames[static_cast<size_t>(type)];
}

/// Whether a byte in a string does not stand for itself: it ends the string,
/// begins an escape, or must not be there.
bool is_special(char c) {
    return c == '"' || c == '\\' || static_cast<unsigned char>(c) < 0x20;
}

/// is_special() for eight bytes at once: the first of them that is special
/// has its top bit set in the result. (Those behind it may have theirs set
/// wrongly: a subtraction borrows from them.)
uint64_t special_bytes(uint64_t word) {
    constexpr uint64_t kOnes = 0x0101010101010101;
    // With this bit flipped the quote is 0x20 and the controls change places,
    // below it: one subtraction finds both. Bytes from 0x80 on are not special.
    static_assert(('"' ^ 2) == 0x20);
    uint64_t low = (word ^ kOnes * 2) - kOnes * 0x21;
    uint64_t backslashes = (word ^ kOnes * '\\') - kOnes;
    return (low | backslashes) & ~word & kOnes * 0x80;
}

/// The first special byte at or after p, or end.
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

/// How many bytes at the front of a string's body stand for the ASCII
/// letter c: as itself 1, as \u00XX 6; 0 if they stand for something else.
size_t spelling(std::string_view body, char c) {
    if (body.size() >= 1 && body[0] == c) return 1;
    if (body.size() < 6 || body.compare(0, 4, "\\u00") != 0) return 0;
    return hex_digit(body[4]) * 16 + hex_digit(body[5]) == c ? 6 : 0;
}

/// Whether a string is this word, however it is escaped. `body` is what
/// follows its opening quote. If that is not JSON, any answer will do.
/// REQUIRES: no short escape such as \n stands for a letter of word.
bool spells(std::string_view body, std::string_view word) {
    for (char c : word) {
        size_t n = spelling(body, c);
        if (n == 0) return false;
        body.remove_prefix(n);
    }
    return !body.empty() && body[0] == '"';
}

/// Whether a number is zero as a double: also one too small for it.
/// REQUIRES: number is JSON.
bool is_zero(std::string_view number) {
    return std::strtod(std::string(number).c_str(), nullptr) == 0;
}

/// REQUIRES: text is JSON without white space before it.
bool is_falsy(std::string_view text) {
    std::string_view rest = text.substr(1);
    char c = text[0];
    if (c == '{' || c == 't') return false;
    if (c == 'f' || c == 'n') return true;
    if (c == '"') return spells(rest, "") || spells(rest, "0");
    if (c == '[') return rest[rest.find_first_not_of(" \t\r\n")] == ']';
    return is_zero(text);
}

/// The reserved type that a value is, if it is one. `value` is what follows
/// the colon and its white space. If that is not JSON, any answer will do.
Reserved find_reserved(std::string_view value) {
    if (value.empty() || value[0] != '"') return Reserved::None;
    for (Reserved type : {Reserved::System, Reserved::Error, Reserved::Hello,
                          Reserved::Ping, Reserved::Pong})
        if (spells(value.substr(1), name_of(type))) return type;
    return Reserved::None;
}

/// Goes over a text once, from token to token. What each open container is,
/// is kept as a bit, so that nesting costs neither stack nor memory. The
/// functions return whether the text is still JSON; if not, fail() was called.
class Parser {
public:
    explicit Parser(std::string_view text)
        : begin_(text.data()), p_(begin_), end_(begin_ + text.size()) {}

    JsonCheck check() {
        skip_space();
        std::string_view trimmed = rest();
        while (!done_)
            if (!value()) return result_;
        result_.verdict = is_falsy(trimmed) ? Verdict::Falsy : Verdict::Truthy;
        return result_;
    }

private:
    /// Takes a value (of a container that is not empty its start alone) and
    /// what stands between it and the next one.
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

    /// Takes a key and its colon.
    bool key() {
        skip_space();
        if (peek() != '"') return fail();
        bool is_type = depth_ == 1 && spells(rest().substr(1), "type");
        if (!string()) return false;
        skip_space();
        if (peek() != ':') return fail();
        ++p_;
        skip_space();
        if (is_type)
            result_.reserved =
                std::max(result_.reserved, find_reserved(rest()));
        return true;
    }

    /// Closes the containers that end here, and takes a comma with the key
    /// that follows it, or finds that the text is over.
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

    /// Takes an escape but for its last byte.
    bool escape() {
        ++p_;
        if (peek() == 'u') return unicode_escape();
        bool known = std::string_view("\"\\/bfnrt").find(peek()) !=
                     std::string_view::npos;
        return known || fail("bad escape");
    }

    /// The same from its `u` on; two escapes if they make a surrogate pair.
    bool unicode_escape() {
        if (!hex(0x0, 0xF)) return false;
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

    /// Steps to a digit, which the surrogates around it bound.
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

    /// The byte to look at; NUL, legal nowhere, at the end of the text.
    char peek() const { return p_ != end_ ? *p_ : '\0'; }

    std::string_view rest() const {
        return {p_, static_cast<size_t>(end_ - p_)};
    }

    /// The text stops being JSON here.
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
    std::bitset<kMaxJsonDepth> is_object_;  // by depth, from 0
    JsonCheck result_;
};

}  // namespace

JsonCheck check_json(std::string_view text) {
    size_t valid = valid_utf8_prefix(text);
    if (valid == text.size()) return Parser(text).check();
    JsonCheck result;
    result.reason = "malformed UTF-8";
    result.offset = valid;
    return result;
}

const char* reserved_name(Reserved type) {
    return name_of(type).data();
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
