#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "fixtures/client_frames.h"
#include "fixtures/deflated.h"
#include "fixtures/heap.h"
#include "ws/message_reader.h"

using namespace wschat;
using namespace wschat::test;

namespace {

constexpr uint64_t kMiB = 1 << 20;

ReaderConfig at_most(uint64_t max_message) {
    ReaderConfig rules;
    rules.max_message = max_message;
    return rules;
}

ReaderConfig without_raw_json() {
    ReaderConfig rules;
    rules.raw_json = false;
    return rules;
}

/// The limits of a reader, and whether the client may compress its messages.
struct PeerRules : ReaderConfig {
    PeerRules(const ReaderConfig& rules = {}) : ReaderConfig(rules) {}
    bool deflates = false;
};

PeerRules deflating(uint64_t max_message = kMiB) {
    PeerRules rules(at_most(max_message));
    rules.deflates = true;
    return rules;
}

/// Returns the bytes, or "1000 times x" for a long run of the same byte.
std::string abbreviate(std::string_view bytes) {
    const bool run =
        bytes.size() > 128 && bytes.find_first_not_of(bytes[0]) == bytes.npos;
    if (!run) return std::string(bytes);
    return std::to_string(bytes.size()) + " times " + bytes[0];
}

std::string text_of(const Event& event) {
    const std::string payload = abbreviate(event.payload);
    switch (event.kind) {
        case Event::Kind::NeedMore:
        case Event::Kind::Inflating:
            return "";
        case Event::Kind::Text:
            return "text " + payload;
        case Event::Kind::Binary:
            return "binary " + payload;
        case Event::Kind::Raw:
            return "raw " + payload;
        case Event::Kind::Ping:
            return "ping " + payload;
        case Event::Kind::Pong:
            return "pong " + payload;
        case Event::Kind::Close:
            return "close " + std::to_string(event.code) + " " + payload;
        case Event::Kind::Error:
            return "error " + std::to_string(event.code);
    }
    return "?";
}

/// A reader and the events that it has returned, as text: "text Hello; ping ;
/// error 1002; ".
class EventRecorder {
public:
    explicit EventRecorder(const PeerRules& rules = {}) : rules_(rules) {
        if (rules.deflates) reader_.allow_compression();
    }

    /// Reads the bytes in one piece: a copy of exactly their size, so that a
    /// sanitizer reports any access behind its end.
    EventRecorder& read(std::string_view bytes) {
        std::vector<char> copy(bytes.begin(), bytes.end());
        Bytes input{copy.data(), copy.size()};
        while (!over_) {
            const Event event = reader_.next(input);
            if (event.kind == Event::Kind::NeedMore) break;
            if (event.kind != Event::Kind::Inflating) note(event);
        }
        if (!over_ && input.size > 0) FAIL_CHECK("bytes were left");
        return *this;
    }

    void accept_raw_only() { reader_.accept_raw_only(); }
    bool inside_raw() const { return reader_.inside_raw(); }

    /// Returns true after an error or a close frame.
    bool over() const { return over_; }
    const std::string& events() const { return events_; }

private:
    void note(const Event& event) {
        events_ += text_of(event) + "; ";
        over_ = event.kind == Event::Kind::Close ||
                event.kind == Event::Kind::Error;
        if (event.kind == Event::Kind::Error) {
            CHECK(std::strlen(event.reason) > 0);
            CHECK(std::strlen(event.reason) <= 123);
        }
    }

    ReaderConfig rules_;
    MessageReader reader_{rules_};
    std::string events_;
    bool over_ = false;
};

std::string events_of(std::string_view bytes, const PeerRules& rules = {}) {
    return EventRecorder(rules).read(bytes).events();
}

/// Reads the bytes in pieces of `size` after a piece of `first`.
std::string events_in_pieces(std::string_view bytes, size_t first, size_t size,
                            const PeerRules& rules) {
    EventRecorder recorder(rules);
    for (size_t n = first; !bytes.empty(); n = size) {
        recorder.read(bytes.substr(0, n));
        bytes.remove_prefix(std::min(n, bytes.size()));
    }
    return recorder.events();
}

/// Reads the bytes at once, one by one, and in two pieces that are cut at every
/// place, or at some hundreds of them, and compares the events of each.
void check_events(const std::string& bytes, const std::string& expected,
                 const PeerRules& rules = {}) {
    CHECK(events_of(bytes, rules) == expected);
    CHECK(events_in_pieces(bytes, 1, 1, rules) == expected);
    CHECK(events_in_pieces(bytes, 7, 3, rules) == expected);
    int wrong = 0;
    for (size_t cut = 1; cut < bytes.size(); cut += 1 + bytes.size() / 700)
        if (events_in_pieces(bytes, cut, bytes.size(), rules) != expected)
            ++wrong;
    CHECK(wrong == 0);
}

/// Returns the number of bytes after which the reader reports an end.
size_t bytes_until_over(std::string_view bytes, const PeerRules& rules = {}) {
    EventRecorder recorder(rules);
    size_t n = 0;
    while (n < bytes.size() && !recorder.over())
        recorder.read(bytes.substr(n++, 1));
    return n;
}

std::string repeated(const std::string& part, size_t times) {
    std::string whole;
    whole.reserve(part.size() * times);
    for (size_t i = 0; i < times; ++i) whole += part;
    return whole;
}

/// Reads bytes[begin, end) without a copy, and ignores the events.
void feed(MessageReader& reader, std::string& bytes, size_t begin, size_t end) {
    Bytes input{bytes.data() + begin, end - begin};
    while (reader.next(input).kind != Event::Kind::NeedMore) {
    }
}

/// Reads the bytes in pieces of `size`. Returns the sum of what was reported as
/// inflated before the end of a message.
uint64_t inflated_in_parts(std::string bytes, size_t size) {
    const ReaderConfig rules;
    MessageReader reader(rules);
    reader.allow_compression();
    uint64_t sum = 0;
    for (size_t i = 0; i < bytes.size(); i += size) {
        Bytes input{bytes.data() + i, std::min(size, bytes.size() - i)};
        for (;;) {
            const Event event = reader.next(input);
            if (event.kind == Event::Kind::NeedMore) break;
            sum += event.size;
        }
    }
    return sum;
}

}  // namespace

// Messages

TEST_CASE("the masked frames of RFC 6455, section 5.7, are read") {
    const std::string hello = bytes(
        {0x81, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58});
    check_events(hello, "text Hello; ");
    const std::string pong_response = bytes(
        {0x8A, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58});
    check_events(pong_response, "pong Hello; ");
}

TEST_CASE("whole messages of every length form are read however they are cut") {
    for (size_t size : {0u, 1u, 2u, 15u, 16u, 125u, 126u, 127u, 255u, 256u,
                        65535u, 65536u, 70001u}) {
        CAPTURE(size);
        const std::string payload(size, 'x');
        check_events(text_frame(payload), "text " + abbreviate(payload) + "; ");
        check_events(binary_frame(payload),
                      "binary " + abbreviate(payload) + "; ");
    }
}

TEST_CASE("many messages in one piece are read in their order") {
    std::string stream;
    std::string expected;
    for (int i = 0; i < 500; ++i) {
        stream += text_frame(std::to_string(i));
        expected += "text " + std::to_string(i) + "; ";
    }
    CHECK(events_of(stream) == expected);
    CHECK(events_in_pieces(stream, 1, 1, {}) == expected);
    CHECK(events_in_pieces(stream, 100, 13, {}) == expected);
}

TEST_CASE("each frame has a masking key of its own") {
    check_events(frame(0x81, "plain", std::string_view("\0\0\0\0", 4)) +
                     frame(0x01, "one", "{{{{") + frame(0x80, "two", "\x01}{ "),
                 "text plain; text onetwo; ");
}

TEST_CASE("fragments make one message") {
    check_events(first_fragment("Hel") + last_fragment("lo"), "text Hello; ");
    check_events(first_fragment("a") + next_fragment("b") + next_fragment("c") +
                     last_fragment("d"),
                 "text abcd; ");
    check_events(frame(0x02, "\x80") + last_fragment("\x81"),
                 "binary \x80\x81; ");
    check_events(first_fragment("a") + last_fragment("b") + text_frame("c") +
                     first_fragment("d") + last_fragment("e"),
                 "text ab; text c; text de; ");
}

TEST_CASE("fragments may be empty, the first and the last one too") {
    check_events(first_fragment("") + last_fragment(""), "text ; ");
    check_events(first_fragment("") + next_fragment("") + last_fragment("x"),
                 "text x; ");
    check_events(first_fragment("x") + next_fragment("") + last_fragment(""),
                 "text x; ");
    check_events(frame(0x02, "") + last_fragment(""), "binary ; ");
}

TEST_CASE("control frames come between fragments") {
    check_events(
        first_fragment("Hel") + ping_frame("now") + last_fragment("lo"),
        "ping now; text Hello; ");
    check_events(first_fragment("a") + ping_frame("1") + next_fragment("b") +
                     pong_frame("2") + ping_frame("") + last_fragment("c") +
                     ping_frame("3"),
                 "ping 1; pong 2; ping ; text abc; ping 3; ");
    check_events(first_fragment("never whole") + close_frame(1000),
                 "close 1000 " + big_endian(1000, 2) + "; ");
}

TEST_CASE("a continuation without a message is refused") {
    struct {
        std::string stream;
        std::string expected;
    } const illegal[] = {
        {next_fragment("x"), "error 1002; "},
        {last_fragment("x"), "error 1002; "},
        {last_fragment(""), "error 1002; "},
        {text_frame("a") + last_fragment("b"), "text a; error 1002; "},
        {first_fragment("a") + last_fragment("b") + last_fragment("c"),
         "text ab; error 1002; "},
        {first_fragment("a") + last_fragment("b") + next_fragment("c"),
         "text ab; error 1002; "},
        {ping_frame("p") + next_fragment("c"), "ping p; error 1002; "},
    };
    for (const auto& row : illegal) {
        CAPTURE(row.expected);
        check_events(row.stream, row.expected);
    }
}

TEST_CASE("a message inside a message is refused") {
    check_events(first_fragment("a") + text_frame("b"), "error 1002; ");
    check_events(first_fragment("a") + binary_frame("b"), "error 1002; ");
    check_events(first_fragment("a") + first_fragment("b"), "error 1002; ");
    check_events(frame(0x02, "a") + frame(0x02, "b"), "error 1002; ");
    check_events(first_fragment("") + ping_frame() + text_frame(""),
                 "ping ; error 1002; ");
}

TEST_CASE("illegal headers are refused with 1002, in a message too") {
    const std::string illegal[] = {
        bytes({0xC1, 0x80, 0, 0, 0, 0}),  // RSV1
        bytes({0xA1, 0x80, 0, 0, 0, 0}),  // RSV2
        bytes({0x91, 0x80, 0, 0, 0, 0}),  // RSV3
        bytes({0x83, 0x80, 0, 0, 0, 0}),  // reserved opcodes
        bytes({0x87, 0x80, 0, 0, 0, 0}),
        bytes({0x8B, 0x80, 0, 0, 0, 0}),
        bytes({0x8F, 0x80, 0, 0, 0, 0}),
        bytes({0x09, 0x80, 0, 0, 0, 0}),               // a ping in fragments
        bytes({0x81, 0x05, 'H', 'e', 'l', 'l', 'o'}),  // unmasked
        bytes({0x89, 0xFE, 0, 126, 0, 0, 0, 0}),       // a long ping
        bytes({0x81, 0xFE, 0, 125, 0, 0, 0, 0}),       // 16 bits for 125
    };
    for (const std::string& header : illegal) {
        CAPTURE(static_cast<uint8_t>(header[0]));
        check_events(header, "error 1002; ");
        check_events(text_frame("a") + header, "text a; error 1002; ");
        check_events(first_fragment("a") + header, "error 1002; ");
    }
}

// UTF-8

TEST_CASE("the characters of a text may be cut anywhere") {
    const std::string word = "κόσμε € 😀";
    check_events(text_frame(word), "text " + word + "; ");
    for (size_t cut = 0; cut <= word.size(); ++cut) {
        CAPTURE(cut);
        check_events(first_fragment(word.substr(0, cut)) + ping_frame() +
                         last_fragment(word.substr(cut)),
                     "ping ; text " + word + "; ");
    }
    std::string fragments = first_fragment("");
    for (char c : word)
        fragments += next_fragment(std::string(1, c)) + pong_frame();
    fragments += last_fragment("");
    check_events(fragments,
                 repeated("pong ; ", word.size()) + "text " + word + "; ");
}

TEST_CASE("malformed UTF-8 fails the connection at its first bad byte") {
    struct {
        std::string good;
        std::string bad;  // its first byte is the one that fails
    } const illegal[] = {
        {"", "\x80"},
        {"", "\xFF"},
        {"", "\xC0\xAF"},
        {"ok", "\xF5"},
        {"ok\xE2\x82", "z"},
        {"ok\xED", "\xA0\x80"},
        {"ok\xF4", "\x90\x80\x80"},
        {"ok\xE0", "\x9F\xBF"},
        {"κόσμε", "\xC1\xBF"},
    };
    for (const auto& row : illegal) {
        CAPTURE(row.good);
        CAPTURE(row.bad);
        const std::string whole =
            text_frame(row.good + row.bad + std::string(200, 'x'));
        check_events(whole, "error 1007; ");
        const size_t header_size = 8;
        CHECK(bytes_until_over(whole) == header_size + row.good.size() + 1);

        const std::string fragments =
            first_fragment(row.good) + ping_frame() + next_fragment("") +
            next_fragment(row.bad) + last_fragment("x");
        check_events(fragments, "ping ; error 1007; ");
        CHECK(bytes_until_over(fragments) ==
              (first_fragment(row.good) + ping_frame() + next_fragment("") +
               frame_header(0x00, 1))
                      .size() +
                  1);
    }
}

TEST_CASE("a text that ends inside a character fails") {
    for (std::string character : {"é", "€", "😀"})
        for (size_t n = 1; n < character.size(); ++n) {
            const std::string cut = "ab" + character.substr(0, n);
            CAPTURE(cut);
            check_events(text_frame(cut), "error 1007; ");
            check_events(first_fragment(cut) + last_fragment(""),
                         "error 1007; ");
            check_events(first_fragment("ab") + last_fragment(cut.substr(2)),
                         "error 1007; ");
        }
}

TEST_CASE("binary messages may have any bytes") {
    const std::string any = "\xFF\xFE\x80\xC0 \xED\xA0\x80 {";
    check_events(binary_frame(any), "binary " + any + "; ");
    check_events(
        frame(0x02, "\xE2") + ping_frame("\xFF") + last_fragment("\xFF"),
        "ping \xFF; binary \xE2\xFF; ");
    check_events(binary_frame("\xE2\x82") + text_frame("\xE2\x82\xAC"),
                 "binary \xE2\x82; text \xE2\x82\xAC; ");
}

// Limits

TEST_CASE("a message as long as the limit is read, a longer one refused") {
    for (uint64_t limit : {1u, 5u, 125u, 126u, 300u, 65535u, 65536u}) {
        CAPTURE(limit);
        const std::string payload(limit, 'x');
        check_events(text_frame(payload), "text " + abbreviate(payload) + "; ",
                     at_most(limit));
        check_events(text_frame(payload + "x"), "error 1009; ", at_most(limit));
        check_events(binary_frame(payload + "x"), "error 1009; ",
                     at_most(limit));
    }
    CHECK(events_of(text_frame(std::string(kMiB, 'x'))) ==
          "text 1048576 times x; ");
    CHECK(events_of(text_frame(std::string(kMiB + 1, 'x'))) == "error 1009; ");
}

TEST_CASE("a length over the limit is refused by the header alone") {
    check_events(frame_header(0x81, kMiB), "");
    check_events(frame_header(0x81, kMiB + 1), "error 1009; ");
    check_events(frame_header(0x82, uint64_t{1} << 32), "error 1009; ");
    check_events(frame_header(0x82, (uint64_t{1} << 63) - 1), "error 1009; ");
    check_events(frame_header(0x02, (uint64_t{1} << 63) - 1), "error 1009; ");
    // A length with its top bit set is illegal whatever the limit is.
    check_events(frame_header(0x82, uint64_t{1} << 63), "error 1002; ");
    check_events(frame_header(0x82, ~uint64_t{0}), "error 1002; ");
}

TEST_CASE("the limit is one for all fragments of a message") {
    const ReaderConfig rules = at_most(10);
    const std::string six = first_fragment("123456");
    check_events(six + last_fragment("7890"), "text 1234567890; ", rules);
    check_events(
        six + next_fragment("78") + next_fragment("90") + last_fragment(""),
        "text 1234567890; ", rules);
    check_events(six + frame_header(0x80, 5), "error 1009; ", rules);
    check_events(six + next_fragment("7890") + frame_header(0x00, 1),
                 "error 1009; ", rules);
    check_events(six + frame_header(0x80, (uint64_t{1} << 63) - 1),
                 "error 1009; ", rules);
    check_events(six + frame_header(0x80, (uint64_t{1} << 63) - 6),
                 "error 1009; ", rules);
    // An earlier message does not count.
    check_events(six + last_fragment("7890") + six + last_fragment("7890"),
                 "text 1234567890; text 1234567890; ", rules);
}

TEST_CASE("control frames do not count as part of a message") {
    const std::string payload(125, 'p');
    check_events(first_fragment("a") + ping_frame(payload) +
                     pong_frame(payload) + last_fragment("b"),
                 "ping " + payload + "; pong " + payload + "; text ab; ",
                 at_most(2));
}

TEST_CASE("a message of 4 MiB may come in fragments of 64 bytes") {
    const size_t count = 4 * kMiB / 64;
    const std::string part(64, 'x');
    const std::string stream = first_fragment(part) +
                               repeated(next_fragment(part), count - 2) +
                               last_fragment(part);
    CHECK(events_of(stream, at_most(4 * kMiB)) == "text 4194304 times x; ");
    CHECK(events_of(stream, at_most(4 * kMiB - 1)) == "error 1009; ");
}

TEST_CASE("the empty fragments of a message are limited") {
    const size_t most = MessageReader::kMaxEmptyFragments;
    const std::string most_of_them =
        first_fragment("") + repeated(next_fragment(""), most - 1);
    CHECK(events_of(most_of_them + last_fragment("x")) == "text x; ");
    CHECK(events_of(most_of_them + ping_frame() + next_fragment("x") +
                last_fragment("y")) == "ping ; text xy; ");
    CHECK(events_of(most_of_them + next_fragment("")) == "error 1008; ");
    CHECK(events_of(first_fragment("a") +
                repeated(next_fragment("") + next_fragment("b"), most) +
                next_fragment("")) == "error 1008; ");
    CHECK(bytes_until_over(most_of_them + repeated(next_fragment(""), 3)) ==
          (most_of_them + next_fragment("")).size());
}

TEST_CASE("an empty last fragment counts as empty") {
    const size_t most = MessageReader::kMaxEmptyFragments;
    CHECK(events_of(first_fragment("") + repeated(next_fragment(""), most - 2) +
                last_fragment("")) == "text ; ");
    CHECK(events_of(first_fragment("") + repeated(next_fragment(""), most - 1) +
                last_fragment("")) == "error 1008; ");
}

TEST_CASE("empty fragments are counted for each message") {
    const size_t most = MessageReader::kMaxEmptyFragments;
    const std::string message = first_fragment("") +
                                repeated(next_fragment(""), most - 1) +
                                last_fragment("x");
    CHECK(events_of(repeated(message, 3)) == repeated("text x; ", 3));
    CHECK(events_of(repeated(text_frame(""), 2 * most)) ==
          repeated("text ; ", 2 * most));
    CHECK(events_of(first_fragment("a") + repeated(ping_frame(), 2 * most) +
                last_fragment("b")) ==
          repeated("ping ; ", 2 * most) + "text ab; ");
}

// Control frames

TEST_CASE("pings and pongs of every length are read") {
    for (size_t size = 0; size <= 125; ++size) {
        CAPTURE(size);
        const std::string payload(size, '\xFF');
        check_events(ping_frame(payload) + pong_frame(payload),
                     "ping " + payload + "; pong " + payload + "; ");
    }
    check_events(ping_frame(std::string(126, 'x')), "error 1002; ");
    check_events(pong_frame(std::string(126, 'x')), "error 1002; ");
}

TEST_CASE("a close frame may be empty") {
    check_events(frame(0x88, ""), "close 1005 ; ");
}

TEST_CASE("close frames give a code and a reason") {
    const std::string longest(123, 'r');
    for (std::string reason :
         {std::string(), std::string("bye"), std::string("κόσμε"), longest}) {
        CAPTURE(reason);
        check_events(close_frame(1000, reason),
                     "close 1000 " + big_endian(1000, 2) + reason + "; ");
    }
    check_events(close_frame(1000, longest + "r"), "error 1002; ");
}

TEST_CASE("a close frame payload of 1 byte is refused") {
    check_events(frame(0x88, "\x03"), "error 1002; ");
}

TEST_CASE("only the close codes that a client may send are accepted") {
    int wrong = 0;
    for (uint64_t code = 0; code <= 0xFFFF; ++code) {
        const bool legal = (code >= 1000 && code <= 1003) ||
                           (code >= 1007 && code <= 1014) ||
                           (code >= 3000 && code <= 4999);
        const std::string expected = legal
                                         ? "close " + std::to_string(code) +
                                               " " + big_endian(code, 2) + "; "
                                         : "error 1002; ";
        if (events_of(close_frame(static_cast<int>(code))) != expected) ++wrong;
    }
    CHECK(wrong == 0);
}

TEST_CASE("close codes are checked however the frame is cut") {
    for (int code :
         {0, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65535}) {
        CAPTURE(code);
        check_events(close_frame(code), "error 1002; ");
        check_events(close_frame(code, "why"), "error 1002; ");
    }
    for (int code : {1000, 1001, 1003, 1007, 1011, 1014, 3000, 4999}) {
        CAPTURE(code);
        const std::string body = big_endian(static_cast<uint64_t>(code), 2);
        check_events(close_frame(code, "why"),
                     "close " + std::to_string(code) + " " + body + "why; ");
    }
}

TEST_CASE("the reason of a close frame must be whole UTF-8") {
    for (std::string reason :
         {"\xFF", "ok\x80", "\xED\xA0\x80", "\xE2\x82", "ok\xF0\x9F\x98"}) {
        CAPTURE(reason);
        check_events(close_frame(1000, reason), "error 1007; ");
    }
    // Between the fragments of a text it does not continue that text.
    check_events(first_fragment("\xE2\x82") + close_frame(1000, "\xAC"),
                 "error 1007; ");
}

// Deflated messages

TEST_CASE("deflated messages are read however they are cut") {
    const std::string word = "κόσμε € 😀";
    check_events(frame(0xC1, deflated("Hello")), "text Hello; ", deflating());
    check_events(frame(0xC1, deflated(word)) + frame(0xC2, deflated("\xFF")) +
                     text_frame("as it is") + frame(0xC1, deflated("")),
                 "text " + word + "; binary \xFF; text as it is; text ; ",
                 deflating());
    check_events(frame(0xC1, deflated(std::string(100'000, 'x'))),
                 "text 100000 times x; ", deflating());
}

TEST_CASE("the examples of RFC 7692, section 7.2.3, are read") {
    check_events(frame(0xC1, bytes({0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00})),
                 "text Hello; ", deflating());
    check_events(frame(0x41, bytes({0xF2, 0x48, 0xCD})) +
                     last_fragment(bytes({0xC9, 0xC9, 0x07, 0x00})),
                 "text Hello; ", deflating());
}

TEST_CASE("deflated messages may be in fragments, with pings between") {
    const std::string message = deflated("fragments of one message");
    for (size_t cut = 0; cut <= message.size(); ++cut)
        CHECK(events_of(frame(0x41, message.substr(0, cut)) + ping_frame("p") +
                        next_fragment("") + last_fragment(message.substr(cut)),
                    deflating()) ==
              "ping p; text fragments of one message; ");
}

TEST_CASE("RSV1 is legal where a message begins, with compression") {
    const std::string fragment = frame(0x41, deflated("a"));
    check_events(frame(0xC1, deflated("a")), "error 1002; ");
    check_events(fragment + frame(0xC0, ""), "error 1002; ", deflating());
    check_events(frame(0x01, "a") + frame(0xC0, ""), "error 1002; ",
                 deflating());
    check_events(frame(0xC8, ""), "error 1002; ", deflating());
    check_events(frame(0xC9, ""), "error 1002; ", deflating());
    check_events(frame(0xCA, ""), "error 1002; ", deflating());
    for (int first : {0xA1, 0x91, 0xE1, 0xD1, 0xF1})
        check_events(frame(first, deflated("a")), "error 1002; ", deflating());
}

TEST_CASE("malformed deflated data fails with 1007 at its first byte") {
    const std::string corrupt = bytes({0x06, 0x00, 0x00});
    check_events(frame(0xC1, corrupt), "error 1007; ", deflating());
    check_events(frame(0x42, corrupt), "error 1007; ", deflating());
    CHECK(bytes_until_over(frame(0xC1, corrupt), deflating()) == 7);
}

TEST_CASE("deflated text must be whole UTF-8") {
    check_events(frame(0xC1, deflated("a\xFF")), "error 1007; ", deflating());
    check_events(frame(0xC1, deflated("\xE2\x82")), "error 1007; ",
                 deflating());
    check_events(frame(0x41, deflated("\xFF", 15, Z_SYNC_FLUSH)),
                 "error 1007; ", deflating());
}

TEST_CASE("the limit counts the bytes of the inflated message") {
    const std::string exact(1000, 'x');
    check_events(frame(0xC1, deflated(exact)), "text 1000 times x; ",
                 deflating(1000));
    check_events(frame(0xC1, deflated(exact + "x")), "error 1009; ",
                 deflating(1000));
    check_events(frame(0xC1, deflated(exact)) + frame(0xC1, deflated(exact)),
                 "text 1000 times x; text 1000 times x; ", deflating(1000));
    const std::string tail = bytes({0, 0, 0xFF, 0xFF});
    check_events(frame(0x41, deflated(exact) + tail) +
                     last_fragment(deflated(exact)),
                 "error 1009; ", deflating(1999));
    check_events(frame(0x41, deflated(exact) + tail) +
                     last_fragment(deflated(exact)),
                 "text 2000 times x; ", deflating(2000));
}

TEST_CASE("a header that announces more than a message needs is refused") {
    // At worst a message needs 9 bits for each byte, and some for the blocks.
    CHECK(events_of(frame_header(0xC1, 1000 + 125 + 64), deflating(1000)) ==
          "");
    CHECK(events_of(frame_header(0xC1, 1000 + 125 + 65), deflating(1000)) ==
          "error 1009; ");
    const std::string stored = bytes({0, 0, 0, 0xFF, 0xFF});  // of no bytes
    CHECK(events_of(frame(0x41, repeated(stored, 200)) +
                        frame_header(0x00, 190),
                    deflating(1000)) == "error 1009; ");
}

TEST_CASE("a reader inflates a compression bomb only up to the limit") {
    const std::string bomb =
        frame(0xC1, deflated(std::string(200 << 20, ' ')));
    const size_t before = heap_in_use();
    EventRecorder recorder(deflating());
    recorder.read(bomb);
    CHECK(recorder.events() == "error 1009; ");
    CHECK(heap_in_use() < before + (3 << 20));
}

// Otherwise one client could have the daemon inflate for long, and no other
// would be served meanwhile.
TEST_CASE("a reader inflates some of a large message in each call") {
    // What a piece may stand for; DEFLATE compresses to a 1032nd at best.
    constexpr uint64_t kPiece = MessageReader::kInflatedPiece * 1032;
    const std::string text(kMiB, 'x');
    std::string input = frame(0xC1, deflated(text));
    REQUIRE(input.size() < 1100);
    const ReaderConfig rules;
    MessageReader reader(rules);
    reader.allow_compression();
    Bytes bytes{input.data(), input.size()};
    uint64_t sum = 0;
    Event event = reader.next(bytes);
    for (int calls = 1; event.kind == Event::Kind::Inflating; ++calls) {
        REQUIRE(calls < 20);
        CHECK(bytes.size > 0);
        CHECK(event.size >= MessageReader::kInflatedAtOnce);
        CHECK(event.size <= MessageReader::kInflatedAtOnce + kPiece);
        sum += event.size;
        CHECK(reader.partial_size() >= sum + Inflater::kMemory);
        CHECK(reader.partial_size() <= 2 * sum + Inflater::kMemory);
        event = reader.next(bytes);
    }
    CHECK((event.kind == Event::Kind::Text));
    CHECK((event.payload == text));
    CHECK(sum <= text.size());
    // The last call inflates no more than the others.
    CHECK(text.size() - sum <= MessageReader::kInflatedAtOnce + kPiece);
    CHECK(bytes.size == 0);
}

// What the earlier fragments stood for was not counted: one call inflated the
// whole message.
TEST_CASE("fragments of a large message are inflated in several calls, too") {
    const std::string text(kMiB, 'x');
    const std::string message = deflated(text);
    // Each is smaller than a piece.
    std::string input = frame(0x41, message.substr(0, 100));
    for (size_t i = 100; i < message.size(); i += 100)
        input += next_fragment(message.substr(i, 100));
    input += last_fragment("");
    const ReaderConfig rules;
    MessageReader reader(rules);
    reader.allow_compression();
    Bytes bytes{input.data(), input.size()};
    uint64_t sum = 0;
    int calls = 1;
    Event event = reader.next(bytes);
    for (; event.kind == Event::Kind::Inflating; ++calls) {
        sum += event.size;
        event = reader.next(bytes);
    }
    CHECK((event.payload == text));
    CHECK(calls >= 5);
    CHECK(sum <= text.size());
}

TEST_CASE("a message that is inflated in parts arrives however it is cut") {
    const std::string text(kMiB, 'x');
    const std::string message = deflated(text);
    const size_t half = message.size() / 2;
    const std::string streams[] = {
        frame(0xC1, message) + ping_frame("p"),
        frame(0x41, message.substr(0, half)) +
            last_fragment(message.substr(half)) + ping_frame("p"),
    };
    for (std::string stream : streams)
        for (size_t size : {size_t{1}, size_t{100}, size_t{129}, size_t{500},
                            stream.size()}) {
            CAPTURE(size);
            CHECK(events_in_pieces(stream, size, size, deflating()) ==
                  "text 1048576 times x; ping p; ");
            CHECK(inflated_in_parts(stream, size) <= text.size());
        }
}

TEST_CASE("a message that hardly compresses is inflated in parts, too") {
    std::string text;
    for (uint32_t i = 0; text.size() < 500'000; ++i)
        text += static_cast<char>(' ' + (i * 2654435761u >> 24) % 90);
    const std::string stream = frame(0xC1, deflated(text));
    CHECK(events_of(stream, deflating()) == "text " + text + "; ");
    const uint64_t sum = inflated_in_parts(stream, stream.size());
    CHECK(sum <= text.size());
    CHECK(sum >= text.size() - 2 * MessageReader::kInflatedAtOnce);
}

TEST_CASE("no memory is held for a deflated message that was read") {
    const ReaderConfig rules;
    MessageReader reader(rules);
    reader.allow_compression();
    std::string message = frame(0xC1, deflated(std::string(50'000, 'x')));
    const size_t before = heap_in_use();
    feed(reader, message, 0, message.size() - 1);
    CHECK(heap_in_use() > before);
    feed(reader, message, message.size() - 1, message.size());
    CHECK(heap_in_use() == before);
}

// Raw JSON

TEST_CASE("raw objects are read however they are cut") {
    const std::string objects[] = {
        "{}",
        R"({"type":"message","message":"hi"})",
        R"({"a":{"b":[{},{"c":{}}]},"d":1})",
        R"({"braces":"}}}{{{","quote":"\"}","backslash":"\\"})",
        R"({"\\\"}":"\\\\"})",
        R"({"text":"café 😀"})",
        "{ not JSON, but whole }",
        "{\n\t\"spread\": {\r\n} }",
        "{\"any\":\"\xFF\xC0\"}",
    };
    for (const std::string& object : objects) {
        CAPTURE(object);
        check_events(object, "raw " + object + "; ");
        check_events(object + object,
                     "raw " + object + "; raw " + object + "; ");
    }
}

TEST_CASE("white space may follow a raw object") {
    check_events("{} \t\r\n{\"a\":1}\n{}\r\n\r\n",
                 "raw {}; raw {\"a\":1}; raw {}; ");
}

TEST_CASE("frames and raw objects come in any order") {
    check_events(text_frame("a") + "{}" + text_frame("b"),
                 "text a; raw {}; text b; ");
    check_events(
        "{\"a\":1}\r\n" + binary_frame("b") + "{}{}\n" + ping_frame("p") + "{}",
        "raw {\"a\":1}; binary b; raw {}; raw {}; ping p; raw {}; ");
    check_events("{} " + first_fragment("a") + ping_frame() +
                     last_fragment("b") + "{} " + close_frame(1000),
                 "raw {}; ping ; text ab; raw {}; close 1000 " +
                     big_endian(1000, 2) + "; ");
    check_events(text_frame("{") + "{}" + text_frame("}"),
                 "text {; raw {}; text }; ");
}

TEST_CASE("white space in the header of a frame is part of the header") {
    check_events("{}\n" + frame(0x81, "a", " \t\r\n") + "{} " +
                     frame(0x82, std::string(0x0A20, 'b'), "\n\n  "),
                 "raw {}; text a; raw {}; binary 2592 times b; ");
}

TEST_CASE("white space without a raw object in front of it is refused") {
    for (std::string space : {" ", "\t", "\r", "\n"}) {
        CAPTURE(space);
        const std::string byte_behind = space + "\x80";
        check_events(byte_behind, "error 1002; ");
        check_events(byte_behind + "{}", "error 1002; ");
        check_events("{}" + text_frame("a") + byte_behind,
                     "raw {}; text a; error 1002; ");
    }
}

TEST_CASE("any other byte after a raw object is read as a frame") {
    for (std::string bad : {"x", "}", "[", "\"", "\v", "\xEF\xBB\xBF"}) {
        CAPTURE(bad);
        check_events("{}" + bad + "\x80", "raw {}; error 1002; ");
        check_events("{} " + bad + "\x80", "raw {}; error 1002; ");
    }
}

TEST_CASE("a brace inside a fragmented message is no raw object") {
    check_events(first_fragment("a") + "{}", "error 1002; ");
    check_events(first_fragment("a") + ping_frame() + "{}",
                 "ping ; error 1002; ");
    check_events(first_fragment("") + next_fragment("") + "{}", "error 1002; ");
    CHECK(bytes_until_over(first_fragment("a") + "{}") ==
          first_fragment("a").size() + 1);
}

TEST_CASE("a raw object is refused where raw JSON is not allowed") {
    check_events("{}", "error 1002; ", without_raw_json());
    check_events(text_frame("a") + "{}", "text a; error 1002; ",
                 without_raw_json());
    check_events(frame(0x81, "{}", "{{{{"), "text {}; ", without_raw_json());
}

TEST_CASE("a raw object may be as long as the limit") {
    const std::string object = "{\"a\":\"" + std::string(92, 'x') + "\"}";
    REQUIRE(object.size() == 100);
    check_events(object + text_frame("b"), "raw " + object + "; text b; ",
                 at_most(100));
    check_events(object + "\n" + object,
                 "raw " + object + "; raw " + object + "; ", at_most(100));
    check_events(object, "error 1009; ", at_most(99));
    CHECK(bytes_until_over(object, at_most(99)) == 100);
    check_events("{" + std::string(1000, ' '), "error 1009; ", at_most(99));
    CHECK(bytes_until_over("{" + std::string(1000, '{'), at_most(99)) == 100);
}

TEST_CASE("a reader knows whether it is inside a raw object") {
    EventRecorder recorder;
    CHECK_FALSE(recorder.inside_raw());
    CHECK(recorder.read("{\"a\":{").inside_raw());
    CHECK(recorder.read("}").inside_raw());
    CHECK_FALSE(recorder.read("}").inside_raw());
    CHECK_FALSE(recorder.read("\n").inside_raw());
    CHECK(recorder.read("{\"}\"").inside_raw());
    CHECK_FALSE(recorder.read("}" + text_frame("x")).inside_raw());
    CHECK_FALSE(recorder.read(first_fragment("{")).inside_raw());
}

TEST_CASE("frames are refused from a client that sends only raw objects") {
    struct {
        std::string stream;
        std::string expected;
    } const rows[] = {
        {"{}", "raw {}; "},
        {"{}\n{\"a\":{}}\r\n", "raw {}; raw {\"a\":{}}; "},
        {"{}" + text_frame("a"), "raw {}; error 1002; "},
        {"{}\n" + ping_frame(), "raw {}; error 1002; "},
        {"{}\n" + close_frame(1000), "raw {}; error 1002; "},
        {"{}x", "raw {}; error 1002; "},
        {"{}]{}", "raw {}; error 1002; "},
        {text_frame("a"), "error 1002; "},
    };
    for (const auto& row : rows)
        for (size_t size : {row.stream.size(), size_t{1}}) {
            CAPTURE(row.expected);
            EventRecorder recorder;
            recorder.accept_raw_only();
            for (size_t i = 0; i < row.stream.size(); i += size)
                recorder.read(row.stream.substr(i, size));
            CHECK(recorder.events() == row.expected);
        }
}

// Incomplete messages

TEST_CASE("a reader knows whether it is inside a message, and its size") {
    constexpr uint64_t kSize = 1000;
    const std::string half(kSize, 'x');
    std::string noise;  // does not compress
    for (uint32_t i = 0; i < kSize; ++i)
        noise += static_cast<char>(' ' + (i * 2654435761u >> 24) % 90);
    const std::string compressed = frame(0x42, deflated(noise));
    struct {
        std::string stream;
        bool is_inside;
        uint64_t least;  // that its memory takes
        uint64_t most;
    } const rows[] = {
        // Between messages.
        {"", false, 0, 0},
        {text_frame(half), false, 0, 0},
        {first_fragment(half) + last_fragment("x"), false, 0, 0},
        {frame(0xC1, deflated(half)), false, 0, 0},
        {"{}", false, 0, 0},
        {"{\"a\":1} \r\n", false, 0, 0},
        {ping_frame("p"), false, 0, 0},
        // In a header, of which there are 14 bytes at most.
        {"\x81", true, 0, 0},
        {frame_header(0x82, 70'000).substr(0, 13), true, 0, 0},
        {"{}\x81", true, 0, 0},
        // In the payload of a frame.
        {frame_header(0x81, kSize), true, 0, 0},
        {frame_header(0x81, 2 * kSize), true, 0, 0},
        {frame_header(0x82, 2 * kSize) + half, true, kSize, 2 * kSize},
        {frame_header(0x89, 5) + "p", true, 0, 0},
        // Between fragments.
        {first_fragment(""), true, 0, 0},
        {first_fragment(half), true, kSize, 2 * kSize},
        {first_fragment(half) + ping_frame("p"), true, kSize, 2 * kSize},
        {first_fragment(half) + next_fragment(half), true, 2 * kSize,
         4 * kSize},
        // In a compressed message: what is inflated, and the inflater.
        {frame_header(0xC1, 5), true, Inflater::kMemory,
         Inflater::kMemory + 64},
        {compressed, true, Inflater::kMemory + kSize / 2,
         Inflater::kMemory + 2 * kSize},
        // In a raw object.
        {"{", true, 0, 64},
        {"{\"" + half, true, kSize, 2 * kSize + 64},
    };
    for (const auto& row : rows) {
        CAPTURE(row.stream);
        const ReaderConfig rules;
        MessageReader reader(rules);
        reader.allow_compression();
        std::string stream = row.stream;
        feed(reader, stream, 0, stream.size());
        CHECK(reader.inside_message() == row.is_inside);
        CHECK(reader.partial_size() >= row.least);
        CHECK(reader.partial_size() <= row.most);
        reader.release_memory();
        CHECK(reader.partial_size() == 0);
    }
}

TEST_CASE("a reader is outside a message again when it has ended") {
    const ReaderConfig rules;
    MessageReader reader(rules);
    reader.allow_compression();
    const std::string streams[] = {
        text_frame("x"), ping_frame("p"), "{\"a\":{}}",
        first_fragment("") + ping_frame("") + last_fragment(""),
        frame(0x41, deflated("one")) + last_fragment(""),
        frame(0xC1, deflated(std::string(100'000, 'x'))),
    };
    for (int round = 0; round < 2; ++round)
        for (std::string stream : streams)
            for (size_t i = 0; i < stream.size(); ++i) {
                CHECK(reader.inside_message() == (i > 0));
                feed(reader, stream, i, i + 1);
            }
    CHECK_FALSE(reader.inside_message());
    CHECK(reader.partial_size() == 0);
}

// Memory

TEST_CASE("a reader holds no memory between messages") {
    const std::string payload(100'000, 'x');
    const std::string streams[] = {
        text_frame(payload),
        binary_frame(payload),
        first_fragment(payload) + last_fragment(payload),
        first_fragment("a") + ping_frame(std::string(125, 'p')) +
            last_fragment(payload),
        "{\"" + payload + "\"}",
        ping_frame(std::string(125, 'p')),
        first_fragment(std::string(100, 'x')) + next_fragment("") +
            last_fragment(""),
        frame_header(0x81, 65536),
    };
    const ReaderConfig rules;
    for (const std::string& stream : streams)
        for (size_t piece : {stream.size(), stream.size() / 2, size_t{1}}) {
            CAPTURE(stream.size());
            CAPTURE(piece);
            std::string copy = stream;
            MessageReader reader(rules);
            const size_t before = heap_in_use();
            for (size_t i = 0; i < copy.size(); i += piece)
                feed(reader, copy, i, std::min(i + piece, copy.size()));
            const size_t after = heap_in_use();
            CHECK(after == before);
        }
}

TEST_CASE("an incomplete message takes memory for what has arrived") {
    const ReaderConfig rules;
    const size_t half = 50'000;
    for (std::string stream :
         {text_frame(std::string(2 * half, 'x')),
          first_fragment(std::string(half, 'x')) + frame_header(0x80, kMiB / 2),
          "{\"" + std::string(2 * half, 'x') + "\"}"}) {
        MessageReader reader(rules);
        const size_t before = heap_in_use();
        feed(reader, stream, 0, half);
        const size_t held = heap_in_use() - before;
        CHECK(held >= half - 20);
        CHECK(held <= 2 * half + 100);
    }
}

TEST_CASE("no memory is taken for a length that is only announced") {
    ReaderConfig rules = at_most(uint64_t{1} << 40);
    MessageReader reader(rules);
    std::string stream = frame_header(0x81, uint64_t{1} << 40) + "x";
    const size_t before = heap_in_use();
    feed(reader, stream, 0, stream.size());
    const size_t held = heap_in_use() - before;
    CHECK(held < 100);
}

TEST_CASE("a reader releases its memory on request") {
    const ReaderConfig rules;
    for (std::string stream :
         {first_fragment(std::string(5000, 'x')),
          frame_header(0x82, 9000) + std::string(5000, '\0'),
          frame_header(0x89, 125) + std::string(100, '\0'),
          "{\"" + std::string(5000, 'x')}) {
        MessageReader reader(rules);
        const size_t before = heap_in_use();
        feed(reader, stream, 0, stream.size());
        const size_t held = heap_in_use() - before;
        reader.release_memory();
        const size_t after = heap_in_use();
        CHECK(held >= 100);
        CHECK(after == before);
        CHECK_FALSE(reader.inside_raw());
    }
}
