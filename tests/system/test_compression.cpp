// permessage-deflate: what is agreed on, and messages that are deflated one
// way or the other (RFC 7692).
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "fixtures/deflated.h"
#include "daemon.h"
#include "peer.h"
#include "room_clients.h"
#include "tls_tunnel.h"
#include "wire.h"

using namespace wschat::test;

namespace {

constexpr char kAgreed[] =
    "permessage-deflate; server_no_context_takeover; "
    "client_no_context_takeover";

std::string offer(const std::string& extensions) {
    return "Sec-WebSocket-Extensions: " + extensions + "\r\n";
}

// What the answer to a handshake says of extensions.
std::string agreed_on(const Daemon& daemon, const std::string& lines) {
    Peer peer(daemon);
    peer.send(handshake("/", lines));
    const ReceivedResponse answer = peer.answer();
    CHECK(answer.status == 101);
    if (count(answer.head, "Sec-WebSocket-Extensions") > 1) return "twice";
    return answer.header("Sec-WebSocket-Extensions");
}

// Of this size, and one that compresses well.
std::string text_of(size_t size) {
    return json_string(size);
}

std::string deflated_frame(std::string_view text) {
    return frame(kFin | kRsv1 | kText, deflated(text));
}

void hears(Peer& peer, const std::string& text, bool deflated, Where at = {}) {
    const Frame frame = peer.next(at);
    CHECK(frame.opcode == kText);
    CHECK(frame.payload == text);
    CHECK(frame.deflated == deflated);
}

}  // namespace

TEST_CASE("deflate is agreed on if it was offered in due form") {
    Daemon daemon;
    CHECK(agreed_on(daemon, "") == "");
    CHECK(agreed_on(daemon, offer("x-webkit-deflate-frame")) == "");
    for (const char* good :
         {"permessage-deflate", "permessage-deflate; client_max_window_bits",
          "permessage-deflate;client_max_window_bits=15",
          "permessage-deflate; client_max_window_bits=8",
          "permessage-deflate; client_max_window_bits=\"10\"",
          "permessage-deflate; client_no_context_takeover",
          "permessage-deflate; server_no_context_takeover ; "
          "client_max_window_bits",
          "x-other; a=\"b, permessage-deflate\", permessage-deflate",
          "permessage-deflate; unknown, permessage-deflate",
          "permessage-deflate, permessage-deflate; server_max_window_bits=9"})
        CHECK_MESSAGE(agreed_on(daemon, offer(good)) == kAgreed, good);
    CHECK(agreed_on(daemon, offer("x-other") + offer("permessage-deflate")) ==
          kAgreed);
    for (const char* bits : {"8", "9", "10", "14", "15"})
        CHECK(agreed_on(daemon,
                        offer("permessage-deflate; server_max_window_bits=" +
                              std::string(bits))) ==
              std::string(kAgreed) + "; server_max_window_bits=" + bits);
}

TEST_CASE("an offer of deflate that is malformed is declined") {
    Daemon daemon;
    for (const char* bad :
         {"permessage-deflate; server_max_window_bits",
          "permessage-deflate; server_max_window_bits=7",
          "permessage-deflate; server_max_window_bits=16",
          "permessage-deflate; server_max_window_bits=010",
          "permessage-deflate; server_max_window_bits=",
          "permessage-deflate; client_max_window_bits=16",
          "permessage-deflate; client_max_window_bits=x",
          "permessage-deflate; client_max_window_bits; client_max_window_bits",
          "permessage-deflate; server_no_context_takeover=1",
          "permessage-deflate; client_no_context_takeover=true",
          "permessage-deflate; unknown", "permessage-deflate;",
          "permessage-deflate=1", "permessage-deflate x",
          "permessage-deflate; client_max_window_bits=\"10", ";;;",
          "permessage_deflate", "Permessage-Deflate"})
        CHECK_MESSAGE(agreed_on(daemon, offer(bad)) == "", bad);
}

TEST_CASE("--no-deflate agrees on nothing") {
    Daemon daemon({"--no-deflate"});
    CHECK(agreed_on(daemon, kDeflate) == "");
    Peer ann = join_deflating(daemon);
    ann.say(text_of(1000));
    hears(ann, text_of(1000), false);
    ann.send(deflated_frame(text_of(1000)));
    ann.is_closed(1002);
}

TEST_CASE("what comes deflated is relayed to everyone, each as it takes it") {
    Daemon daemon;
    Peer plain = join(daemon);
    Peer ann = join_deflating(daemon);
    for (int bits = 9; bits <= 15; ++bits) {
        const std::string text = text_of(500 + static_cast<size_t>(bits));
        ann.send(frame(kFin | kRsv1 | kText, deflated(text, bits)));
        hears(plain, text, false);
        hears(ann, text, true);
    }
    plain.say(text_of(1000));
    hears(plain, text_of(1000), false);
    hears(ann, text_of(1000), true);
    ann.say("[1]");
    ann.send(frame(kFin | kRsv1 | kBinary, deflated("[2]", 15, Z_FINISH)));
    ann.send("{\"raw\":3}");
    for (const char* text : {"[1]", "[2]", "{\"raw\":3}"}) {
        hears(plain, text, false);
        hears(ann, text, false);
    }
}

TEST_CASE("messages of 128 bytes and more go out deflated, shorter ones not") {
    Daemon daemon;
    Peer ann = join_deflating(daemon);
    Peer bob = join_deflating(daemon);
    for (size_t size : {3U, 127U, 128U, 129U, 70'000U, 1U << 20, 127U}) {
        bob.say(text_of(size));
        hears(ann, text_of(size), size >= 128);
        hears(bob, text_of(size), size >= 128);
    }
    std::string noise = "\"";
    for (unsigned random = 1; noise.size() < 200;
         random = random * 1664525 + 1013904223)
        noise += static_cast<char>('#' + (random >> 24) % 56);
    noise += '"';
    bob.say(noise);
    CHECK(ann.next().payload == noise);
}

TEST_CASE("who wants a smaller window gets nothing deflated, and may deflate") {
    Daemon daemon;
    Peer ann(daemon);
    ann.shake_hands("/", offer("permessage-deflate; server_max_window_bits=10"),
                    {});
    Peer bob = join_deflating(daemon);
    ann.send(deflated_frame(text_of(1000)));
    hears(ann, text_of(1000), false);
    hears(bob, text_of(1000), true);
}

TEST_CASE("fragments, and control frames between them, may be deflated") {
    Daemon daemon;
    Peer ann = join_deflating(daemon);
    Peer plain = join(daemon);
    const std::string data = deflated(text_of(5000));
    for (size_t cut = 0; cut <= data.size(); ++cut) {
        ann.send(frame(kRsv1 | kText, data.substr(0, cut)) + ping_frame("?") +
                 last_fragment(data.substr(cut)));
        ann.hears_pong("?");
        hears(ann, text_of(5000), true);
        hears(plain, text_of(5000), false);
    }
    ann.send(frame(kRsv1 | kText, "") + next_fragment(data) +
             last_fragment(""));
    hears(ann, text_of(5000), true);
    send_one_by_one(ann, deflated_frame("[1]"), plain);
    hears(ann, "[1]", false);
}

TEST_CASE("a deflated message is judged by what it holds") {
    Daemon daemon;
    Peer ann = join_deflating(daemon);
    Peer plain = join(daemon);
    ann.send(deflated_frame("nonsense"));
    ann.hears_notice("at byte");
    ann.send(deflated_frame("{\"type\":\"system\"}"));
    ann.hears_notice("reserved");
    ann.send(deflated_frame("null") + deflated_frame(""));
    ann.hears_notice("");
    hears_no_more(plain);
}

TEST_CASE("a bomb is closed with 1009, at any limit, and hurts nobody") {
    Daemon daemon({"--max-message=100K"});
    Peer ann = join(daemon);
    const std::string most = text_of(100 << 10);
    Peer bob = join_deflating(daemon);
    bob.send(deflated_frame(most));
    hears(bob, most, true);
    ann.hears(most);
    for (size_t size : {(100U << 10) + 1, 20U << 20}) {
        const std::string data = deflated(text_of(size));
        Peer eve = join_deflating(daemon);
        eve.send(frame(kFin | kRsv1 | kText, data));
        eve.is_closed(1009);
        Peer fred = join_deflating(daemon);
        fred.send(frame(kRsv1 | kText, data.substr(0, 10)) +
                  next_fragment(data.substr(10)));
        fred.is_closed(1009);
    }
    Peer gina = join_deflating(daemon);
    gina.send(frame_header(kFin | kRsv1 | kText, 1 << 20));
    gina.is_closed(1009);
    hears_no_more(bob);
}

TEST_CASE("what can't be inflated, or is no UTF-8 then, is closed with 1007") {
    Daemon daemon;
    Peer ann = join(daemon);
    for (const std::string& data :
         {bytes({0xFF, 0xFF, 0xFF}), bytes({0x06}), std::string("[1]"),
          deflated("\"\xC3\""), deflated("\"\xED\xA0\x80\"")}) {
        CAPTURE(shown(data));
        Peer eve = join_deflating(daemon);
        eve.send(frame(kFin | kRsv1 | kText, data));
        eve.is_closed(1007);
    }
    hears_no_more(ann);
}

TEST_CASE("no message may refer to the one before it") {
    Daemon daemon;
    Peer ann = join_deflating(daemon);
    Peer plain = join(daemon);
    z_stream stream{};
    deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -15, 8,
                 Z_DEFAULT_STRATEGY);
    std::string text = "\"No two words of this are the same at all\"";
    std::vector<std::string> messages;
    for (int i = 0; i < 2; ++i) {
        std::string out(200, '\0');
        stream.next_in = reinterpret_cast<Bytef*>(text.data());
        stream.avail_in = static_cast<uInt>(text.size());
        stream.next_out = reinterpret_cast<Bytef*>(out.data());
        stream.avail_out = static_cast<uInt>(out.size());
        deflate(&stream, Z_SYNC_FLUSH);
        messages.push_back(out.substr(0, out.size() - stream.avail_out - 4));
    }
    deflateEnd(&stream);
    REQUIRE(messages[1].size() < messages[0].size());
    ann.send(frame(kFin | kRsv1 | kText, messages[0]));
    ann.hears(text);
    ann.send(frame(kFin | kRsv1 | kText, messages[1]));
    ann.is_closed(1007);
    plain.hears(text);
    hears_no_more(plain);
}

TEST_CASE("the bit of deflated messages is closed with 1002 elsewhere") {
    Daemon daemon;
    Peer ann = join(daemon);
    const std::string data = deflated("[1]");
    const auto is_closed = [&](bool deflating, const std::string& sent) {
        CAPTURE(shown(sent));
        Peer eve = deflating ? join_deflating(daemon) : join(daemon);
        eve.send(sent);
        eve.is_closed(1002);
    };
    is_closed(false, frame(kFin | kRsv1 | kText, data));
    is_closed(false, frame(kFin | kRsv1 | kBinary, data));
    is_closed(true, frame(kFin | kRsv1 | kPing, ""));
    is_closed(true, frame(kFin | kRsv1 | kPong, ""));
    is_closed(true, frame(kFin | kRsv1 | kClose, close_payload(1000, "")));
    is_closed(true, frame(kRsv1 | kText, data.substr(0, 1)) +
                        frame(kFin | kRsv1 | kContinuation, data.substr(1)));
    is_closed(true,
              first_fragment("[1") + frame(kFin | kRsv1 | kContinuation, "]"));
    is_closed(true, frame(kFin | kRsv1 | kContinuation, data));
    is_closed(true, frame(kFin | 0x20 | kText, "[1]"));
    is_closed(true, frame(kFin | kRsv1 | 0x10 | kText, data));
    hears_no_more(ann);
}

TEST_CASE("who takes deflated and who does not hear the same in one order") {
    Daemon daemon({"--announce=address"});
    std::vector<Peer> peers;
    for (int i = 0; i < 6; ++i)
        peers.push_back(i % 2 ? join_deflating(daemon) : join(daemon));
    for (size_t i = 0; i < 300; ++i)
        peers[i % 6].say("[" + std::to_string(i) + "," + text_of(i * 3 + 2) +
                         "]");
    std::vector<std::string> first;
    for (Peer& peer : peers) {
        std::vector<std::string> heard;
        while (heard.size() < 300) {
            const std::string text = peer.next_text();
            if (text[0] == '[') heard.push_back(text);
        }
        if (first.empty()) first = heard;
        CHECK(heard == first);
        hears_no_more(peer);
    }
}

TEST_CASE("a room's clients may all change between deflated and plain") {
    Daemon daemon;
    Peer ann = join(daemon);
    for (int i = 0; i < 5; ++i) {
        Peer bob = join_deflating(daemon);
        ann.say(text_of(1000));
        hears(bob, text_of(1000), true);
        bob.hang_up();
        daemon.wait_log(" left: ", static_cast<size_t>(i) + 1);
        ann.say(text_of(2000));
        ann.hears(text_of(1000));
        ann.hears(text_of(2000));
    }
}

TEST_CASE("who reads its history late moves over to deflated in order") {
    Daemon daemon({"--history=100", timed("--stall-timeout", 600)});
    Peer ann = join(daemon);
    const auto said = [](int i) {
        return "[" + std::to_string(i) + "," + text_of(20'000) + "]";
    };
    const auto say = [&](int first, int last) {
        for (int i = first; i <= last; ++i) {
            ann.say(said(i));
            ann.hears(said(i));
        }
    };
    say(1, 50);
    Peer late(SocketAddress::v4(daemon.port()), 4096);
    late.shake_hands("/", kDeflate, {});
    late.take_deflated();
    say(51, 100);
    for (int i = 1; i <= 100; ++i) late.hears(said(i));
    late.sync();
    say(101, 110);
    for (int i = 101; i <= 110; ++i) hears(late, said(i), true);
}

TEST_CASE("deflated messages go over TLS") {
    CertificateFiles files;
    Daemon daemon(files.options());
    TlsTunnel ann(daemon), bob(daemon);
    ann.peer().shake_hands("/", kDeflate, {});
    ann.peer().take_deflated();
    bob.peer().shake_hands();
    ann.peer().send(deflated_frame(text_of(100'000)));
    hears(ann.peer(), text_of(100'000), true);
    hears(bob.peer(), text_of(100'000), false);
}
