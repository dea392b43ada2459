#include <fstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "util/json.h"

using namespace wschat;

using Reserved = JsonCheck::Reserved;
using Outcome = JsonCheck::Outcome;

namespace {

/// Checks a copy of exactly the text's size, so that a sanitizer sees any read
/// behind its end.
JsonCheck check(std::string_view text) {
    std::vector<char> copy(text.begin(), text.end());
    return check_json({copy.data(), copy.size()});
}

bool is_json(std::string_view text) {
    return check(text).outcome != Outcome::Malformed;
}

std::string repeated(const std::string& part, size_t times) {
    std::string whole;
    for (size_t i = 0; i < times; ++i) whole += part;
    return whole;
}

/// A line of json-relay.tsv.
struct Row {
    std::string payload;
    std::string php;
    std::string wschat;
    std::string name;
};

std::string from_hex(const std::string& hex) {
    std::string bytes;
    for (size_t i = 0; i + 1 < hex.size(); i += 2)
        bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
    return bytes;
}

Row parse_row(const std::string& line) {
    std::vector<std::string> columns(1);
    for (char c : line) {
        if (c != '\t' || columns.size() == 4) {
            columns.back() += c;
        } else {
            columns.emplace_back();
        }
    }
    REQUIRE(columns.size() == 4);
    return {from_hex(columns[0]), columns[1], columns[2], columns[3]};
}

std::vector<Row> read_vectors() {
    std::ifstream file("tests/json-relay.tsv");
    REQUIRE_MESSAGE(file.is_open(),
                    "tests/json-relay.tsv: cannot be read from here");
    std::vector<Row> rows;
    for (std::string line; std::getline(file, line);)
        if (line[0] != '#') rows.push_back(parse_row(line));
    return rows;
}

/// Returns the outcome in PHP, from the table: a text that PHP drops, and whose
/// row does not say "falsy", is not JSON.
Outcome expected_outcome(const Row& row) {
    if (row.wschat == "relayed") return Outcome::Truthy;
    bool falsy = row.name.find("falsy") != std::string::npos;
    return falsy ? Outcome::Falsy : Outcome::Malformed;
}

void check_truthiness(const std::string& text, Outcome expected) {
    CAPTURE(text);
    CHECK(check(text).outcome == expected);
    CHECK(check(" \n" + text).outcome == expected);
    CHECK(check(text + "\t\r ").outcome == expected);
}

/// Returns where the first object of a stream ends, which is fed in pieces of
/// `size` bytes after a first one of `first`.
size_t end_of_object(const std::string& stream, size_t first, size_t size) {
    ObjectScanner scanner;
    size_t taken = 0;
    for (size_t n = first; taken < stream.size(); n = size) {
        std::string_view piece = std::string_view(stream).substr(taken, n);
        std::vector<char> copy(piece.begin(), piece.end());
        taken += scanner.feed({copy.data(), copy.size()});
        if (!scanner.open()) return taken;
    }
    return std::string::npos;
}

// Every kind of token.
const std::string kRich =
    "\r\n\t "
    R"({"type" : "message", "list":[1,-2.5e+3,0,true,false,null,[],{}] ,
"deep":{"a":[{"b":"\u00e9\ud83d\ude00\n\\\""}]},
"text":"café 😀 and a long plain tail"})";

}  // namespace

TEST_CASE("the outcome for each payload is that of PHP") {
    std::vector<Row> rows = read_vectors();
    CHECK(rows.size() == 287);
    for (const Row& row : rows) {
        CAPTURE(row.name);
        CHECK(check(row.payload).outcome == expected_outcome(row));
    }
}

TEST_CASE("a malformed text is refused at the byte that makes it so") {
    struct {
        std::string text;
        size_t offset;
        std::string reason;
    } const malformed[] = {
        {"", 0, "unexpected end"},
        {" \n", 2, "unexpected end"},
        {"x", 0, "unexpected character"},
        {"]", 0, "unexpected character"},
        {std::string(1, '\0'), 0, "unexpected character"},
        {"\xEF\xBB\xBF{}", 0, "unexpected character"},
        {"\f[]", 0, "unexpected character"},
        // literals
        {"nul", 3, "unexpected end"},
        {"nuL", 2, "unexpected character"},
        {"TRUE", 0, "unexpected character"},
        {"[trux]", 4, "unexpected character"},
        {"falsey", 5, "trailing characters"},
        // numbers
        {"-", 1, "unexpected end"},
        {"[- 1]", 2, "unexpected character"},
        {"[+1]", 1, "unexpected character"},
        {"[.5]", 1, "unexpected character"},
        {"[1.]", 3, "unexpected character"},
        {"1.", 2, "unexpected end"},
        {"[1e]", 3, "unexpected character"},
        {"[1e+]", 4, "unexpected character"},
        {"1E-", 3, "unexpected end"},
        {"01", 1, "trailing characters"},
        {"[-01]", 3, "unexpected character"},
        {"[0x10]", 2, "unexpected character"},
        {"[NaN]", 1, "unexpected character"},
        {"1 2", 2, "trailing characters"},
        // arrays and objects
        {"[", 1, "unexpected end"},
        {"[1", 2, "unexpected end"},
        {"[1,", 3, "unexpected end"},
        {"[1,]", 3, "unexpected character"},
        {"[,1]", 1, "unexpected character"},
        {"[1 2]", 3, "unexpected character"},
        {"[1:2]", 2, "unexpected character"},
        {"[1}", 2, "unexpected character"},
        {"[]]", 2, "trailing characters"},
        {"{", 1, "unexpected end"},
        {"{,}", 1, "unexpected character"},
        {"{1:2}", 1, "unexpected character"},
        {"{a:1}", 1, "unexpected character"},
        {"{'a':1}", 1, "unexpected character"},
        {R"({"a")", 4, "unexpected end"},
        {R"({"a"})", 4, "unexpected character"},
        {R"({"a",1})", 4, "unexpected character"},
        {R"({"a":)", 5, "unexpected end"},
        {R"({"a":})", 5, "unexpected character"},
        {R"({"a":1)", 6, "unexpected end"},
        {R"({"a":1,)", 7, "unexpected end"},
        {R"({"a":1,})", 7, "unexpected character"},
        {R"({"a":1])", 6, "unexpected character"},
        {R"({"a":1 "b":2})", 7, "unexpected character"},
        {R"({"a":[1})", 7, "unexpected character"},
        {R"({"a":{"b":1],1})", 11, "unexpected character"},
        {R"({"a":1}{"b":2})", 7, "trailing characters"},
        {R"({"a":1}//)", 7, "trailing characters"},
        // strings
        {R"(")", 1, "unexpected end"},
        {R"("abc)", 4, "unexpected end"},
        {"\"a\nb\"", 2, "control character in a string"},
        {std::string("\"a\0b\"", 5), 2, "control character in a string"},
        {"{\"\t\":1}", 2, "control character in a string"},
        {R"("\)", 2, "unexpected end"},
        {R"("\")", 3, "unexpected end"},
        {R"("\x41")", 2, "bad escape"},
        {R"("\'")", 2, "bad escape"},
        {std::string("\"\\\0\"", 4), 2, "bad escape"},
        {R"("\U0041")", 2, "bad escape"},
        {R"("\u)", 3, "unexpected end"},
        {R"("\u004)", 6, "unexpected end"},
        {R"("\u004")", 6, "bad escape"},
        {R"("\u004g")", 6, "bad escape"},
        {R"("\u004G")", 6, "bad escape"},
        {R"("\u00/0")", 5, "bad escape"},
        {R"("\u00:0")", 5, "bad escape"},
        {R"("\u00@0")", 5, "bad escape"},
        {R"("\u00`0")", 5, "bad escape"},
        // surrogates: something else in the place of the other half
        {R"("\udc00")", 4, "unpaired surrogate escape"},
        {R"("\uDFFF")", 4, "unpaired surrogate escape"},
        {R"("\ud800)", 7, "unexpected end"},
        {R"("\ud800")", 7, "unpaired surrogate escape"},
        {R"("\uDBFFx")", 7, "unpaired surrogate escape"},
        {R"("\ud800\)", 8, "unexpected end"},
        {R"("\ud800\n")", 8, "unpaired surrogate escape"},
        {R"("\ud800\u0041")", 9, "unpaired surrogate escape"},
        {R"("\ud800\ud800")", 10, "unpaired surrogate escape"},
        {R"("\ud83d\ude0")", 12, "bad escape"},
        {R"("\ud83d\ude0)", 12, "unexpected end"},
        // UTF-8 comes first, and is refused by whole characters
        {"\xFF", 0, "malformed UTF-8"},
        {"x\xFF", 1, "malformed UTF-8"},
        {"[\"\xC3\xA9\xE2\x82\"]", 4, "malformed UTF-8"},
        {"\"\xF0\x9F\x98", 1, "malformed UTF-8"},
    };
    for (const auto& row : malformed) {
        CAPTURE(row.text);
        JsonCheck found = check(row.text);
        CHECK(found.outcome == Outcome::Malformed);
        CHECK(found.offset == row.offset);
        CHECK(found.reason == row.reason);
    }
}

TEST_CASE("every proper prefix of a text is malformed at its end") {
    REQUIRE(is_json(kRich));
    for (size_t n = 0; n < kRich.size(); ++n) {
        JsonCheck found = check(kRich.substr(0, n));
        CAPTURE(n);
        CHECK(found.outcome == Outcome::Malformed);
        bool cut = found.reason == std::string("malformed UTF-8");
        CHECK((cut ? found.offset + 3 >= n : found.offset == n));
        if (!cut) CHECK(found.reason == std::string("unexpected end"));
    }
}

TEST_CASE("a text that ends inside an escaped type is malformed") {
    std::string claim = R"({"\u0074ype":"\u0073ystem"})";
    for (size_t n = 0; n < claim.size(); ++n) {
        CAPTURE(n);
        CHECK(check(claim.substr(0, n)).offset == n);
    }
}

TEST_CASE("white space in front shifts the offset and nothing else") {
    for (size_t n = 0; n <= 16; ++n) {
        CAPTURE(n);
        CHECK(is_json(std::string(n, ' ') + kRich));
        CHECK(check(std::string(n, '\t') + R"(["abc","d\e"])").offset ==
              n + 10);
        CHECK(check(std::string(n, '\n') + "0").outcome == Outcome::Falsy);
    }
}

TEST_CASE("white space is blank, tab, line feed and carriage return alone") {
    for (int c = 0; c < 0x80; ++c) {
        CAPTURE(c);
        bool space = c == ' ' || c == '\t' || c == '\n' || c == '\r';
        std::string around(1, static_cast<char>(c));
        CHECK(is_json("[" + around + "{}]") == space);
        CHECK(is_json("[{}" + around + "]") == space);
        CHECK(is_json("{\"a\"" + around + ":{}}") == space);
        CHECK(is_json("{" + around + "\"a\":{}}") == space);
    }
}

TEST_CASE("a string may hold any byte but quotes, backslashes and controls") {
    for (int c = 0; c < 0x80; ++c)
        for (size_t before = 0; before <= 17; ++before) {
            CAPTURE(c);
            CAPTURE(before);
            bool plain = c >= 0x20 && c != '"' && c != '\\';
            std::string text = "\"" + std::string(before, '~') +
                               static_cast<char>(c) + "####### ! [ ]\"";
            JsonCheck found = check(text);
            CHECK((found.outcome == Outcome::Truthy) == plain);
            if (c < 0x20) CHECK(found.offset == before + 1);
            if (c == '"' || c == '\\') CHECK(found.offset == before + 2);
        }
}

TEST_CASE("of two special bytes the first is refused") {
    for (size_t before = 0; before <= 9; ++before)
        for (size_t between = 0; between <= 9; ++between) {
            std::string text = "\"" + std::string(before, 'a') + "\x01" +
                               std::string(between, ' ') + "\x02\"";
            CHECK(check(text).offset == before + 1);
        }
}

TEST_CASE("a special byte is found at each place, whatever is beside it") {
    const struct {
        std::string bytes;
        size_t offset;  // where the text stops being JSON, from the first
    } specials[] = {
        {std::string(1, '\0'), 0}, {"\x1F", 0}, {"\"", 1}, {"\\", 1}};
    // None of them is a letter of an escape. Some differ from a special byte
    // by their top bit, or by one.
    int wrong = 0;
    for (std::string beside : {"a", " ", "!", "#", "[", "]", "\x7F", "\xC2\xA2",
                               "\xC3\x9C", "\xC2\x80", "\xE2\x80\x9F"})
        for (const auto& special : specials)
            for (size_t n = 0; n <= 40; ++n)
                for (size_t after = 1; after <= 10; ++after) {
                    std::string text = "\"" + repeated(beside, n);
                    size_t offset = text.size() + special.offset;
                    bool blank = special.bytes == "\"" && beside == " ";
                    if (blank) offset += after;
                    text += special.bytes + repeated(beside, after) + "\"";
                    if (check(text).offset != offset) ++wrong;
                }
    CHECK(wrong == 0);
}

TEST_CASE("strings of every length end at their quote") {
    int wrong = 0;
    for (std::string last :
         {"", "~", R"(\\)", R"(\")", R"(\u00e9)", "\xC3\xA2"})
        for (size_t n = 0; n <= 64; ++n) {
            std::string string = "\"" + std::string(n, 'a') + last + "\"";
            std::string object = "{" + string + ":" + string + "}";
            if (!is_json(string) || !is_json(object)) ++wrong;
            if (is_json(string + "\"") || is_json("{" + string + "}")) ++wrong;
            for (size_t first = 1; first <= object.size(); ++first)
                if (end_of_object(object + "}", first, 17) != object.size())
                    ++wrong;
        }
    CHECK(wrong == 0);
}

TEST_CASE("escapes are the nine of the grammar") {
    for (int c = 0; c < 0x80; ++c) {
        CAPTURE(c);
        std::string escape{'\\', static_cast<char>(c)};
        bool known = c != 0 && std::string("\"\\/bfnrt").find(escape[1]) !=
                                   std::string::npos;
        CHECK(is_json("\"a" + escape + "b\"") == known);
        CHECK(is_json("\"a" + escape + "00e9b\"") == (known || c == 'u'));
    }
}

TEST_CASE("hexadecimal digits are accepted in either case at each place") {
    const std::string digits = "0123456789abcdefABCDEF";
    for (size_t place = 0; place < 4; ++place)
        for (int c = 1; c < 0x80; ++c) {
            CAPTURE(place);
            CAPTURE(c);
            std::string hex = "0000";
            hex[place] = static_cast<char>(c);
            CHECK(is_json("\"\\u" + hex + "\"") ==
                  (digits.find(hex[place]) != std::string::npos));
        }
}

TEST_CASE("surrogate escapes come in pairs, high before low") {
    auto escape = [](unsigned unit) {
        static const char kHex[] = "0123456789ABCDEF";
        return std::string("\\u") + kHex[unit >> 12] + kHex[unit >> 8 & 15] +
               kHex[unit >> 4 & 15] + kHex[unit & 15];
    };
    const unsigned units[] = {0x0000, 0x0DC0, 0xCC00, 0xD7FF, 0xD800, 0xDABC,
                              0xDBFF, 0xDC00, 0xDEAD, 0xDFFF, 0xE000, 0xFFFF};
    for (unsigned a : units)
        for (unsigned b : units) {
            bool a_high = a >= 0xD800 && a <= 0xDBFF;
            bool a_low = a >= 0xDC00 && a <= 0xDFFF;
            bool b_high = b >= 0xD800 && b <= 0xDBFF;
            bool b_low = b >= 0xDC00 && b <= 0xDFFF;
            CAPTURE(a);
            CAPTURE(b);
            CHECK(is_json("\"" + escape(a) + escape(b) + "\"") ==
                  (!a_low && !b_high && a_high == b_low));
        }
}

TEST_CASE("truthiness is PHP's") {
    const std::string falsy[] = {
        "null",
        "false",
        "0",
        "-0",
        "0.0",
        "-0.0",
        "0e0",
        "0E+5",
        "-0e1",
        "0.000e9",
        "1e-400",
        "-1e-400",
        "0e999999999999999999999",
        "1e-99999999999999999999",
        "2.4703282292062327e-324",
        R"("")",
        R"("0")",
        R"("\u0030")",
        "[]",
        "[ \t\r\n]",
    };
    const std::string truthy[] = {
        "true",
        "1",
        "-1",
        "0.1",
        "1e400",
        "-1e400",
        "1e-300",
        "5e-324",
        "2.4703282292062328e-324",
        "1e99999999999999999999",
        "10",
        "0.01",
        R"(" ")",
        R"("00")",
        R"("0 ")",
        R"("0.0")",
        R"("\u0031")",
        R"("\u0000")",
        R"("\n")",
        R"("null")",
        R"("\u00300")",
        R"("0\u0030")",
        "[0]",
        "[[]]",
        "[null]",
        "{}",
        "{ }",
    };
    for (const std::string& text : falsy)
        check_truthiness(text, Outcome::Falsy);
    for (const std::string& text : truthy)
        check_truthiness(text, Outcome::Truthy);
}

TEST_CASE("a number of any length is falsy if it is zero") {
    std::string zeros(100000, '0');
    CHECK(check("0." + zeros).outcome == Outcome::Falsy);
    CHECK(check("0." + zeros + "1").outcome == Outcome::Falsy);
    CHECK(check("0." + zeros + "1e100001").outcome == Outcome::Truthy);
    CHECK(check("1" + zeros).outcome == Outcome::Truthy);
    CHECK(check("1" + zeros + "e-100000").outcome == Outcome::Truthy);
    CHECK(check("1" + zeros + "e-200000").outcome == Outcome::Falsy);
}

TEST_CASE("511 levels are JSON, one more is not") {
    for (std::string open : {"[", "{\"\":"}) {
        CAPTURE(open);
        std::string close = open == "[" ? "]" : "}";
        CHECK(is_json(repeated(open, 511) + "1" + repeated(close, 511)));
        JsonCheck found =
            check(repeated(open, 512) + "1" + repeated(close, 512));
        CHECK(found.outcome == Outcome::Malformed);
        CHECK(found.reason == std::string("nested too deep"));
        CHECK(found.offset == 511 * open.size());
    }
    std::string pairs = repeated("[{\"\":", 255);
    std::string closes = repeated("}]", 255);
    CHECK(is_json(pairs + "[1]" + closes));
    CHECK_FALSE(is_json(pairs + "[{}]" + closes));
}

TEST_CASE("closed containers do not count as levels") {
    std::string open = repeated("[", 510);
    std::string close = repeated("]", 510);
    CHECK(is_json(open + repeated("[],{},", 1000) + "[]" + close));
}

TEST_CASE("each level is closed by a bracket of its own kind") {
    std::string open;
    std::string close;
    for (unsigned i = 0, bits = 1; i < 511; ++i, bits = bits * 69069 + 1) {
        bool object = bits >> 16 & 1;
        open += object ? "{\"\":" : "[";
        close.insert(close.begin(), object ? '}' : ']');
    }
    REQUIRE(is_json(open + "0" + close));
    for (size_t i = 0; i < close.size(); ++i) {
        std::string wrong = close;
        wrong[i] = close[i] == ']' ? '}' : ']';
        CAPTURE(i);
        CHECK(check(open + "0" + wrong).offset == open.size() + 1 + i);
    }
}

TEST_CASE("nesting needs no stack") {
    CHECK(check(std::string(1 << 24, '[')).offset == 511);
    CHECK(check("[" + repeated("[],", 1 << 20) + "[]]").outcome ==
          Outcome::Truthy);
}

TEST_CASE("a reserved type is found however it is written") {
    struct {
        std::string text;
        Reserved reserved;
    } const claims[] = {
        {R"({"type":"system"})", Reserved::System},
        {R"({"type":"error"})", Reserved::Error},
        {R"({"type":"hello"})", Reserved::Hello},
        {R"({"type":"ping"})", Reserved::Ping},
        {R"({"type":"pong"})", Reserved::Pong},
        // white space and place
        {"\t{ \"type\"\n:\r\"system\" } ", Reserved::System},
        {R"({"a":{"b":[1]},"type":"ping","c":"d"})", Reserved::Ping},
        {R"({"":"\"","type":"pong"})", Reserved::Pong},
        {R"({"a":[[{}]],"type":"system"})", Reserved::System},
        // escapes, of the key and of the value
        {R"({"\u0074ype":"system"})", Reserved::System},
        {R"({"t\u0079pe":"system"})", Reserved::System},
        {R"({"\u0074\u0079\u0070\u0065":"ping"})", Reserved::Ping},
        {R"({"type":"\u0073ystem"})", Reserved::System},
        {R"({"type":"syste\u006d"})", Reserved::System},
        {R"({"type":"syste\u006D"})", Reserved::System},
        {R"({"type":"\u0065\u0072\u0072\u006F\u0072"})", Reserved::Error},
        {R"({"typ\u0065":"\u0068\u0065\u006c\u006c\u006f"})", Reserved::Hello},
        // arrays of one element, for which JavaScript's == sees the element
        {R"({"type":["system"]})", Reserved::System},
        {R"({"type":[["error"]]})", Reserved::Error},
        {"{\"type\":[ [\n[\t\"ping\" ]\r]\n] }", Reserved::Ping},
        {R"({"type":["\u0073ystem"],"a":["b"]})", Reserved::System},
        {"{\"type\":" + std::string(500, '[') + "\"hello\"" +
             std::string(500, ']') + "}",
         Reserved::Hello},
        // repeats: any but system wins over system
        {R"({"type":"message","type":"system"})", Reserved::System},
        {R"({"type":"system","type":"message"})", Reserved::System},
        {R"({"type":"system","type":"error"})", Reserved::Error},
        {R"({"type":"error","type":"system"})", Reserved::Error},
        {R"({"type":"system","\u0074ype":"pong"})", Reserved::Pong},
        {R"({"type":"hello","type":0,"type":"system"})", Reserved::Hello},
        {R"({"type":"system","type":{"type":"ping"}})", Reserved::System},
    };
    for (const auto& row : claims) {
        CAPTURE(row.text);
        JsonCheck found = check(row.text);
        CHECK(found.outcome == Outcome::Truthy);
        CHECK(found.reserved == row.reserved);
    }
}

TEST_CASE("a type that only resembles a reserved one is not reserved") {
    for (std::string text : {
             R"({})",
             R"("system")",
             R"(["type","system"])",
             R"({"type":"message"})",
             R"({"type":"System"})",
             R"({"type":"SYSTEM"})",
             R"({"Type":"system"})",
             R"({"type":""})",
             R"({"type":"systems"})",
             R"({"type":"syste"})",
             R"({"type":" system"})",
             R"({"type":"system "})",
             R"({"type":"system\u0000"})",
             R"({"type":"s\nystem"})",
             R"({"type":"s\\u0079stem"})",
             R"({"type":"\u0173ystem"})",
             R"({"type":"\u7300ystem"})",
             R"({"type":["system","x"]})",
             R"({"type":["x","system"]})",
             R"({"type":[["system"],"x"]})",
             R"({"type":[["system",1]]})",
             R"({"type":[[],"system"]})",
             R"({"type":[{"system":1}]})",
             R"({"type":["systems"]})",
             R"({"type":[]})",
             R"({"type":[[[]]]})",
             R"({"type":{"system":1}})",
             R"({"type":null,"a":"system"})",
             R"({"typ":"system"})",
             R"({"types":"system"})",
             R"({"type\u0000":"system"})",
             R"({"\type":"system"})",
             R"({"\u0054ype":"system"})",
             R"({"":"system"})",
             R"({"system":"type"})",
             R"({"a":"type","b":"system"})",
             R"({"a":{"type":"system"}})",
             R"({"type":{"type":"system"}})",
             R"([{"type":"system"}])",
             R"([[],{"type":"system"}])",
             R"({"a":[{"type":"system"}]})",
         }) {
        CAPTURE(text);
        JsonCheck found = check(text);
        CHECK(found.outcome == Outcome::Truthy);
        CHECK(found.reserved == Reserved::None);
    }
}

TEST_CASE("reserved types have their names") {
    CHECK(reserved_name(Reserved::System) == std::string("system"));
    CHECK(reserved_name(Reserved::Error) == std::string("error"));
    CHECK(reserved_name(Reserved::Hello) == std::string("hello"));
    CHECK(reserved_name(Reserved::Ping) == std::string("ping"));
    CHECK(reserved_name(Reserved::Pong) == std::string("pong"));
}

TEST_CASE("quoting makes a JSON string of any text") {
    CHECK(quote_json("") == R"("")");
    CHECK(quote_json("plain /") == R"("plain /")");
    CHECK(quote_json("say \"hi\"") == R"("say \"hi\"")");
    CHECK(quote_json("a\\b\\") == R"("a\\b\\")");
    CHECK(quote_json("\n\x1F") == R"("\u000a\u001f")");
    CHECK(quote_json(std::string("\0", 1)) == R"("\u0000")");
    CHECK(quote_json("caf\xC3\xA9 \x7F") == "\"caf\xC3\xA9 \x7F\"");
    for (size_t n = 0; n <= 17; ++n)
        for (char c = 0; c < 0x7F; ++c) {
            std::string text = std::string(n, 'a') + c + "tail";
            CAPTURE(text);
            CHECK(is_json(quote_json(text)));
        }
}

TEST_CASE("an object ends where its braces close, however it is cut") {
    for (std::string object : {
             R"({})",
             R"({"a":1})",
             R"({"a":{"b":{}},"c":[{},{"d":{}}]})",
             R"({"}":"{"})",
             R"({"a":"}}}}}}}}}}}}}}}}","b":"{{{{{{{{{{{{"})",
             R"({"a\"}":"\\","b":"\\\"}"})",
             R"({"a":"a long text with a quote \" and a brace } inside"})",
             R"({"\\\\":"\\\\\\"})",
             R"({"a":"}\n"})",
             R"({"a\u007d":"\u007B"})",
             "{ not \n JSON, \"\x01\x02\n}\" but \\ braces \xFF}",
         })
        for (std::string rest : {"", "}", "{", " {\"next\":1}", "\x81"}) {
            std::string stream = object + rest;
            CAPTURE(stream);
            CHECK(end_of_object(stream, 1, 1) == object.size());
            for (size_t first = 1; first <= stream.size(); ++first)
                CHECK(end_of_object(stream, first, stream.size()) ==
                      object.size());
        }
}

TEST_CASE("an object without an end takes all bytes and stays open") {
    std::string object = R"({"a":{"b":"\"}"},"c":"}"})";
    for (size_t n = 1; n < object.size(); ++n) {
        ObjectScanner scanner;
        CAPTURE(n);
        CHECK(scanner.feed(object.substr(0, n)) == n);
        CHECK(scanner.open());
        CHECK(scanner.feed("") == 0);
        CHECK(scanner.open());
    }
}

TEST_CASE("one scanner finds one object after another") {
    std::string objects = R"({"a":"}"}{}{"b":{"c":"\\"}})";
    ObjectScanner scanner;
    CHECK_FALSE(scanner.open());
    std::vector<size_t> sizes;
    for (size_t taken = 0; taken < objects.size(); taken += sizes.back()) {
        sizes.push_back(scanner.feed(std::string_view(objects).substr(taken)));
        CHECK_FALSE(scanner.open());
    }
    CHECK(sizes == std::vector<size_t>{9, 2, 16});
}
