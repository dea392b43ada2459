// Raw JSON: objects without frames, sent by clients between their frames and by
// local peers without a handshake.
#include <string>
#include <vector>

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <ifaddrs.h>
#include <netinet/in.h>

#include "daemon.h"
#include "peer.h"

using namespace wschat::test;

namespace {

// Braces and quotes inside strings, which must not end the object.
const std::string kTricky =
    R"({"a{":"}","b":{"c":["}{",{"d":"\"}"}]},"e\\":"\\","f":"\\\"}{"})";

void check_notice_line(const std::string& line, const std::string& part) {
    CAPTURE(line);
    CHECK(line.rfind(R"({"type":"error","message":")", 0) == 0);
    CHECK(line.substr(line.size() - 2) == "\"}");
    CHECK(line.find(part) != std::string::npos);
}

// Returns an IPv4 address of this machine that is not loopback; empty if there
// is none.
std::string address_of_this_machine() {
    ifaddrs* list = nullptr;
    getifaddrs(&list);
    std::string found;
    for (const ifaddrs* entry = list; entry; entry = entry->ifa_next) {
        if (!entry->ifa_addr || entry->ifa_addr->sa_family != AF_INET) continue;
        const auto* in = reinterpret_cast<const sockaddr_in*>(entry->ifa_addr);
        if (ntohl(in->sin_addr.s_addr) >> 24 == 127) continue;
        found = inet_ntoa(in->sin_addr);
    }
    freeifaddrs(list);
    return found;
}

}  // namespace

TEST_CASE("a local peer publishes without a handshake") {
    Daemon daemon;
    Peer ann = join(daemon);
    Peer publisher(daemon);
    publisher.send(R"({"type":"system","message":"hi"})");
    publisher.half_close();
    publisher.expect_eof();
    ann.expect_message(R"({"type":"system","message":"hi"})");
}

TEST_CASE("loopback addresses and unix sockets are local peers") {
    ScratchDirectory scratch;
    Daemon daemon({"--bind=127.0.0.1", "--bind=127.0.0.9", "--bind=::1",
                   "--bind=unix:" + scratch / "chat"});
    Peer ann = join(daemon);
    for (const SocketAddress& address :
         {SocketAddress::v4(daemon.port()),
          SocketAddress::v4(daemon.port(), "127.0.0.9"),
          SocketAddress::v6(daemon.port()),
          SocketAddress::unix_socket(scratch / "chat")}) {
        Peer publisher(address);
        publisher.send("{\"a\":1}");
        publisher.half_close();
        publisher.expect_eof();
        ann.expect_message("{\"a\":1}");
    }
}

TEST_CASE("IPv4 peers of an IPv6 wildcard are local too") {
    Daemon daemon({}, "chat.example.org");
    Peer ann = join(daemon);
    Peer publisher(daemon);
    publisher.send("{\"a\":1}");
    ann.expect_message("{\"a\":1}");
}

TEST_CASE("a raw publisher gets no messages of the room") {
    Daemon daemon({"--announce=address"});
    Peer publisher(daemon);
    publisher.send("{\"a\":1}");
    Peer ann = join(daemon);
    ann.expect_message(kConnected);
    ann.send_message("[1]");
    ann.expect_message("[1]");
    publisher.send("{\"a\":2}");
    ann.expect_message("{\"a\":2}");
    publisher.half_close();
    publisher.expect_eof();
    ann.send_message("[2]");
    ann.expect_message("[2]");
}

TEST_CASE("a raw publisher may send one object after another") {
    Daemon daemon;
    Peer ann = join(daemon);
    Peer publisher(daemon);
    publisher.send("{\"a\":1}{\"a\":2} {\"a\":3}\r\n\t {\"a\":4}\n\n");
    publisher.send("  {\"a\":5} ");
    publisher.half_close();
    publisher.expect_eof();
    for (int i = 1; i <= 5; ++i)
        ann.expect_message("{\"a\":" + std::to_string(i) + "}");
}

TEST_CASE("a thousand raw objects arrive in order") {
    Daemon daemon;
    Peer ann = join(daemon);
    Peer publisher(daemon);
    std::string all;
    for (int i = 0; i < 1000; ++i) all += "{\"a\":" + std::to_string(i) + "}\n";
    publisher.send(all);
    for (int i = 0; i < 1000; ++i)
        ann.expect_message("{\"a\":" + std::to_string(i) + "}");
}

TEST_CASE("an object ends where its braces close, however it is cut") {
    Daemon daemon;
    Peer observer = join(daemon);
    for (size_t cut = 1; cut < kTricky.size(); ++cut) {
        CAPTURE(cut);
        Peer publisher(daemon);
        send_in_two(publisher, kTricky, cut, observer);
        observer.expect_message(kTricky);
        send_in_two(publisher, kTricky + " ", cut, observer);
        observer.expect_message(kTricky);
    }
    Peer publisher(daemon);
    send_one_by_one(publisher, kTricky + kTricky, observer);
    observer.expect_message(kTricky);
    observer.expect_message(kTricky);
}

TEST_CASE("a raw publisher gets a line for each refused object, and goes on") {
    Daemon daemon;
    Peer ann = join(daemon);
    Peer publisher(daemon);
    publisher.send("{\"a\":1,}");
    check_notice_line(publisher.read_line(), "not relayed: ");
    publisher.send("{nonsense}\n{\"a\":\"\xff\"}");
    check_notice_line(publisher.read_line(), "at byte 1\"");
    check_notice_line(publisher.read_line(), "at byte 6\"");
    publisher.send("{\"a\":2}");
    ann.expect_message("{\"a\":2}");
}

TEST_CASE(
    "a raw publisher may send the type system, and no other reserved type") {
    Daemon daemon;
    Peer ann = join(daemon);
    Peer publisher(daemon);
    for (const char* type : {"error", "hello", "ping", "pong"}) {
        publisher.send(std::string("{\"type\":\"") + type + "\"}");
        CHECK(publisher.read_line() ==
              R"({"type":"error","message":"not relayed: the type \")" +
                  std::string(type) + R"(\" is reserved"})");
    }
    publisher.send(R"({"type":"system","type":"ping"})");
    check_notice_line(publisher.read_line(), "ping");
    publisher.send(R"({"type":"syst\u0065m"})");
    ann.expect_message(R"({"type":"syst\u0065m"})");
}

TEST_CASE("a byte between objects that begins none ends the connection") {
    Daemon daemon;
    Peer ann = join(daemon);
    for (const std::string garbage : {"x", "[1]", "\"a\"", "}", ",", "\v"}) {
        CAPTURE(garbage);
        Peer publisher(daemon);
        publisher.send(std::string("{\"a\":1} ") + garbage + "{\"a\":2}");
        check_notice_line(publisher.read_line(), "");
        publisher.expect_eof();
        ann.expect_message("{\"a\":1}");
    }
    Peer frames(daemon);
    frames.send("{\"a\":3}" + text_frame("[4]"));
    check_notice_line(frames.read_line(), "");
    frames.expect_eof();
    ann.expect_message("{\"a\":3}");
    ann.send_message("[1]");
    ann.expect_message("[1]");
}

TEST_CASE("an incomplete object at EOF is answered with a notice") {
    Daemon daemon;
    Peer ann = join(daemon);
    for (const std::string start : {"{", "{\"a\":1", "{\"a\":1} {\"b\":{}"}) {
        CAPTURE(start);
        Peer publisher(daemon);
        publisher.send(start);
        publisher.half_close();
        check_notice_line(publisher.read_line(), "");
        publisher.expect_eof();
    }
    ann.expect_message("{\"a\":1}");
    ann.send_message("[1]");
    ann.expect_message("[1]");
}

TEST_CASE("a raw object may be as long as --max-message") {
    Daemon daemon({"--max-message=1K"});
    Peer ann = join(daemon);
    const std::string fits = "{\"a\":" + json_string(1018) + "}";
    REQUIRE(fits.size() == 1024);
    Peer publisher(daemon);
    publisher.send(fits);
    ann.expect_message(fits);
    publisher.send("{\"a\":" + json_string(1019) + "}");
    check_notice_line(publisher.read_line(), "");

    Peer endless(daemon);
    endless.send("{\"a\":\"" + std::string(1019, 'x'));
    check_notice_line(endless.read_line(), "");
    endless.expect_eof();

    Peer in_pieces(daemon);
    send_in_two(in_pieces, "{\"a\":\"" + std::string(1019, 'x'), 600, ann);
    check_notice_line(in_pieces.read_line(), "");
    in_pieces.expect_eof();

    Peer bob = join(daemon);
    bob.send(fits);
    ann.expect_message(fits);
    bob.expect_message(fits);
    bob.send("{\"a\":\"" + std::string(1019, 'x'));
    bob.expect_closed(1009);
    Peer eve = join(daemon);
    send_in_two(eve, "{\"a\":\"" + std::string(1019, 'x'), 600, ann);
    eve.expect_closed(1009);
    ann.send_message("[1]");
    ann.expect_message("[1]");
}

TEST_CASE("a raw object must be complete before its deadline") {
    Daemon daemon({timed("--handshake-timeout", 0.5)});
    Peer ann = join(daemon);
    Peer publisher(daemon);
    publisher.send("{\"a\":1}{\"b\":");
    ann.expect_message("{\"a\":1}");
    publisher.expect_gone();
    ann.send_message("[1]");
    ann.expect_message("[1]");
}

// Regression: a publisher whose reads always ended inside an object was closed
// at the deadline of the first one.
TEST_CASE("each raw object has a deadline of its own") {
    Timer timer;
    Daemon daemon({timed("--handshake-timeout", 2), "--ping-interval=0"});
    Peer ann = join(daemon);
    Peer publisher(daemon);
    publisher.send("{\"n\":");
    for (int i = 0; i < 6; ++i) {
        timer.wait();
        publisher.send("1}{\"n\":");
        ann.expect_message("{\"n\":1}");
    }
}

TEST_CASE("a raw publisher may be idle between objects") {
    Daemon daemon({timed("--handshake-timeout", 0.5)});
    Peer ann = join(daemon);
    Peer publisher(daemon);
    publisher.send("{\"a\":1}");
    ann.expect_message("{\"a\":1}");
    Peer(daemon).expect_refused(408);
    publisher.send("{\"a\":2}");
    ann.expect_message("{\"a\":2}");
}

TEST_CASE("a peer that is not local can't publish without a handshake") {
    const std::string address = address_of_this_machine();
    if (address.empty()) {
        MESSAGE("skipped: this machine has no address but loopback ones");
        return;
    }
    // The kernel delivers packets to an address of this machine itself.
    Daemon daemon({"--bind=" + address, "--bind=127.0.0.1"});
    Peer ann = join(daemon);
    Peer remote(SocketAddress::v4(daemon.port(), address.c_str()));
    remote.send("{\"a\":1}\r\n\r\n");
    remote.expect_refused(400);
    Peer bob = join(SocketAddress::v4(daemon.port(), address.c_str()));
    bob.send("{\"a\":2}");
    ann.expect_message("{\"a\":2}");
}

TEST_CASE("raw JSON without a handshake begins with the first byte") {
    Daemon daemon;
    Peer ann = join(daemon);
    for (const std::string start :
         {" {\"a\":1}\r\n\r\n", "\r\n{\"a\":1}\r\n\r\n",
          "[{\"a\":1}]\r\n\r\n"}) {
        CAPTURE(start);
        Peer publisher(daemon);
        publisher.send(start);
        publisher.expect_refused(400);
    }
    Peer later(daemon);
    const std::string start = "GET / HTTP/1.1\r\nX: ";
    send_in_two(later, start + "{\"a\":1}\r\n\r\n", start.size(), ann);
    later.expect_refused(400);
    ann.send_message("[1]");
    ann.expect_message("[1]");
}

TEST_CASE("the body of an HTTP request is never raw JSON") {
    Daemon daemon({"--no-page"});
    Peer ann = join(daemon);
    const std::string rest =
        " / HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\n"
        "Content-Length: 7\r\n";
    const std::string body = "{\"a\":1}";
    const struct {
        const char* method;
        std::string more;
        int status;
    } kRequests[] = {{"POST", "\r\n", 403},
                     {"PUT", upgrade_lines() + "\r\n", 405},
                     {"GET", "\r\n", 404},
                     {"GET", upgrade_lines() + "\r\n", 400}};
    for (const auto& request : kRequests) {
        CAPTURE(request.status);
        Peer at_once(daemon);
        at_once.send(request.method + rest + request.more + body);
        at_once.expect_refused(request.status);
        Peer in_two(daemon);
        send_in_two(in_two, request.method + rest + request.more + body,
                    (request.method + rest + request.more).size(), ann);
        in_two.expect_refused(request.status);
    }
    ann.send_message("[1]");
    ann.expect_message("[1]");
}

TEST_CASE("a client may send raw JSON after its handshake") {
    Daemon daemon;
    Peer ann = join(daemon);
    Peer bob = join(daemon);
    bob.send(kTricky + " " + kTricky + "\n");
    for (Peer* peer : {&ann, &bob}) {
        peer->expect_message(kTricky);
        peer->expect_message(kTricky);
    }
}

TEST_CASE("raw objects may follow in the same segment as the handshake") {
    Daemon daemon;
    Peer ann = join(daemon);
    Peer bob(daemon);
    bob.send(handshake() + "{\"a\":1} {\"a\":2}" + text_frame("[3]"));
    ann.expect_message("{\"a\":1}");
    ann.expect_message("{\"a\":2}");
    ann.expect_message("[3]");
}

TEST_CASE("frames and raw objects may alternate") {
    Daemon daemon;
    Peer ann = join(daemon);
    ann.send("{\"a\":1}" + text_frame("[2]") + "{\"a\":3}\n" +
             first_fragment("[") + last_fragment("4]") + "{\"a\":5}\r\n" +
             close_frame(1000));
    for (const char* message :
         {"{\"a\":1}", "[2]", "{\"a\":3}", "[4]", "{\"a\":5}"})
        ann.expect_message(message);
    ann.expect_closed(1000);
}

TEST_CASE("a stream of raw objects and frames may be cut anywhere") {
    Daemon daemon;
    Peer observer = join(daemon);
    const std::string stream = kTricky + "\n" + text_frame("[1]") + kTricky;
    for (size_t cut = 1; cut < stream.size(); ++cut) {
        CAPTURE(cut);
        Peer ann = join(daemon);
        send_in_two(ann, stream, cut, observer);
        for (const std::string& message :
             {kTricky, std::string("[1]"), kTricky})
            observer.expect_message(message);
        ann.close_socket();
    }
    Peer ann = join(daemon);
    send_one_by_one(ann, stream, observer);
    for (const std::string& message : {kTricky, std::string("[1]"), kTricky})
        ann.expect_message(message);
}

TEST_CASE("a client's raw object is checked like its other messages") {
    Daemon daemon;
    Peer ann = join(daemon);
    Peer bob = join(daemon);
    bob.send("{\"type\":\"system\"}");
    bob.expect_notice("the type \\\"system\\\" is reserved");
    bob.send("{\"a\":1,}");
    bob.expect_notice("at byte 7");
    bob.send("{\"a\":\"\xff\"}");
    bob.expect_notice("at byte 6");
    bob.send("{}");
    ann.expect_message("{}");
}

TEST_CASE("a brace inside a fragmented message is no raw object") {
    Daemon daemon;
    Peer ann = join(daemon);
    Peer bob = join(daemon);
    bob.send(first_fragment("[1,") + "{\"a\":1}" + last_fragment("2]"));
    bob.expect_closed(1002);
    ann.send_message("[1]");
    ann.expect_message("[1]");
}

TEST_CASE("white space is ignored only behind a raw object") {
    Daemon daemon;
    Peer ann = join(daemon);
    ann.send(text_frame("[1]") + "\n");
    ann.expect_message("[1]");
    ann.expect_closed(1002);
}

TEST_CASE("with --no-raw raw JSON is refused from every peer") {
    ScratchDirectory scratch;
    Daemon daemon(
        {"--no-raw", "--bind=127.0.0.1", "--bind=unix:" + scratch / "chat"});
    Peer ann = join(daemon);
    for (const SocketAddress& address :
         {SocketAddress::v4(daemon.port()),
          SocketAddress::unix_socket(scratch / "chat")}) {
        Peer publisher(address);
        publisher.send("{\"a\":1}\r\n\r\n");
        publisher.expect_refused(400);
    }
    Peer bob = join(daemon);
    bob.send("{\"a\":1}");
    bob.expect_closed(1002);
    ann.send_message("[1]");
    ann.expect_message("[1]");
}

TEST_CASE("a raw publisher that is reset affects no client") {
    Daemon daemon;
    Peer ann = join(daemon);
    Peer publisher(daemon);
    publisher.send("{\"a\":1}{\"b\":");
    ann.expect_message("{\"a\":1}");
    publisher.reset();
    ann.send_message("[1]");
    ann.expect_message("[1]");
}
