// UTF-8 in text messages and close reasons: RFC 6455, section 8.1.
#include <string>

#include <doctest/doctest.h>

#include "daemon.h"
#include "peer.h"

using namespace wschat::test;

namespace {

constexpr const char* kLegal[] = {
    "\x7f",              // U+007F
    "\xc2\x80",          // U+0080
    "\xdf\xbf",          // U+07FF
    "\xe0\xa0\x80",      // U+0800
    "\xed\x9f\xbf",      // U+D7FF, the last before the surrogates
    "\xee\x80\x80",      // U+E000, the first after them
    "\xef\xbf\xbd",      // U+FFFD
    "\xef\xbf\xbe",      // U+FFFE
    "\xef\xbf\xbf",      // U+FFFF
    "\xf0\x90\x80\x80",  // U+10000
    "\xf4\x8f\xbf\xbf",  // U+10FFFF
    "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5"};

// Each ends with its bad byte, which must be refused when it arrives.
constexpr const char* kIllegal[] = {"\x80",      // a continuation byte alone
                                    "\xbf",      //
                                    "\xc0",      // overlong forms
                                    "\xc1",      //
                                    "\xe0\x80",  //
                                    "\xe0\x9f",  //
                                    "\xf0\x80",  //
                                    "\xf0\x8f",  //
                                    "\xed\xa0",  // surrogates
                                    "\xed\xbf",  //
                                    "\xf4\x90",  // above U+10FFFF
                                    "\xf5",      //
                                    "\xf8",  // obsolete forms of 5 and 6 bytes
                                    "\xfc",  //
                                    "\xfe",  //
                                    "\xff",  //
                                    "\xc3\x28",      // an incomplete character
                                    "\xe2\x82\x28",  //
                                    "\xf0\x9f\x98\x28",  //
                                    "\xe2\x28",          //
                                    "\xc3\xc3"};         //

constexpr const char* kUnfinished[] = {"\xc3", "\xe2",     "\xe2\x82",
                                       "\xf0", "\xf0\x9f", "\xf0\x9f\x98"};

// Returns the header of a frame of 100 bytes with a masking key of zeros, and
// the beginning of its payload.
std::string start_of_text(int first, const std::string& start) {
    return frame_header(first, 100, bytes({0, 0, 0, 0})) + start;
}

}  // namespace

TEST_CASE("legal UTF-8 is relayed, whole or cut into fragments anywhere") {
    Daemon daemon;
    Peer ann = join(daemon);
    for (const char* text : kLegal) {
        CAPTURE(printable(text));
        const std::string message = "\"" + std::string(text) + "\"";
        ann.send_message(message);
        ann.expect_message(message);
        for (size_t cut = 0; cut <= message.size(); ++cut) {
            ann.send(first_fragment(message.substr(0, cut)) + ping_frame() +
                     last_fragment(message.substr(cut)));
            ann.expect_pong("");
            ann.expect_message(message);
        }
    }
}

TEST_CASE("legal UTF-8 may be cut into segments anywhere") {
    Daemon daemon;
    Peer observer = join(daemon);
    Peer ann = join(daemon);
    for (const char* text : kLegal) {
        const std::string message = "\"" + std::string(text) + "\"";
        send_one_by_one(ann, text_frame(message), observer);
        observer.expect_message(message);
        ann.expect_message(message);
    }
}

TEST_CASE("a bad byte in a text is closed with 1007 at once") {
    Daemon daemon;
    for (const char* text : kIllegal) {
        CAPTURE(printable(text));
        Peer in_frame = join(daemon);
        in_frame.send(start_of_text(0x81, "\"" + std::string(text)));
        in_frame.expect_closed(1007);
        Peer in_fragment = join(daemon);
        in_fragment.send(start_of_text(0x01, text));
        in_fragment.expect_closed(1007);
        Peer in_second = join(daemon);
        in_second.send(first_fragment("\"") + start_of_text(0x00, text));
        in_second.expect_closed(1007);
    }
}

TEST_CASE("a bad byte is found although its character is cut into fragments") {
    Daemon daemon;
    for (const std::string text : kIllegal) {
        CAPTURE(printable(text));
        Peer ann = join(daemon);
        const size_t last = text.size() - 1;
        ann.send(first_fragment("\"" + text.substr(0, last)) +
                 next_fragment("") + start_of_text(0x00, text.substr(last)));
        ann.expect_closed(1007);
    }
}

TEST_CASE("a text that ends inside a character is closed with 1007") {
    Daemon daemon;
    for (const char* text : kUnfinished) {
        CAPTURE(printable(text));
        Peer whole = join(daemon);
        whole.send_message(text);
        whole.expect_closed(1007);
        Peer in_fragments = join(daemon);
        in_fragments.send(first_fragment("\"") + last_fragment(text));
        in_fragments.expect_closed(1007);
        Peer empty_end = join(daemon);
        empty_end.send(first_fragment(text) + last_fragment(""));
        empty_end.expect_closed(1007);
    }
}

TEST_CASE("a character may be incomplete until the end of its message") {
    Daemon daemon;
    Peer ann = join(daemon);
    ann.send(first_fragment("\"\xf0"));
    ann.sync();
    ann.send(next_fragment("\x9f\x98"));
    ann.sync();
    ann.send(last_fragment("\x80\""));
    ann.expect_message("\"\xf0\x9f\x98\x80\"");
}

TEST_CASE("a character does not continue in the next message") {
    Daemon daemon;
    Peer ann = join(daemon);
    ann.send(frame(kFin | kBinary, "\xc3"));
    ann.expect_notice("not relayed: ");
    ann.send_message("\"\xc3\xa9\"");
    ann.expect_message("\"\xc3\xa9\"");
}

TEST_CASE("a binary message that is not UTF-8 gets a notice and no close") {
    Daemon daemon;
    Peer ann = join(daemon);
    for (const char* text : kIllegal) {
        ann.send(binary_frame("\"" + std::string(text) + "\""));
        ann.expect_notice("not relayed: ");
    }
    ann.send_message("[1]");
    ann.expect_message("[1]");
}

TEST_CASE("a close reason that is not UTF-8 is closed with 1007") {
    Daemon daemon;
    for (const char* text : kIllegal) {
        CAPTURE(printable(text));
        Peer ann = join(daemon);
        ann.send(close_frame(1000, text));
        ann.expect_closed(1007);
    }
    for (const char* text : kUnfinished) {
        CAPTURE(printable(text));
        Peer ann = join(daemon);
        ann.send(close_frame(1000, text));
        ann.expect_closed(1007);
    }
}
