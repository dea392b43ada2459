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

/// What a peer may send; deflated messages too, if that was agreed on.
struct PeerRules : ReaderConfig {
    PeerRules(const ReaderConfig& rules = {}) : ReaderConfig(rules) {}
    bool deflates = false;
};

PeerRules deflating(uint64_t max_message = kMiB) {
    PeerRules rules(at_most(max_message));
    rules.deflates = true;
    return rules;
}

/// Bytes as the tests show them: a long run of one byte as its number.
std::string shown(std::string_view bytes) {
    const bool run =
        bytes.size() > 128 && bytes.find_first_not_of(bytes[0]) == bytes.npos;
    if (!run) return std::string(bytes);
    return std::to_string(bytes.size()) + " times " + bytes[0];
}

std::string told(const Event& event) {
    const std::string payload = shown(event.payload);
    switch (event.kind) {
        case Event::Kind::NeedMore:
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

/// A reader, and what it came upon: "text Hello; ping ; error 1002; ".
class Listener {
public:
    explicit Listener(const PeerRules& rules = {}) : rules_(rules) {
        if (rules.deflates) reader_.allow_compression();
    }

    /// Takes the bytes in one piece: a copy of exactly their size, so that a
    /// sanitizer sees any look behind its end.
    Listener& hear(std::string_view bytes) {
        std::vector<char> copy(bytes.begin(), bytes.end());
        Bytes input{copy.data(), copy.size()};
        while (!over_) {
            const Event event = reader_.next(input);
            if (event.kind == Event::Kind::NeedMore) break;
            note(event);
        }
        if (!over_ && input.size > 0) FAIL_CHECK("bytes were left");
        return *this;
    }

    void refuse_frames() {
        CHECK(reader_.takes_frames());
        reader_.refuse_frames();
        CHECK_FALSE(reader_.takes_frames());
    }
    bool inside_raw() const { return reader_.inside_raw(); }

    /// After an error or a close frame nothing is heard any more.
    bool over() const { return over_; }
    const std::string& heard() const { return heard_; }

private:
    void note(const Event& event) {
        heard_ += told(event) + "; ";
        over_ = event.kind == Event::Kind::Close ||
                event.kind == Event::Kind::Error;
        if (event.kind == Event::Kind::Error) {
            CHECK(std::strlen(event.reason) > 0);
            CHECK(std::strlen(event.reason) <= 123);
        }
    }

    ReaderConfig rules_;
    MessageReader reader_{rules_};
    std::string heard_;
    bool over_ = false;
};

std::string heard(std::string_view bytes, const PeerRules& rules = {}) {
    return Listener(rules).hear(bytes).heard();
}

/// In pieces of this size after a first one of another.
std::string heard_in_pieces(std::string_view bytes, size_t first, size_t size,
                            const PeerRules& rules) {
    Listener listener(rules);
    for (size_t n = first; !bytes.empty(); n = size) {
        listener.hear(bytes.substr(0, n));
        bytes.remove_prefix(std::min(n, bytes.size()));
    }
    return listener.heard();
}

/// At once, byte by byte, and in two pieces (the cut at every place, or at
/// some hundreds if there are more).
void check_heard(const std::string& bytes, const std::string& expected,
                 const PeerRules& rules = {}) {
    CHECK(heard(bytes, rules) == expected);
    CHECK(heard_in_pieces(bytes, 1, 1, rules) == expected);
    CHECK(heard_in_pieces(bytes, 7, 3, rules) == expected);
    int wrong = 0;
    for (size_t cut = 1; cut < bytes.size(); cut += 1 + bytes.size() / 700)
        if (heard_in_pieces(bytes, cut, bytes.size(), rules) != expected)
            ++wrong;
    CHECK(wrong == 0);
}

/// How many bytes it takes until the reader has had enough.
size_t bytes_until_over(std::string_view bytes, const PeerRules& rules = {}) {
    Listener listener(rules);
    size_t n = 0;
    while (n < bytes.size() && !listener.over())
        listener.hear(bytes.substr(n++, 1));
    return n;
}

std::string repeated(const std::string& part, size_t times) {
    std::string whole;
    whole.reserve(part.size() * times);
    for (size_t i = 0; i < times; ++i) whole += part;
    return whole;
}

/// Reads bytes where they lie, and keeps nothing of what is found.
void feed(MessageReader& reader, std::string& bytes, size_t begin, size_t end) {
    Bytes input{bytes.data() + begin, end - begin};
    while (reader.next(input).kind != Event::Kind::NeedMore) {
    }
}

}  // namespace

// Messages

TEST_CASE("the masked frames of RFC 6455, section 5.7, are read") {
    const std::string hello = bytes(
        {0x81, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58});
    check_heard(hello, "text Hello; ");
    const std::string pong_response = bytes(
        {0x8A, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58});
    check_heard(pong_response, "pong Hello; ");
}

TEST_CASE("whole messages of every length form are read however they are cut") {
    for (size_t size : {0u, 1u, 2u, 15u, 16u, 125u, 126u, 127u, 255u, 256u,
                        65535u, 65536u, 70001u}) {
        CAPTURE(size);
        const std::string payload(size, 'x');
        check_heard(text_frame(payload), "text " + shown(payload) + "; ");
        check_heard(binary_frame(payload), "binary " + shown(payload) + "; ");
    }
}

TEST_CASE("many messages in one piece are read in their order") {
    std::string stream;
    std::string expected;
    for (int i = 0; i < 500; ++i) {
        stream += text_frame(std::to_string(i));
        expected += "text " + std::to_string(i) + "; ";
    }
    CHECK(heard(stream) == expected);
    CHECK(heard_in_pieces(stream, 1, 1, {}) == expected);
    CHECK(heard_in_pieces(stream, 100, 13, {}) == expected);
}

TEST_CASE("each frame has a masking key of its own") {
    check_heard(frame(0x81, "plain", std::string_view("\0\0\0\0", 4)) +
                    frame(0x01, "one", "{{{{") + frame(0x80, "two", "\x01}{ "),
                "text plain; text onetwo; ");
}

TEST_CASE("fragments make one message") {
    check_heard(first_fragment("Hel") + last_fragment("lo"), "text Hello; ");
    check_heard(first_fragment("a") + next_fragment("b") + next_fragment("c") +
                    last_fragment("d"),
                "text abcd; ");
    check_heard(frame(0x02, "\x80") + last_fragment("\x81"),
                "binary \x80\x81; ");
    check_heard(first_fragment("a") + last_fragment("b") + text_frame("c") +
                    first_fragment("d") + last_fragment("e"),
                "text ab; text c; text de; ");
}

TEST_CASE("fragments may be empty, the first and the last one too") {
    check_heard(first_fragment("") + last_fragment(""), "text ; ");
    check_heard(first_fragment("") + next_fragment("") + last_fragment("x"),
                "text x; ");
    check_heard(first_fragment("x") + next_fragment("") + last_fragment(""),
                "text x; ");
    check_heard(frame(0x02, "") + last_fragment(""), "binary ; ");
}

TEST_CASE("control frames come between fragments") {
    check_heard(first_fragment("Hel") + ping_frame("now") + last_fragment("lo"),
                "ping now; text Hello; ");
    check_heard(first_fragment("a") + ping_frame("1") + next_fragment("b") +
                    pong_frame("2") + ping_frame("") + last_fragment("c") +
                    ping_frame("3"),
                "ping 1; pong 2; ping ; text abc; ping 3; ");
    check_heard(first_fragment("never whole") + close_frame(1000),
                "close 1000 " + big_endian(1000, 2) + "; ");
}

TEST_CASE("a fragment of a message that is not there is refused") {
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
        check_heard(row.stream, row.expected);
    }
}

TEST_CASE("a message inside a message is refused") {
    check_heard(first_fragment("a") + text_frame("b"), "error 1002; ");
    check_heard(first_fragment("a") + binary_frame("b"), "error 1002; ");
    check_heard(first_fragment("a") + first_fragment("b"), "error 1002; ");
    check_heard(frame(0x02, "a") + frame(0x02, "b"), "error 1002; ");
    check_heard(first_fragment("") + ping_frame() + text_frame(""),
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
        check_heard(header, "error 1002; ");
        check_heard(text_frame("a") + header, "text a; error 1002; ");
        check_heard(first_fragment("a") + header, "error 1002; ");
    }
}

// UTF-8

TEST_CASE("a text's characters may be cut anywhere") {
    const std::string word = "κόσμε € 😀";
    check_heard(text_frame(word), "text " + word + "; ");
    for (size_t cut = 0; cut <= word.size(); ++cut) {
        CAPTURE(cut);
        check_heard(first_fragment(word.substr(0, cut)) + ping_frame() +
                        last_fragment(word.substr(cut)),
                    "ping ; text " + word + "; ");
    }
    std::string fragments = first_fragment("");
    for (char c : word)
        fragments += next_fragment(std::string(1, c)) + pong_frame();
    fragments += last_fragment("");
    check_heard(fragments,
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
        check_heard(whole, "error 1007; ");
        const size_t header_size = 8;
        CHECK(bytes_until_over(whole) == header_size + row.good.size() + 1);

        const std::string fragments =
            first_fragment(row.good) + ping_frame() + next_fragment("") +
            next_fragment(row.bad) + last_fragment("x");
        check_heard(fragments, "ping ; error 1007; ");
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
            check_heard(text_frame(cut), "error 1007; ");
            check_heard(first_fragment(cut) + last_fragment(""),
                        "error 1007; ");
            check_heard(first_fragment("ab") + last_fragment(cut.substr(2)),
                        "error 1007; ");
        }
}

TEST_CASE("binary messages may have any bytes") {
    const std::string any = "\xFF\xFE\x80\xC0 \xED\xA0\x80 {";
    check_heard(binary_frame(any), "binary " + any + "; ");
    check_heard(
        frame(0x02, "\xE2") + ping_frame("\xFF") + last_fragment("\xFF"),
        "ping \xFF; binary \xE2\xFF; ");
    check_heard(binary_frame("\xE2\x82") + text_frame("\xE2\x82\xAC"),
                "binary \xE2\x82; text \xE2\x82\xAC; ");
}

// Limits

TEST_CASE("a message as long as the limit is read, one byte more refused") {
    for (uint64_t limit : {1u, 5u, 125u, 126u, 300u, 65535u, 65536u}) {
        CAPTURE(limit);
        const std::string payload(limit, 'x');
        check_heard(text_frame(payload), "text " + shown(payload) + "; ",
                    at_most(limit));
        check_heard(text_frame(payload + "x"), "error 1009; ", at_most(limit));
        check_heard(binary_frame(payload + "x"), "error 1009; ",
                    at_most(limit));
    }
    CHECK(heard(text_frame(std::string(kMiB, 'x'))) ==
          "text 1048576 times x; ");
    CHECK(heard(text_frame(std::string(kMiB + 1, 'x'))) == "error 1009; ");
}

TEST_CASE("a length over the limit is refused by the header alone") {
    check_heard(frame_header(0x81, kMiB), "");
    check_heard(frame_header(0x81, kMiB + 1), "error 1009; ");
    check_heard(frame_header(0x82, uint64_t{1} << 32), "error 1009; ");
    check_heard(frame_header(0x82, (uint64_t{1} << 63) - 1), "error 1009; ");
    check_heard(frame_header(0x02, (uint64_t{1} << 63) - 1), "error 1009; ");
    // The top bit is no matter of limits.
    check_heard(frame_header(0x82, uint64_t{1} << 63), "error 1002; ");
    check_heard(frame_header(0x82, ~uint64_t{0}), "error 1002; ");
}

TEST_CASE("the limit is one for all fragments of a message") {
    const ReaderConfig rules = at_most(10);
    const std::string six = first_fragment("123456");
    check_heard(six + last_fragment("7890"), "text 1234567890; ", rules);
    check_heard(
        six + next_fragment("78") + next_fragment("90") + last_fragment(""),
        "text 1234567890; ", rules);
    check_heard(six + frame_header(0x80, 5), "error 1009; ", rules);
    check_heard(six + next_fragment("7890") + frame_header(0x00, 1),
                "error 1009; ", rules);
    check_heard(six + frame_header(0x80, (uint64_t{1} << 63) - 1),
                "error 1009; ", rules);
    check_heard(six + frame_header(0x80, (uint64_t{1} << 63) - 6),
                "error 1009; ", rules);
    // What went before is none of its business.
    check_heard(six + last_fragment("7890") + six + last_fragment("7890"),
                "text 1234567890; text 1234567890; ", rules);
}

TEST_CASE("control frames are no part of a message's length") {
    const std::string payload(125, 'p');
    check_heard(first_fragment("a") + ping_frame(payload) +
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
    CHECK(heard(stream, at_most(4 * kMiB)) == "text 4194304 times x; ");
    CHECK(heard(stream, at_most(4 * kMiB - 1)) == "error 1009; ");
}

TEST_CASE("empty fragments do not go on for ever") {
    const size_t most = MessageReader::kMaxEmptyFragments;
    const std::string most_of_them =
        first_fragment("") + repeated(next_fragment(""), most - 1);
    CHECK(heard(most_of_them + last_fragment("x")) == "text x; ");
    CHECK(heard(most_of_them + ping_frame() + next_fragment("x") +
                last_fragment("y")) == "ping ; text xy; ");
    CHECK(heard(most_of_them + next_fragment("")) == "error 1008; ");
    CHECK(heard(first_fragment("a") +
                repeated(next_fragment("") + next_fragment("b"), most) +
                next_fragment("")) == "error 1008; ");
    CHECK(bytes_until_over(most_of_them + repeated(next_fragment(""), 3)) ==
          (most_of_them + next_fragment("")).size());
}

TEST_CASE("an empty last fragment is one more") {
    const size_t most = MessageReader::kMaxEmptyFragments;
    CHECK(heard(first_fragment("") + repeated(next_fragment(""), most - 2) +
                last_fragment("")) == "text ; ");
    CHECK(heard(first_fragment("") + repeated(next_fragment(""), most - 1) +
                last_fragment("")) == "error 1008; ");
}

TEST_CASE("each message may have its own empty fragments, and be empty") {
    const size_t most = MessageReader::kMaxEmptyFragments;
    const std::string message = first_fragment("") +
                                repeated(next_fragment(""), most - 1) +
                                last_fragment("x");
    CHECK(heard(repeated(message, 3)) == repeated("text x; ", 3));
    CHECK(heard(repeated(text_frame(""), 2 * most)) ==
          repeated("text ; ", 2 * most));
    CHECK(heard(first_fragment("a") + repeated(ping_frame(), 2 * most) +
                last_fragment("b")) ==
          repeated("ping ; ", 2 * most) + "text ab; ");
}

// Control frames

TEST_CASE("pings and pongs of every length are read") {
    for (size_t size = 0; size <= 125; ++size) {
        CAPTURE(size);
        const std::string payload(size, '\xFF');
        check_heard(ping_frame(payload) + pong_frame(payload),
                    "ping " + payload + "; pong " + payload + "; ");
    }
    check_heard(ping_frame(std::string(126, 'x')), "error 1002; ");
    check_heard(pong_frame(std::string(126, 'x')), "error 1002; ");
}

TEST_CASE("a close frame may be empty") {
    check_heard(frame(0x88, ""), "close 1005 ; ");
}

TEST_CASE("close frames give a code and a reason") {
    const std::string longest(123, 'r');
    for (std::string reason :
         {std::string(), std::string("bye"), std::string("κόσμε"), longest}) {
        CAPTURE(reason);
        check_heard(close_frame(1000, reason),
                    "close 1000 " + big_endian(1000, 2) + reason + "; ");
    }
    check_heard(close_frame(1000, longest + "r"), "error 1002; ");
}

TEST_CASE("a close frame payload of 1 byte is refused") {
    check_heard(frame(0x88, "\x03"), "error 1002; ");
}

TEST_CASE("codes that a peer may send are taken, all others refused") {
    int wrong = 0;
    for (uint64_t code = 0; code <= 0xFFFF; ++code) {
        const bool legal = (code >= 1000 && code <= 1003) ||
                           (code >= 1007 && code <= 1014) ||
                           (code >= 3000 && code <= 4999);
        const std::string expected = legal
                                         ? "close " + std::to_string(code) +
                                               " " + big_endian(code, 2) + "; "
                                         : "error 1002; ";
        if (heard(close_frame(static_cast<int>(code))) != expected) ++wrong;
    }
    CHECK(wrong == 0);
}

TEST_CASE("a close frame is checked however it is cut") {
    for (int code :
         {0, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65535}) {
        CAPTURE(code);
        check_heard(close_frame(code), "error 1002; ");
        check_heard(close_frame(code, "why"), "error 1002; ");
    }
    for (int code : {1000, 1001, 1003, 1007, 1011, 1014, 3000, 4999}) {
        CAPTURE(code);
        const std::string body = big_endian(static_cast<uint64_t>(code), 2);
        check_heard(close_frame(code, "why"),
                    "close " + std::to_string(code) + " " + body + "why; ");
    }
}

TEST_CASE("a close frame's reason must be UTF-8, and whole") {
    for (std::string reason :
         {"\xFF", "ok\x80", "\xED\xA0\x80", "\xE2\x82", "ok\xF0\x9F\x98"}) {
        CAPTURE(reason);
        check_heard(close_frame(1000, reason), "error 1007; ");
    }
    // Between the fragments of a text it has nothing to do with it.
    check_heard(first_fragment("\xE2\x82") + close_frame(1000, "\xAC"),
                "error 1007; ");
}

// Deflated messages

TEST_CASE("deflated messages are read however they are cut") {
    const std::string word = "κόσμε € 😀";
    check_heard(frame(0xC1, deflated("Hello")), "text Hello; ", deflating());
    check_heard(frame(0xC1, deflated(word)) + frame(0xC2, deflated("\xFF")) +
                    text_frame("as it is") + frame(0xC1, deflated("")),
                "text " + word + "; binary \xFF; text as it is; text ; ",
                deflating());
    check_heard(frame(0xC1, deflated(std::string(100'000, 'x'))),
                "text 100000 times x; ", deflating());
}

TEST_CASE("the examples of RFC 7692, section 7.2.3, are read") {
    check_heard(frame(0xC1, bytes({0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00})),
                "text Hello; ", deflating());
    check_heard(frame(0x41, bytes({0xF2, 0x48, 0xCD})) +
                    last_fragment(bytes({0xC9, 0xC9, 0x07, 0x00})),
                "text Hello; ", deflating());
}

TEST_CASE("deflated messages may be in fragments, with pings between") {
    const std::string message = deflated("fragments of one message");
    for (size_t cut = 0; cut <= message.size(); ++cut)
        CHECK(heard(frame(0x41, message.substr(0, cut)) + ping_frame("p") +
                        next_fragment("") + last_fragment(message.substr(cut)),
                    deflating()) ==
              "ping p; text fragments of one message; ");
}

TEST_CASE("RSV1 stands where a message begins, and only if that was agreed on") {
    const std::string fragment = frame(0x41, deflated("a"));
    check_heard(frame(0xC1, deflated("a")), "error 1002; ");
    check_heard(fragment + frame(0xC0, ""), "error 1002; ", deflating());
    check_heard(frame(0x01, "a") + frame(0xC0, ""), "error 1002; ",
                deflating());
    check_heard(frame(0xC8, ""), "error 1002; ", deflating());
    check_heard(frame(0xC9, ""), "error 1002; ", deflating());
    check_heard(frame(0xCA, ""), "error 1002; ", deflating());
    for (int first : {0xA1, 0x91, 0xE1, 0xD1, 0xF1})
        check_heard(frame(first, deflated("a")), "error 1002; ", deflating());
}

TEST_CASE("what is no deflated data fails with 1007 as soon as it is there") {
    const std::string corrupt = bytes({0x06, 0x00, 0x00});
    check_heard(frame(0xC1, corrupt), "error 1007; ", deflating());
    check_heard(frame(0x42, corrupt), "error 1007; ", deflating());
    CHECK(bytes_until_over(frame(0xC1, corrupt), deflating()) == 7);
}

TEST_CASE("deflated text must be UTF-8, and whole") {
    check_heard(frame(0xC1, deflated("a\xFF")), "error 1007; ", deflating());
    check_heard(frame(0xC1, deflated("\xE2\x82")), "error 1007; ",
                deflating());
    check_heard(frame(0x41, deflated("\xFF", 15, Z_SYNC_FLUSH)),
                "error 1007; ", deflating());
}

TEST_CASE("the limit is that of the inflated message") {
    const std::string exact(1000, 'x');
    check_heard(frame(0xC1, deflated(exact)), "text 1000 times x; ",
                deflating(1000));
    check_heard(frame(0xC1, deflated(exact + "x")), "error 1009; ",
                deflating(1000));
    check_heard(frame(0xC1, deflated(exact)) + frame(0xC1, deflated(exact)),
                "text 1000 times x; text 1000 times x; ", deflating(1000));
    const std::string tail = bytes({0, 0, 0xFF, 0xFF});
    check_heard(frame(0x41, deflated(exact) + tail) +
                    last_fragment(deflated(exact)),
                "error 1009; ", deflating(1999));
    check_heard(frame(0x41, deflated(exact) + tail) +
                    last_fragment(deflated(exact)),
                "text 2000 times x; ", deflating(2000));
}

TEST_CASE("a deflated message is refused by its header if it can't fit") {
    // 9 bits for each byte is the worst that an honest one needs.
    CHECK(heard(frame_header(0xC1, 1000 + 125 + 64), deflating(1000)).empty());
    CHECK(heard(frame_header(0xC1, 1000 + 125 + 65), deflating(1000)) ==
          "error 1009; ");
    const std::string stored = bytes({0, 0, 0, 0xFF, 0xFF});  // of no bytes
    CHECK(heard(frame(0x41, repeated(stored, 200)) +
                    frame_header(0x00, 190), deflating(1000)) == "error 1009; ");
}

TEST_CASE("a bomb costs no more than the limit") {
    const std::string bomb =
        frame(0xC1, deflated(std::string(200 << 20, ' ')));
    const size_t before = heap_in_use();
    Listener listener(deflating());
    listener.hear(bomb);
    CHECK(listener.heard() == "error 1009; ");
    CHECK(heap_in_use() < before + (3 << 20));
}

TEST_CASE("nothing is held of a deflated message once it was read") {
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
        check_heard(object, "raw " + object + "; ");
        check_heard(object + object,
                    "raw " + object + "; raw " + object + "; ");
    }
}

TEST_CASE("white space may stand between raw objects and behind them") {
    check_heard("{} \t\r\n{\"a\":1}\n{}\r\n\r\n",
                "raw {}; raw {\"a\":1}; raw {}; ");
}

TEST_CASE("frames and raw objects come in any order") {
    check_heard(text_frame("a") + "{}" + text_frame("b"),
                "text a; raw {}; text b; ");
    check_heard(
        "{\"a\":1}\r\n" + binary_frame("b") + "{}{}\n" + ping_frame("p") + "{}",
        "raw {\"a\":1}; binary b; raw {}; raw {}; ping p; raw {}; ");
    check_heard("{} " + first_fragment("a") + ping_frame() +
                    last_fragment("b") + "{} " + close_frame(1000),
                "raw {}; ping ; text ab; raw {}; close 1000 " +
                    big_endian(1000, 2) + "; ");
    check_heard(text_frame("{") + "{}" + text_frame("}"),
                "text {; raw {}; text }; ");
}

TEST_CASE("white space in a frame's header is a part of it") {
    check_heard("{}\n" + frame(0x81, "a", " \t\r\n") + "{} " +
                    frame(0x82, std::string(0x0A20, 'b'), "\n\n  "),
                "raw {}; text a; raw {}; binary 2592 times b; ");
}

TEST_CASE("white space that follows no raw object is no frame") {
    for (std::string space : {" ", "\t", "\r", "\n"}) {
        CAPTURE(space);
        const std::string byte_behind = space + "\x80";
        check_heard(byte_behind, "error 1002; ");
        check_heard(byte_behind + "{}", "error 1002; ");
        check_heard("{}" + text_frame("a") + byte_behind,
                    "raw {}; text a; error 1002; ");
    }
}

TEST_CASE("anything else behind a raw object is a frame, and judged so") {
    for (std::string bad : {"x", "}", "[", "\"", "\v", "\xEF\xBB\xBF"}) {
        CAPTURE(bad);
        check_heard("{}" + bad + "\x80", "raw {}; error 1002; ");
        check_heard("{} " + bad + "\x80", "raw {}; error 1002; ");
    }
}

TEST_CASE("a brace inside a fragmented message is no raw object") {
    check_heard(first_fragment("a") + "{}", "error 1002; ");
    check_heard(first_fragment("a") + ping_frame() + "{}",
                "ping ; error 1002; ");
    check_heard(first_fragment("") + next_fragment("") + "{}", "error 1002; ");
    CHECK(bytes_until_over(first_fragment("a") + "{}") ==
          first_fragment("a").size() + 1);
}

TEST_CASE("a brace is no frame where raw objects are not taken") {
    check_heard("{}", "error 1002; ", without_raw_json());
    check_heard(text_frame("a") + "{}", "text a; error 1002; ",
                without_raw_json());
    check_heard(frame(0x81, "{}", "{{{{"), "text {}; ", without_raw_json());
}

TEST_CASE("a raw object may be as long as the limit") {
    const std::string object = "{\"a\":\"" + std::string(92, 'x') + "\"}";
    REQUIRE(object.size() == 100);
    check_heard(object + text_frame("b"), "raw " + object + "; text b; ",
                at_most(100));
    check_heard(object + "\n" + object,
                "raw " + object + "; raw " + object + "; ", at_most(100));
    check_heard(object, "error 1009; ", at_most(99));
    CHECK(bytes_until_over(object, at_most(99)) == 100);
    check_heard("{" + std::string(1000, ' '), "error 1009; ", at_most(99));
    CHECK(bytes_until_over("{" + std::string(1000, '{'), at_most(99)) == 100);
}

TEST_CASE("a reader knows whether it is inside a raw object") {
    Listener listener;
    CHECK_FALSE(listener.inside_raw());
    CHECK(listener.hear("{\"a\":{").inside_raw());
    CHECK(listener.hear("}").inside_raw());
    CHECK_FALSE(listener.hear("}").inside_raw());
    CHECK_FALSE(listener.hear("\n").inside_raw());
    CHECK(listener.hear("{\"}\"").inside_raw());
    CHECK_FALSE(listener.hear("}" + text_frame("x")).inside_raw());
    CHECK_FALSE(listener.hear(first_fragment("{")).inside_raw());
}

TEST_CASE("a peer that sends raw objects alone sends no frames") {
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
            Listener listener;
            listener.refuse_frames();
            for (size_t i = 0; i < row.stream.size(); i += size)
                listener.hear(row.stream.substr(i, size));
            CHECK(listener.heard() == row.expected);
        }
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

TEST_CASE("a message in the making takes what has arrived of it") {
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

TEST_CASE("no memory is taken for a length that was only announced") {
    ReaderConfig rules = at_most(uint64_t{1} << 40);
    MessageReader reader(rules);
    std::string stream = frame_header(0x81, uint64_t{1} << 40) + "x";
    const size_t before = heap_in_use();
    feed(reader, stream, 0, stream.size());
    const size_t held = heap_in_use() - before;
    CHECK(held < 100);
}

TEST_CASE("a reader that forgets gives back what it holds") {
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
        reader.forget();
        const size_t after = heap_in_use();
        CHECK(held >= 100);
        CHECK(after == before);
        CHECK_FALSE(reader.inside_raw());
    }
}
