// The echo server, which is the target of protocol test suites.
#include <initializer_list>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "daemon.h"
#include "peer.h"
#include "proc.h"

using namespace wschat::test;

namespace {

void expect_binary(Peer& peer, const std::string& message) {
    const Frame frame = peer.next_frame();
    CHECK(frame.opcode == kBinary);
    CHECK((frame.payload == message));
}

std::string all_bytes() {
    std::string out;
    for (int i = 0; i < 256; ++i) out += static_cast<char>(i);
    return out;
}

}  // namespace

TEST_CASE("echo sends text back as text and binary as binary") {
    Daemon echo = Daemon::echo();
    Peer ann = join(echo);
    for (const char* message : {"", "*", "Hello, world!", "null", "{\"a\":1}",
                                "\xce\xba\xf0\x9f\x98\x80"}) {
        ann.send_message(message);
        ann.expect_message(message);
        ann.send(binary_frame(message));
        expect_binary(ann, message);
    }
    ann.send(binary_frame(all_bytes()));
    expect_binary(ann, all_bytes());
}

TEST_CASE("echo sends back messages of every length") {
    Daemon echo = Daemon::echo();
    Peer ann = join(echo);
    for (size_t size : std::initializer_list<size_t>{
             0, 1, 125, 126, 127, 128, 65535, 65536, 1 << 20, 16 << 20}) {
        CAPTURE(size);
        const std::string message(size, '*');
        ann.send_message(message);
        CHECK((ann.next_text() == message));
        ann.send(binary_frame(message));
        expect_binary(ann, message);
    }
}

TEST_CASE("echo sends fragments back as one message") {
    Daemon echo = Daemon::echo();
    Peer ann = join(echo);
    ann.send(first_fragment("fragment1") + ping_frame("p") +
             last_fragment("fragment2"));
    ann.expect_pong("p");
    ann.expect_message("fragment1fragment2");
    ann.send(frame(kBinary, "\xff") + next_fragment("") +
             last_fragment("\xfe"));
    expect_binary(ann, "\xff\xfe");
    ann.send(first_fragment("") + next_fragment("") + last_fragment(""));
    ann.expect_message("");
}

TEST_CASE("echo sends back thousands of messages in order") {
    Daemon echo = Daemon::echo();
    Peer ann = join(echo);
    std::string all;
    for (int i = 0; i < 10000; ++i) all += text_frame(std::to_string(i));
    ann.send(all);
    for (int i = 0; i < 10000; ++i) ann.expect_message(std::to_string(i));
}

TEST_CASE("echo sends a message back to its sender alone") {
    Daemon echo = Daemon::echo();
    std::vector<Peer> peers = join(echo, 20);
    for (size_t i = 0; i < peers.size(); ++i)
        peers[i].send_message(std::to_string(i));
    for (size_t i = 0; i < peers.size(); ++i) {
        peers[i].expect_message(std::to_string(i));
        peers[i].send_message("end");
        peers[i].expect_message("end");
    }
}

TEST_CASE("echo sends back the messages before an error, then a close frame") {
    Daemon echo = Daemon::echo();
    const struct {
        const char* name;
        std::string bytes;
        int code;
    } kErrors[] = {
        {"a reserved bit", frame(0xC1, "x"), 1002},
        {"a reserved opcode", frame(0x85, ""), 1002},
        {"a ping in fragments", frame(0x09, ""), 1002},
        {"a continuation without a message", last_fragment("x"), 1002},
        {"a text inside a text", first_fragment("x") + text_frame("y"), 1002},
        {"bad UTF-8", text_frame("\xff"), 1007},
        {"a bad close code", close_frame(1005), 1002},
        {"a bad reason", close_frame(1000, "\xff"), 1007},
        {"raw JSON", "{\"a\":1}", 1002}};
    for (const auto& row : kErrors) {
        INFO("error: " << row.name);
        Peer ann = join(echo);
        ann.send(text_frame("Hello") + row.bytes + ping_frame("p") +
                 text_frame("not echoed"));
        ann.expect_message("Hello");
        ann.expect_closed(row.code);
    }
}

TEST_CASE("echo answers pings and closes in order") {
    Daemon echo = Daemon::echo();
    Peer ann = join(echo);
    for (int i = 0; i < 10; ++i) ann.send(ping_frame(std::to_string(i)));
    for (int i = 0; i < 10; ++i) ann.expect_pong(std::to_string(i));
    ann.send(text_frame("last") + close_frame(1000, "bye") +
             text_frame("not echoed"));
    ann.expect_message("last");
    ann.expect_closed(1000);
}

TEST_CASE("echo reads a frame that arrives in segments of one byte") {
    Daemon echo = Daemon::echo();
    Peer observer = join(echo);
    Peer ann = join(echo);
    const std::string message =
        "caf\xc3\xa9 \xf0\x9f\x98\x80 " + std::string(200, 'x');
    send_one_by_one(ann, text_frame(message) + ping_frame("p"), observer);
    ann.expect_message(message);
    ann.expect_pong("p");
}

TEST_CASE("echo's limit is its second argument") {
    Daemon echo = Daemon::echo(1000);
    Peer ann = join(echo);
    ann.send_message(std::string(1000, 'x'));
    ann.expect_message(std::string(1000, 'x'));
    ann.send(frame_header(0x81, 1001));
    ann.expect_closed(1009);
}

TEST_CASE("echo refuses raw JSON, with a handshake or without") {
    Daemon echo = Daemon::echo();
    Peer publisher(echo);
    publisher.send("{\"a\":1}\r\n\r\n");
    publisher.expect_refused(400);
    Peer ann = join(echo);
    ann.send("{\"a\":1}");
    ann.expect_closed(1002);
}

TEST_CASE("echo does not read from a client while it has bytes to send to it") {
    Daemon echo = Daemon::echo();
    Peer reader = join(echo);
    Peer ann = join(SocketAddress::v4(echo.port()), 4096);
    const std::string message(1 << 20, '*');
    std::string sent;
    int messages = 0;
    // Send until the buffers of the connection are full, because the server has
    // stopped reading.
    while (messages < 200) {
        const std::string bytes = text_frame(message);
        const ssize_t n = send(ann.fd(), bytes.data(), bytes.size(),
                               MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < static_cast<ssize_t>(bytes.size())) {
            if (n > 0) sent = bytes.substr(static_cast<size_t>(n));
            break;
        }
        ++messages;
    }
    CHECK(messages < 200);
    reader.send_message("meanwhile");
    reader.expect_message("meanwhile");
    for (int i = 0; i < messages; ++i) CHECK((ann.next_text() == message));
    if (!is_instrumented(echo.pid()))
        CHECK(peak_resident_kib(echo.pid()) < 32 * 1024);
}
