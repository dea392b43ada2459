// Frames, messages and fragments, legal and illegal: RFC 6455, section 5, and
// the limits on messages.
#include <initializer_list>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "daemon.h"
#include "peer.h"

using namespace wschat::test;

namespace {

// A row of a table: the bytes that a client sends, and its close code.
struct ErrorCase {
    const char* name;
    std::string sent;
    int code;
};

// Sends the bytes of each row. Another client must receive none of them: its
// next message is the marker.
void check_closed_with(const Daemon& daemon,
                       const std::vector<ErrorCase>& table) {
    Peer observer = join(daemon);
    for (const ErrorCase& row : table) {
        INFO("sent: " << row.name);
        Peer peer = join(daemon);
        peer.send(row.sent);
        peer.expect_closed(row.code);
        observer.send_message("\"marker\"");
        observer.expect_message("\"marker\"");
    }
}

// Returns a text message in fragments: the pieces, or pieces of `size` bytes.
std::string in_fragments(const std::vector<std::string>& pieces) {
    std::string out;
    for (size_t i = 0; i < pieces.size(); ++i) {
        const int fin = i + 1 == pieces.size() ? kFin : 0;
        out += frame(fin | (i == 0 ? kText : kContinuation), pieces[i]);
    }
    return out;
}

std::string in_fragments(const std::string& message, size_t size) {
    std::vector<std::string> pieces;
    for (size_t at = 0; at < message.size(); at += size)
        pieces.push_back(message.substr(at, size));
    return in_fragments(pieces);
}

std::string with_empty_fragments(int empty) {
    std::string out = first_fragment("[1");
    for (int i = 0; i < empty; ++i) out += next_fragment("");
    return out + last_fragment("]");
}

std::string header_64(int first, uint64_t length) {
    std::string out = bytes({first, 0xFF});
    for (int shift = 56; shift >= 0; shift -= 8)
        out += static_cast<char>(length >> shift & 0xFF);
    return out + "mask";
}

}  // namespace

TEST_CASE("an illegal frame header is closed with 1002") {
    Daemon daemon;
    const std::string rest(600, 'x');
    check_closed_with(
        daemon,
        {{"an unmasked text", bytes({0x81, 0x03}) + "[1]", 1002},
         {"an unmasked empty text", bytes({0x81, 0x00}), 1002},
         {"an unmasked ping", bytes({0x89, 0x00}), 1002},
         {"an unmasked close", bytes({0x88, 0x00}), 1002},
         {"RSV1", frame(0xC1, "[1]"), 1002},
         {"RSV2", frame(0xA1, "[1]"), 1002},
         {"RSV3", frame(0x91, "[1]"), 1002},
         {"all reserved bits", frame(0xF1, "[1]"), 1002},
         {"RSV1 on a ping", frame(0xC9, ""), 1002},
         {"RSV1 on a close", frame(0xC8, ""), 1002},
         {"RSV1 on a continuation", first_fragment("[") + frame(0xC0, "1]"),
          1002},
         {"opcode 3", frame(0x83, "[1]"), 1002},
         {"opcode 4", frame(0x84, "[1]"), 1002},
         {"opcode 5", frame(0x85, "[1]"), 1002},
         {"opcode 6", frame(0x86, "[1]"), 1002},
         {"opcode 7", frame(0x87, "[1]"), 1002},
         {"opcode 11", frame(0x8B, ""), 1002},
         {"opcode 12", frame(0x8C, ""), 1002},
         {"opcode 13", frame(0x8D, ""), 1002},
         {"opcode 14", frame(0x8E, ""), 1002},
         {"opcode 15", frame(0x8F, ""), 1002},
         {"opcode 3 inside a message", first_fragment("[") + frame(0x83, ""),
          1002},
         {"a ping in fragments", frame(0x09, ""), 1002},
         {"a pong in fragments", frame(0x0A, ""), 1002},
         {"a close in fragments", frame(0x08, ""), 1002},
         {"a ping of 126 bytes", frame(0x89, rest.substr(0, 126)), 1002},
         {"a pong of 126 bytes", frame(0x8A, rest.substr(0, 126)), 1002},
         {"a close of 126 bytes",
          frame(0x88, close_payload(1000, rest.substr(0, 124))), 1002},
         {"a ping of 65536 bytes", header_64(0x89, 65536), 1002},
         {"16 bits for 125 bytes", bytes({0x81, 0xFE, 0, 125}) + rest, 1002},
         {"16 bits for no bytes", bytes({0x81, 0xFE, 0, 0}) + rest, 1002},
         {"64 bits for 65535 bytes", header_64(0x81, 65535), 1002},
         {"64 bits for 125 bytes", header_64(0x82, 125), 1002},
         {"64 bits for no bytes", header_64(0x81, 0), 1002},
         {"the top bit of the length", header_64(0x81, 1ULL << 63), 1002},
         {"all bits of the length", header_64(0x81, ~0ULL), 1002}});
}

TEST_CASE("an illegal sequence of frames is closed with 1002") {
    Daemon daemon;
    check_closed_with(
        daemon,
        {{"a continuation without a message", next_fragment("[1]"), 1002},
         {"a last fragment without a message", last_fragment("[1]"), 1002},
         {"an empty last fragment, no message", last_fragment(""), 1002},
         {"a continuation behind a whole message",
          text_frame("null") + last_fragment("[1]"), 1002},
         {"a text inside a text", first_fragment("[1,") + text_frame("[1]"),
          1002},
         {"a binary inside a text", first_fragment("[1,") + binary_frame("[1]"),
          1002},
         {"a text inside a binary", frame(kBinary, "[1,") + text_frame("[1]"),
          1002},
         {"a first fragment inside a text",
          first_fragment("[1,") + next_fragment("2,") + first_fragment("3"),
          1002}});
}

TEST_CASE("an error is answered at the first byte that shows it") {
    Daemon daemon;
    check_closed_with(
        daemon,
        {{"a reserved bit", bytes({0xC1}), 1002},
         {"a reserved opcode", bytes({0x83}), 1002},
         {"a control frame in fragments", bytes({0x09}), 1002},
         {"no mask", bytes({0x81, 0x05}), 1002},
         {"a long control frame", bytes({0x89, 0xFE}), 1002},
         {"a continuation without a message", frame_header(0x80, 5), 1002},
         {"16 bits for a short length", bytes({0x81, 0xFE, 0, 125}), 1002},
         {"a length over the limit", header_64(0x81, (1 << 20) + 1), 1009},
         {"a bad byte in a text",
          frame_header(0x81, 100, bytes({0, 0, 0, 0})) + "\"ab\xff", 1007}});
}

TEST_CASE("fragments of every legal length are accepted") {
    Daemon daemon;
    Peer ann = join(daemon);
    const std::string message = json_string(1000);
    for (size_t size : std::initializer_list<size_t>{1, 2, 3, 7, 125, 126, 127,
                                                     500, 999, 1000}) {
        CAPTURE(size);
        ann.send(in_fragments(message, size));
        ann.expect_message(message);
    }
    for (const auto& pieces :
         std::vector<std::vector<std::string>>{{"[1", "]"},
                                               {"", "[1]"},
                                               {"[1]", ""},
                                               {"", "", "[1", "", "]", ""}}) {
        ann.send(in_fragments(pieces));
        ann.expect_message("[1]");
    }
    ann.send(frame(kBinary, "[1") + last_fragment("]"));
    ann.expect_message("[1]");
}

TEST_CASE("every masking key is removed") {
    Daemon daemon;
    Peer ann = join(daemon);
    const std::string message = json_string(37);
    for (const std::string& key :
         {bytes({0, 0, 0, 0}), bytes({255, 255, 255, 255}), bytes({1, 2, 3, 4}),
          bytes({0, 0, 0, 1}), bytes({0x7B, 0, 0, 0})}) {
        std::string masked = message;
        for (size_t i = 0; i < masked.size(); ++i)
            masked[i] = static_cast<char>(masked[i] ^ key[i % 4]);
        ann.send(frame_header(0x81, masked.size(), key) + masked);
        ann.expect_message(message);
    }
}

TEST_CASE("control frames may come between fragments") {
    Daemon daemon;
    Peer ann = join(daemon);
    ann.send(first_fragment("[1,") + ping_frame("a") + next_fragment("2,") +
             pong_frame("unasked") + next_fragment("") +
             ping_frame(std::string(125, 'b')) + ping_frame());
    ann.expect_pong("a");
    ann.expect_pong(std::string(125, 'b'));
    ann.expect_pong("");
    ann.send(last_fragment("3]"));
    ann.expect_message("[1,2,3]");
}

TEST_CASE("a close frame may come between fragments") {
    Daemon daemon;
    Peer ann = join(daemon);
    ann.send(first_fragment("[1,") + close_frame(1000));
    ann.expect_closed(1000);
}

TEST_CASE("pings are answered in order, with their own payload") {
    Daemon daemon;
    Peer ann = join(daemon);
    std::string pings;
    for (size_t size = 0; size <= 125; ++size)
        pings += ping_frame(std::string(size, static_cast<char>(size)));
    ann.send(pings);
    for (size_t size = 0; size <= 125; ++size)
        ann.expect_pong(std::string(size, static_cast<char>(size)));
}

TEST_CASE("a pong without a ping is ignored") {
    Daemon daemon;
    Peer ann = join(daemon);
    ann.send(pong_frame() + pong_frame("x") + pong_frame(std::string(125, 0)));
    ann.send_message("[1]");
    ann.expect_message("[1]");
}

TEST_CASE("pings between messages are answered, and no message is lost") {
    Daemon daemon;
    Peer ann = join(daemon);
    std::string all;
    for (int i = 0; i < 200; ++i)
        all += text_frame("[" + std::to_string(i) + "]") +
               ping_frame(std::to_string(i));
    ann.send(all);
    int messages = 0, pongs = 0;
    for (int i = 0; i < 400; ++i) {
        const Frame frame = ann.next_frame();
        if (frame.opcode == kPong)
            CHECK(frame.payload == std::to_string(pongs++));
        else
            CHECK(frame.payload == "[" + std::to_string(messages++) + "]");
    }
    CHECK(messages == 200);
    CHECK(pongs == 200);
}

TEST_CASE("a stream of frames may be cut anywhere") {
    Daemon daemon;
    Peer observer = join(daemon);
    const std::string stream = text_frame("[1]") + first_fragment("[\"\xc3") +
                               ping_frame("p") + last_fragment("\xa9\"]") +
                               binary_frame(json_string(126)) + pong_frame("q");
    for (size_t cut = 1; cut < stream.size(); ++cut) {
        CAPTURE(cut);
        Peer ann = join(daemon);
        send_in_two(ann, stream, cut, observer);
        observer.expect_message("[1]");
        observer.expect_message("[\"\xc3\xa9\"]");
        observer.expect_message(json_string(126));
        ann.sync();
    }
    Peer ann = join(daemon);
    send_one_by_one(ann, stream, observer);
    observer.expect_message("[1]");
    observer.expect_message("[\"\xc3\xa9\"]");
    observer.expect_message(json_string(126));
}

TEST_CASE("a message of the limit is relayed, a longer one closed with 1009") {
    Daemon daemon;
    Peer ann = join(daemon);
    Peer bob = join(daemon);
    const std::string largest = json_string(1 << 20);
    ann.send_message(largest);
    ann.expect_message(largest);
    bob.expect_message(largest);
    ann.send(in_fragments(largest, 400000));
    ann.expect_message(largest);
    bob.expect_message(largest);
    const std::string part(600000, 'x');
    check_closed_with(
        daemon,
        {{"one byte more", header_64(0x81, (1 << 20) + 1), 1009},
         {"one byte more, binary", header_64(0x82, (1 << 20) + 1), 1009},
         {"2^31", header_64(0x81, 1ULL << 31), 1009},
         {"2^32", header_64(0x81, 1ULL << 32), 1009},
         {"2^62", header_64(0x81, 1ULL << 62), 1009},
         {"2^63 - 1", header_64(0x81, (1ULL << 63) - 1), 1009},
         {"a first fragment", header_64(0x01, (1 << 20) + 1), 1009},
         {"a second fragment",
          first_fragment(part) + frame_header(0x80, (1 << 20) - 599999), 1009},
         {"a second fragment of 2^63 - 1",
          first_fragment(part) + header_64(0x80, (1ULL << 63) - 1), 1009},
         {"a third fragment of one byte",
          first_fragment(part) +
              next_fragment(part.substr(0, (1 << 20) - 600000)) +
              frame_header(0x80, 1),
          1009}});
}

TEST_CASE("--max-message sets the limit of a message") {
    Daemon daemon({"--max-message=1000"});
    Peer ann = join(daemon);
    ann.send_message(json_string(1000));
    ann.expect_message(json_string(1000));
    check_closed_with(
        daemon, {{"one byte more", frame_header(0x81, 1001), 1009},
                 {"in fragments",
                  first_fragment(std::string(999, ' ')) + frame_header(0x00, 2),
                  1009}});
}

TEST_CASE("a message may have 1,000 empty fragments, and no more") {
    Daemon daemon;
    Peer ann = join(daemon);
    ann.send(with_empty_fragments(1000));
    ann.expect_message("[1]");
    ann.send(with_empty_fragments(1000));
    ann.expect_message("[1]");
    std::string endless = first_fragment("");
    for (int i = 0; i < 1000; ++i) endless += next_fragment("");
    check_closed_with(daemon, {{"1,001", with_empty_fragments(1001), 1008},
                               {"1,001 and no last one", endless, 1008}});
}

TEST_CASE("a message of 4 MiB may come in fragments of 64 bytes") {
    Daemon daemon({"--max-message=4M", "--max-backlog=8M"});
    Peer ann = join(daemon);
    Peer bob = join(daemon);
    const std::string message = json_string(4 << 20);
    ann.send(in_fragments(message, 64));
    bob.expect_message(message);
    ann.expect_message(message);
}

TEST_CASE("messages before an error are relayed to all, and none after it") {
    Daemon daemon;
    Peer ann = join(daemon);
    Peer bob = join(daemon);
    ann.send(text_frame("[1]") + text_frame("[2]") + bytes({0x83, 0x80}) +
             "mask" + text_frame("[3]"));
    ann.expect_message("[1]");
    ann.expect_message("[2]");
    ann.expect_closed(1002);
    bob.send_message("[4]");
    bob.expect_message("[1]");
    bob.expect_message("[2]");
    bob.expect_message("[4]");
}
