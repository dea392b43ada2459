// Raw JSON: objects without frames, from clients between their frames and
// from local peers without a handshake.
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

// Braces and quotes wherever they could mislead.
const std::string kTricky =
    R"({"a{":"}","b":{"c":["}{",{"d":"\"}"}]},"e\\":"\\","f":"\\\"}{"})";

void check_notice_line(const std::string& line, const std::string& part) {
    CAPTURE(line);
    CHECK(line.rfind(R"({"type":"error","message":")", 0) == 0);
    CHECK(line.substr(line.size() - 2) == "\"}");
    CHECK(line.find(part) != std::string::npos);
}

// An IPv4 address other than loopback ones; empty if there is none.
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
    publisher.hears_end();
    ann.hears(R"({"type":"system","message":"hi"})");
}

TEST_CASE("local peers are those on IPv4, IPv6 and unix sockets") {
    ScratchDirectory scratch;
    Daemon daemon({"--bind=127.0.0.1", "--bind=127.0.0.9", "--bind=::1",
                   "--bind=unix:" + scratch / "chat"});
    Peer ann = join(daemon);
    for (const SocketAddress& address :
         {SocketAddress::v4(daemon.port()), SocketAddress::v4(daemon.port(), "127.0.0.9"),
          SocketAddress::v6(daemon.port()), SocketAddress::unix_socket(scratch / "chat")}) {
        Peer publisher(address);
        publisher.send("{\"a\":1}");
        publisher.half_close();
        publisher.hears_end();
        ann.hears("{\"a\":1}");
    }
}

TEST_CASE("IPv4 peers of an IPv6 wildcard are local too") {
    Daemon daemon({}, "chat.example.org");
    Peer ann = join(daemon);
    Peer publisher(daemon);
    publisher.send("{\"a\":1}");
    ann.hears("{\"a\":1}");
}

TEST_CASE("a publisher hears nothing of the chat") {
    Daemon daemon({"--announce=address"});
    Peer publisher(daemon);
    publisher.send("{\"a\":1}");
    Peer ann = join(daemon);
    ann.hears(kConnected);
    ann.say("[1]");
    ann.hears("[1]");
    publisher.send("{\"a\":2}");
    ann.hears("{\"a\":2}");
    publisher.half_close();
    publisher.hears_end();
    ann.say("[2]");
    ann.hears("[2]");
}

TEST_CASE("a publisher sends objects one after another") {
    Daemon daemon;
    Peer ann = join(daemon);
    Peer publisher(daemon);
    publisher.send("{\"a\":1}{\"a\":2} {\"a\":3}\r\n\t {\"a\":4}\n\n");
    publisher.send("  {\"a\":5} ");
    publisher.half_close();
    publisher.hears_end();
    for (int i = 1; i <= 5; ++i) ann.hears("{\"a\":" + std::to_string(i) + "}");
}

TEST_CASE("a thousand raw objects arrive in order") {
    Daemon daemon;
    Peer ann = join(daemon);
    Peer publisher(daemon);
    std::string all;
    for (int i = 0; i < 1000; ++i) all += "{\"a\":" + std::to_string(i) + "}\n";
    publisher.send(all);
    for (int i = 0; i < 1000; ++i)
        ann.hears("{\"a\":" + std::to_string(i) + "}");
}

TEST_CASE("an object ends where its braces close, however it is cut") {
    Daemon daemon;
    Peer pacer = join(daemon);
    for (size_t cut = 1; cut < kTricky.size(); ++cut) {
        CAPTURE(cut);
        Peer publisher(daemon);
        send_in_two(publisher, kTricky, cut, pacer);
        pacer.hears(kTricky);
        send_in_two(publisher, kTricky + " ", cut, pacer);
        pacer.hears(kTricky);
    }
    Peer publisher(daemon);
    send_one_by_one(publisher, kTricky + kTricky, pacer);
    pacer.hears(kTricky);
    pacer.hears(kTricky);
}

TEST_CASE("a publisher is told in lines what was not relayed, and goes on") {
    Daemon daemon;
    Peer ann = join(daemon);
    Peer publisher(daemon);
    publisher.send("{\"a\":1,}");
    check_notice_line(publisher.line(), "not relayed: ");
    publisher.send("{nonsense}\n{\"a\":\"\xff\"}");
    check_notice_line(publisher.line(), "at byte 1\"");
    check_notice_line(publisher.line(), "at byte 6\"");
    publisher.send("{\"a\":2}");
    ann.hears("{\"a\":2}");
}

TEST_CASE("a publisher may send system, but no other reserved type") {
    Daemon daemon;
    Peer ann = join(daemon);
    Peer publisher(daemon);
    for (const char* type : {"error", "hello", "ping", "pong"}) {
        publisher.send(std::string("{\"type\":\"") + type + "\"}");
        CHECK(publisher.line() ==
              R"({"type":"error","message":"not relayed: the type \")" +
                  std::string(type) + R"(\" is reserved"})");
    }
    publisher.send(R"({"type":"system","type":"ping"})");
    check_notice_line(publisher.line(), "ping");
    publisher.send(R"({"type":"syst\u0065m"})");
    ann.hears(R"({"type":"syst\u0065m"})");
}

TEST_CASE("garbage between objects is noticed and ends the connection") {
    Daemon daemon;
    Peer ann = join(daemon);
    for (const std::string garbage : {"x", "[1]", "\"a\"", "}", ",", "\v"}) {
        CAPTURE(garbage);
        Peer publisher(daemon);
        publisher.send(std::string("{\"a\":1} ") + garbage + "{\"a\":2}");
        check_notice_line(publisher.line(), "");
        publisher.hears_end();
        ann.hears("{\"a\":1}");
    }
    Peer frames(daemon);
    frames.send("{\"a\":3}" + text_frame("[4]"));
    check_notice_line(frames.line(), "");
    frames.hears_end();
    ann.hears("{\"a\":3}");
    ann.say("[1]");
    ann.hears("[1]");
}

TEST_CASE("an object that is not complete at the end is noticed") {
    Daemon daemon;
    Peer ann = join(daemon);
    for (const std::string start : {"{", "{\"a\":1", "{\"a\":1} {\"b\":{}"}) {
        CAPTURE(start);
        Peer publisher(daemon);
        publisher.send(start);
        publisher.half_close();
        check_notice_line(publisher.line(), "");
        publisher.hears_end();
    }
    ann.hears("{\"a\":1}");
    ann.say("[1]");
    ann.hears("[1]");
}

TEST_CASE("a raw object is bounded by the message limit") {
    Daemon daemon({"--max-message=1K"});
    Peer ann = join(daemon);
    const std::string fits = "{\"a\":" + json_string(1018) + "}";
    REQUIRE(fits.size() == 1024);
    Peer publisher(daemon);
    publisher.send(fits);
    ann.hears(fits);
    publisher.send("{\"a\":" + json_string(1019) + "}");
    check_notice_line(publisher.line(), "");

    Peer endless(daemon);
    endless.send("{\"a\":\"" + std::string(1019, 'x'));
    check_notice_line(endless.line(), "");
    endless.hears_end();

    Peer in_pieces(daemon);
    send_in_two(in_pieces, "{\"a\":\"" + std::string(1019, 'x'), 600, ann);
    check_notice_line(in_pieces.line(), "");
    in_pieces.hears_end();

    Peer bob = join(daemon);
    bob.send(fits);
    ann.hears(fits);
    bob.hears(fits);
    bob.send("{\"a\":\"" + std::string(1019, 'x'));
    bob.is_closed(1009);
    Peer eve = join(daemon);
    send_in_two(eve, "{\"a\":\"" + std::string(1019, 'x'), 600, ann);
    eve.is_closed(1009);
    ann.say("[1]");
    ann.hears("[1]");
}

TEST_CASE("an object must be complete before its deadline") {
    Daemon daemon({timed("--handshake-timeout", 0.5)});
    Peer ann = join(daemon);
    Peer publisher(daemon);
    publisher.send("{\"a\":1}{\"b\":");
    ann.hears("{\"a\":1}");
    publisher.is_gone();
    ann.say("[1]");
    ann.hears("[1]");
}

TEST_CASE("a publisher may be idle between objects") {
    Daemon daemon({timed("--handshake-timeout", 0.5)});
    Peer ann = join(daemon);
    Peer publisher(daemon);
    publisher.send("{\"a\":1}");
    ann.hears("{\"a\":1}");
    Peer(daemon).is_refused(408);
    publisher.send("{\"a\":2}");
    ann.hears("{\"a\":2}");
}

TEST_CASE("strangers publish nothing without a handshake") {
    const std::string own = address_of_this_machine();
    if (own.empty()) {
        MESSAGE("skipped: this machine has no address but loopback ones");
        return;
    }
    // The kernel keeps what goes to an address of its own to itself.
    Daemon daemon({"--bind=" + own, "--bind=127.0.0.1"});
    Peer ann = join(daemon);
    Peer stranger(SocketAddress::v4(daemon.port(), own.c_str()));
    stranger.send("{\"a\":1}\r\n\r\n");
    stranger.is_refused(400);
    Peer bob = join(SocketAddress::v4(daemon.port(), own.c_str()));
    bob.send("{\"a\":2}");
    ann.hears("{\"a\":2}");
}

TEST_CASE("raw JSON without a handshake begins with the very first byte") {
    Daemon daemon;
    Peer ann = join(daemon);
    for (const std::string start :
         {" {\"a\":1}\r\n\r\n", "\r\n{\"a\":1}\r\n\r\n",
          "[{\"a\":1}]\r\n\r\n"}) {
        CAPTURE(start);
        Peer publisher(daemon);
        publisher.send(start);
        publisher.is_refused(400);
    }
    Peer later(daemon);
    const std::string start = "GET / HTTP/1.1\r\nX: ";
    send_in_two(later, start + "{\"a\":1}\r\n\r\n", start.size(), ann);
    later.is_refused(400);
    ann.say("[1]");
    ann.hears("[1]");
}

TEST_CASE("an HTTP request's body is never raw JSON") {
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
        at_once.is_refused(request.status);
        Peer in_two(daemon);
        send_in_two(in_two, request.method + rest + request.more + body,
                    (request.method + rest + request.more).size(), ann);
        in_two.is_refused(request.status);
    }
    ann.say("[1]");
    ann.hears("[1]");
}

TEST_CASE("a client may leave out framing after its handshake") {
    Daemon daemon;
    Peer ann = join(daemon);
    Peer bob = join(daemon);
    bob.send(kTricky + " " + kTricky + "\n");
    for (Peer* peer : {&ann, &bob}) {
        peer->hears(kTricky);
        peer->hears(kTricky);
    }
}

TEST_CASE("raw objects may come in the handshake's own segment") {
    Daemon daemon;
    Peer ann = join(daemon);
    Peer bob(daemon);
    bob.send(handshake() + "{\"a\":1} {\"a\":2}" + text_frame("[3]"));
    ann.hears("{\"a\":1}");
    ann.hears("{\"a\":2}");
    ann.hears("[3]");
}

TEST_CASE("frames and raw objects may follow each other") {
    Daemon daemon;
    Peer ann = join(daemon);
    ann.send("{\"a\":1}" + text_frame("[2]") + "{\"a\":3}\n" +
             first_fragment("[") + last_fragment("4]") + "{\"a\":5}\r\n" +
             close_frame(1000));
    for (const char* message :
         {"{\"a\":1}", "[2]", "{\"a\":3}", "[4]", "{\"a\":5}"})
        ann.hears(message);
    ann.is_closed(1000);
}

TEST_CASE("a client's raw object may be cut anywhere, as may what follows") {
    Daemon daemon;
    Peer pacer = join(daemon);
    const std::string stream = kTricky + "\n" + text_frame("[1]") + kTricky;
    for (size_t cut = 1; cut < stream.size(); ++cut) {
        CAPTURE(cut);
        Peer ann = join(daemon);
        send_in_two(ann, stream, cut, pacer);
        for (const std::string& message :
             {kTricky, std::string("[1]"), kTricky})
            pacer.hears(message);
        ann.hang_up();
    }
    Peer ann = join(daemon);
    send_one_by_one(ann, stream, pacer);
    for (const std::string& message : {kTricky, std::string("[1]"), kTricky})
        ann.hears(message);
}

TEST_CASE("a client's raw object is judged as any message of its") {
    Daemon daemon;
    Peer ann = join(daemon);
    Peer bob = join(daemon);
    bob.send("{\"type\":\"system\"}");
    bob.hears_notice("the type \\\"system\\\" is reserved");
    bob.send("{\"a\":1,}");
    bob.hears_notice("at byte 7");
    bob.send("{\"a\":\"\xff\"}");
    bob.hears_notice("at byte 6");
    bob.send("{}");
    ann.hears("{}");
}

TEST_CASE("a brace inside a fragmented message is no raw object") {
    Daemon daemon;
    Peer ann = join(daemon);
    Peer bob = join(daemon);
    bob.send(first_fragment("[1,") + "{\"a\":1}" + last_fragment("2]"));
    bob.is_closed(1002);
    ann.say("[1]");
    ann.hears("[1]");
}

TEST_CASE("white space is skipped behind a raw object alone") {
    Daemon daemon;
    Peer ann = join(daemon);
    ann.send(text_frame("[1]") + "\n");
    ann.hears("[1]");
    ann.is_closed(1002);
}

TEST_CASE("--no-raw takes no raw JSON from anyone") {
    ScratchDirectory scratch;
    Daemon daemon(
        {"--no-raw", "--bind=127.0.0.1", "--bind=unix:" + scratch / "chat"});
    Peer ann = join(daemon);
    for (const SocketAddress& address :
         {SocketAddress::v4(daemon.port()), SocketAddress::unix_socket(scratch / "chat")}) {
        Peer publisher(address);
        publisher.send("{\"a\":1}\r\n\r\n");
        publisher.is_refused(400);
    }
    Peer bob = join(daemon);
    bob.send("{\"a\":1}");
    bob.is_closed(1002);
    ann.say("[1]");
    ann.hears("[1]");
}

TEST_CASE("a publisher that is reset is forgotten") {
    Daemon daemon;
    Peer ann = join(daemon);
    Peer publisher(daemon);
    publisher.send("{\"a\":1}{\"b\":");
    ann.hears("{\"a\":1}");
    publisher.reset();
    ann.say("[1]");
    ann.hears("[1]");
}
