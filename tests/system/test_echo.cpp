// The echo server, which protocol test suites are run against.
#include <initializer_list>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "daemon.h"
#include "peer.h"
#include "proc.h"

using namespace wschat::test;

namespace {

void hears_binary(Peer& peer, const std::string& message) {
    const Frame frame = peer.next();
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
        ann.say(message);
        ann.hears(message);
        ann.send(binary_frame(message));
        hears_binary(ann, message);
    }
    ann.send(binary_frame(all_bytes()));
    hears_binary(ann, all_bytes());
}

TEST_CASE("echo sends back messages of every length") {
    Daemon echo = Daemon::echo();
    Peer ann = join(echo);
    for (size_t size : std::initializer_list<size_t>{
             0, 1, 125, 126, 127, 128, 65535, 65536, 1 << 20, 16 << 20}) {
        CAPTURE(size);
        const std::string message(size, '*');
        ann.say(message);
        CHECK((ann.next_text() == message));
        ann.send(binary_frame(message));
        hears_binary(ann, message);
    }
}

TEST_CASE("echo sends fragments back as one message") {
    Daemon echo = Daemon::echo();
    Peer ann = join(echo);
    ann.send(first_fragment("fragment1") + ping_frame("p") +
             last_fragment("fragment2"));
    ann.hears_pong("p");
    ann.hears("fragment1fragment2");
    ann.send(frame(kBinary, "\xff") + next_fragment("") +
             last_fragment("\xfe"));
    hears_binary(ann, "\xff\xfe");
    ann.send(first_fragment("") + next_fragment("") + last_fragment(""));
    ann.hears("");
}

TEST_CASE("echo sends back thousands of messages in order") {
    Daemon echo = Daemon::echo();
    Peer ann = join(echo);
    std::string all;
    for (int i = 0; i < 10000; ++i) all += text_frame(std::to_string(i));
    ann.send(all);
    for (int i = 0; i < 10000; ++i) ann.hears(std::to_string(i));
}

TEST_CASE("echo keeps connections apart") {
    Daemon echo = Daemon::echo();
    std::vector<Peer> peers = join(echo, 20);
    for (size_t i = 0; i < peers.size(); ++i) peers[i].say(std::to_string(i));
    for (size_t i = 0; i < peers.size(); ++i) {
        peers[i].hears(std::to_string(i));
        peers[i].say("end");
        peers[i].hears("end");
    }
}

TEST_CASE("echo sends back what came before a fault, then the close") {
    Daemon echo = Daemon::echo();
    const struct {
        const char* name;
        std::string fault;
        int code;
    } kFaults[] = {
        {"a reserved bit", frame(0xC1, "x"), 1002},
        {"a reserved opcode", frame(0x85, ""), 1002},
        {"a ping in fragments", frame(0x09, ""), 1002},
        {"a continuation of nothing", last_fragment("x"), 1002},
        {"a text inside a text", first_fragment("x") + text_frame("y"), 1002},
        {"bad UTF-8", text_frame("\xff"), 1007},
        {"a bad close code", close_frame(1005), 1002},
        {"a bad reason", close_frame(1000, "\xff"), 1007},
        {"raw JSON", "{\"a\":1}", 1002}};
    for (const auto& row : kFaults) {
        INFO("fault: " << row.name);
        Peer ann = join(echo);
        ann.send(text_frame("Hello") + row.fault + ping_frame("p") +
                 text_frame("nothing of this"));
        ann.hears("Hello");
        ann.is_closed(row.code);
    }
}

TEST_CASE("echo answers pings and closes in order") {
    Daemon echo = Daemon::echo();
    Peer ann = join(echo);
    for (int i = 0; i < 10; ++i) ann.send(ping_frame(std::to_string(i)));
    for (int i = 0; i < 10; ++i) ann.hears_pong(std::to_string(i));
    ann.send(text_frame("last") + close_frame(1000, "bye") +
             text_frame("nothing of this"));
    ann.hears("last");
    ann.is_closed(1000);
}

TEST_CASE("echo takes a frame in segments of one byte") {
    Daemon echo = Daemon::echo();
    Peer pacer = join(echo);
    Peer ann = join(echo);
    const std::string message =
        "caf\xc3\xa9 \xf0\x9f\x98\x80 " + std::string(200, 'x');
    send_one_by_one(ann, text_frame(message) + ping_frame("p"), pacer);
    ann.hears(message);
    ann.hears_pong("p");
}

TEST_CASE("echo's limit is its second argument") {
    Daemon echo = Daemon::echo(1000);
    Peer ann = join(echo);
    ann.say(std::string(1000, 'x'));
    ann.hears(std::string(1000, 'x'));
    ann.send(frame_header(0x81, 1001));
    ann.is_closed(1009);
}

TEST_CASE("echo takes no raw JSON, with a handshake or without") {
    Daemon echo = Daemon::echo();
    Peer publisher(echo);
    publisher.send("{\"a\":1}\r\n\r\n");
    publisher.is_refused(400);
    Peer ann = join(echo);
    ann.send("{\"a\":1}");
    ann.is_closed(1002);
}

TEST_CASE("echo reads a client only while that client is owed nothing") {
    Daemon echo = Daemon::echo();
    Peer reader = join(echo);
    Peer ann = join(SocketAddress::v4(echo.port()), 4096);
    const std::string message(1 << 20, '*');
    std::string sent;
    int messages = 0;
    // Until the connection holds no more: then nobody has read for a while.
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
    reader.say("meanwhile");
    reader.hears("meanwhile");
    for (int i = 0; i < messages; ++i) CHECK((ann.next_text() == message));
    if (!is_instrumented(echo.pid()))
        CHECK(peak_memory(echo.pid()) < 32 * 1024);
}
