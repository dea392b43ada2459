// permessage-deflate: the negotiation, and deflated messages in both directions
// (RFC 7692).
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

constexpr char kAccepted[] =
    "permessage-deflate; server_no_context_takeover; "
    "client_no_context_takeover";

std::string offer(const std::string& extensions) {
    return "Sec-WebSocket-Extensions: " + extensions + "\r\n";
}

// Returns the extensions in the response to a handshake.
std::string accepted_extensions(const Daemon& daemon,
                                const std::string& lines) {
    Peer peer(daemon);
    peer.send(handshake("/", lines));
    const ReceivedResponse answer = peer.read_response();
    CHECK(answer.status == 101);
    if (count(answer.head, "Sec-WebSocket-Extensions") > 1) return "twice";
    return answer.header("Sec-WebSocket-Extensions");
}

// Returns a text of this size that compresses well.
std::string text_of(size_t size) {
    return json_string(size);
}

std::string deflated_frame(std::string_view text) {
    return frame(kFin | kRsv1 | kText, deflated(text));
}

void expect_text(Peer& peer, const std::string& text, bool deflated,
                 SourceLine at = {}) {
    const Frame frame = peer.next_frame(at);
    CHECK(frame.opcode == kText);
    CHECK(frame.payload == text);
    CHECK(frame.deflated == deflated);
}

}  // namespace

TEST_CASE("a valid offer of permessage-deflate is accepted") {
    Daemon daemon;
    CHECK(accepted_extensions(daemon, "") == "");
    CHECK(accepted_extensions(daemon, offer("x-webkit-deflate-frame")) == "");
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
        CHECK_MESSAGE(accepted_extensions(daemon, offer(good)) == kAccepted,
                      good);
    CHECK(accepted_extensions(daemon,
                              offer("x-other") + offer("permessage-deflate")) ==
          kAccepted);
    for (const char* bits : {"8", "9", "10", "14", "15"})
        CHECK(accepted_extensions(
                  daemon, offer("permessage-deflate; server_max_window_bits=" +
                                std::string(bits))) ==
              std::string(kAccepted) + "; server_max_window_bits=" + bits);
}

TEST_CASE("a malformed offer of permessage-deflate is declined") {
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
        CHECK_MESSAGE(accepted_extensions(daemon, offer(bad)) == "", bad);
}

TEST_CASE("--no-deflate declines every offer") {
    Daemon daemon({"--no-deflate"});
    CHECK(accepted_extensions(daemon, kDeflate) == "");
    Peer ann = join_with_deflate(daemon);
    ann.send_message(text_of(1000));
    expect_text(ann, text_of(1000), false);
    ann.send(deflated_frame(text_of(1000)));
    ann.expect_closed(1002);
}

TEST_CASE(
    "a deflated message is relayed deflated or plain, as each client wants") {
    Daemon daemon;
    Peer plain = join(daemon);
    Peer ann = join_with_deflate(daemon);
    for (int bits = 9; bits <= 15; ++bits) {
        const std::string text = text_of(500 + static_cast<size_t>(bits));
        ann.send(frame(kFin | kRsv1 | kText, deflated(text, bits)));
        expect_text(plain, text, false);
        expect_text(ann, text, true);
    }
    plain.send_message(text_of(1000));
    expect_text(plain, text_of(1000), false);
    expect_text(ann, text_of(1000), true);
    ann.send_message("[1]");
    ann.send(frame(kFin | kRsv1 | kBinary, deflated("[2]", 15, Z_FINISH)));
    ann.send("{\"raw\":3}");
    for (const char* text : {"[1]", "[2]", "{\"raw\":3}"}) {
        expect_text(plain, text, false);
        expect_text(ann, text, false);
    }
}

TEST_CASE(
    "messages of 128 bytes or more are sent deflated, shorter ones are not") {
    Daemon daemon;
    Peer ann = join_with_deflate(daemon);
    Peer bob = join_with_deflate(daemon);
    for (size_t size : {3U, 127U, 128U, 129U, 70'000U, 1U << 20, 127U}) {
        bob.send_message(text_of(size));
        expect_text(ann, text_of(size), size >= 128);
        expect_text(bob, text_of(size), size >= 128);
    }
    std::string noise = "\"";
    for (unsigned random = 1; noise.size() < 200;
         random = random * 1664525 + 1013904223)
        noise += static_cast<char>('#' + (random >> 24) % 56);
    noise += '"';
    bob.send_message(noise);
    CHECK(ann.next_frame().payload == noise);
}

TEST_CASE(
    "a client that limits the window gets plain messages, and may deflate") {
    Daemon daemon;
    Peer ann(daemon);
    ann.do_handshake(
        "/", offer("permessage-deflate; server_max_window_bits=10"), {});
    Peer bob = join_with_deflate(daemon);
    ann.send(deflated_frame(text_of(1000)));
    expect_text(ann, text_of(1000), false);
    expect_text(bob, text_of(1000), true);
}

TEST_CASE(
    "a deflated message may have fragments, with control frames between") {
    Daemon daemon;
    Peer ann = join_with_deflate(daemon);
    Peer plain = join(daemon);
    const std::string data = deflated(text_of(5000));
    for (size_t cut = 0; cut <= data.size(); ++cut) {
        ann.send(frame(kRsv1 | kText, data.substr(0, cut)) + ping_frame("?") +
                 last_fragment(data.substr(cut)));
        ann.expect_pong("?");
        expect_text(ann, text_of(5000), true);
        expect_text(plain, text_of(5000), false);
    }
    ann.send(frame(kRsv1 | kText, "") + next_fragment(data) +
             last_fragment(""));
    expect_text(ann, text_of(5000), true);
    send_one_by_one(ann, deflated_frame("[1]"), plain);
    expect_text(ann, "[1]", false);
}

TEST_CASE("a deflated message is checked after it is inflated") {
    Daemon daemon;
    Peer ann = join_with_deflate(daemon);
    Peer plain = join(daemon);
    ann.send(deflated_frame("nonsense"));
    ann.expect_notice("at byte");
    ann.send(deflated_frame("{\"type\":\"system\"}"));
    ann.expect_notice("reserved");
    ann.send(deflated_frame("null") + deflated_frame(""));
    ann.expect_notice("");
    expect_nothing_else(plain);
}

TEST_CASE(
    "a compression bomb is closed with 1009 and affects no other client") {
    Daemon daemon({"--max-message=100K"});
    Peer ann = join(daemon);
    const std::string most = text_of(100 << 10);
    Peer bob = join_with_deflate(daemon);
    bob.send(deflated_frame(most));
    expect_text(bob, most, true);
    ann.expect_message(most);
    for (size_t size : {(100U << 10) + 1, 20U << 20}) {
        const std::string data = deflated(text_of(size));
        Peer eve = join_with_deflate(daemon);
        eve.send(frame(kFin | kRsv1 | kText, data));
        eve.expect_closed(1009);
        Peer fred = join_with_deflate(daemon);
        fred.send(frame(kRsv1 | kText, data.substr(0, 10)) +
                  next_fragment(data.substr(10)));
        fred.expect_closed(1009);
    }
    Peer gina = join_with_deflate(daemon);
    gina.send(frame_header(kFin | kRsv1 | kText, 1 << 20));
    gina.expect_closed(1009);
    expect_nothing_else(bob);
}

TEST_CASE("corrupt deflated data and inflated bad UTF-8 are closed with 1007") {
    Daemon daemon;
    Peer ann = join(daemon);
    for (const std::string& data :
         {bytes({0xFF, 0xFF, 0xFF}), bytes({0x06}), std::string("[1]"),
          deflated("\"\xC3\""), deflated("\"\xED\xA0\x80\"")}) {
        CAPTURE(printable(data));
        Peer eve = join_with_deflate(daemon);
        eve.send(frame(kFin | kRsv1 | kText, data));
        eve.expect_closed(1007);
    }
    expect_nothing_else(ann);
}

TEST_CASE("a deflated message must not refer to an earlier one") {
    Daemon daemon;
    Peer ann = join_with_deflate(daemon);
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
    ann.expect_message(text);
    ann.send(frame(kFin | kRsv1 | kText, messages[1]));
    ann.expect_closed(1007);
    plain.expect_message(text);
    expect_nothing_else(plain);
}

TEST_CASE("RSV1 on any other frame is closed with 1002") {
    Daemon daemon;
    Peer ann = join(daemon);
    const std::string data = deflated("[1]");
    const auto check_closed = [&](bool deflating, const std::string& sent) {
        CAPTURE(printable(sent));
        Peer eve = deflating ? join_with_deflate(daemon) : join(daemon);
        eve.send(sent);
        eve.expect_closed(1002);
    };
    check_closed(false, frame(kFin | kRsv1 | kText, data));
    check_closed(false, frame(kFin | kRsv1 | kBinary, data));
    check_closed(true, frame(kFin | kRsv1 | kPing, ""));
    check_closed(true, frame(kFin | kRsv1 | kPong, ""));
    check_closed(true, frame(kFin | kRsv1 | kClose, close_payload(1000, "")));
    check_closed(true, frame(kRsv1 | kText, data.substr(0, 1)) +
                           frame(kFin | kRsv1 | kContinuation, data.substr(1)));
    check_closed(
        true, first_fragment("[1") + frame(kFin | kRsv1 | kContinuation, "]"));
    check_closed(true, frame(kFin | kRsv1 | kContinuation, data));
    check_closed(true, frame(kFin | 0x20 | kText, "[1]"));
    check_closed(true, frame(kFin | kRsv1 | 0x10 | kText, data));
    expect_nothing_else(ann);
}

TEST_CASE(
    "deflated and plain clients get the same messages in the same order") {
    Daemon daemon({"--announce=address"});
    std::vector<Peer> peers;
    for (int i = 0; i < 6; ++i)
        peers.push_back(i % 2 ? join_with_deflate(daemon) : join(daemon));
    for (size_t i = 0; i < 300; ++i)
        peers[i % 6].send_message("[" + std::to_string(i) + "," +
                                  text_of(i * 3 + 2) + "]");
    std::vector<std::string> first;
    for (Peer& peer : peers) {
        std::vector<std::string> received;
        while (received.size() < 300) {
            const std::string text = peer.next_text();
            if (text[0] == '[') received.push_back(text);
        }
        if (first.empty()) first = received;
        CHECK(received == first);
        expect_nothing_else(peer);
    }
}

TEST_CASE("a room works while its clients change between deflated and plain") {
    Daemon daemon;
    Peer ann = join(daemon);
    for (int i = 0; i < 5; ++i) {
        Peer bob = join_with_deflate(daemon);
        ann.send_message(text_of(1000));
        expect_text(bob, text_of(1000), true);
        bob.close_socket();
        daemon.wait_for_log(" left: ", static_cast<size_t>(i) + 1);
        ann.send_message(text_of(2000));
        ann.expect_message(text_of(1000));
        ann.expect_message(text_of(2000));
    }
}

TEST_CASE("a client that reads its history late gets the next ones deflated") {
    Daemon daemon({"--history=100", timed("--stall-timeout", 600)});
    Peer ann = join(daemon);
    const auto text_number = [](int i) {
        return "[" + std::to_string(i) + "," + text_of(20'000) + "]";
    };
    const auto exchange = [&](int first, int last) {
        for (int i = first; i <= last; ++i) {
            ann.send_message(text_number(i));
            ann.expect_message(text_number(i));
        }
    };
    exchange(1, 50);
    Peer late(SocketAddress::v4(daemon.port()), 4096);
    late.do_handshake("/", kDeflate, {});
    late.allow_deflated();
    exchange(51, 100);
    for (int i = 1; i <= 100; ++i) late.expect_message(text_number(i));
    late.sync();
    exchange(101, 110);
    for (int i = 101; i <= 110; ++i) expect_text(late, text_number(i), true);
}

TEST_CASE("deflated messages are sent over TLS") {
    CertificateFiles files;
    Daemon daemon(files.options());
    TlsTunnel ann(daemon), bob(daemon);
    ann.peer().do_handshake("/", kDeflate, {});
    ann.peer().allow_deflated();
    bob.peer().do_handshake();
    ann.peer().send(deflated_frame(text_of(100'000)));
    expect_text(ann.peer(), text_of(100'000), true);
    expect_text(bob.peer(), text_of(100'000), false);
}
