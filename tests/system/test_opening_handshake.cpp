// The opening handshake: RFC 6455, section 4.2, and its limits.
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "daemon.h"
#include "peer.h"

using namespace wschat::test;

namespace {

const std::string kHost = "Host: 127.0.0.1\r\n";
const std::string kUpgrade = "Upgrade: websocket\r\n";
const std::string kConnection = "Connection: Upgrade\r\n";
const std::string kVersion = "Sec-WebSocket-Version: 13\r\n";
const std::string kKeyLine = std::string("Sec-WebSocket-Key: ") + kKey + "\r\n";
const std::string kGet = "GET / HTTP/1.1\r\n";

/// A row of a table: a request head without its empty line.
struct Request {
    const char* name;
    std::string head;
};

std::string with_key(const std::string& key) {
    return kGet + kHost + kUpgrade + kConnection + kVersion +
           "Sec-WebSocket-Key: " + key + "\r\n";
}

void check_accepted(const Daemon& daemon, const std::vector<Request>& table) {
    for (const Request& request : table) {
        INFO("request: " << request.name);
        Peer peer(daemon);
        peer.send(request.head + "\r\n");
        const ReceivedResponse response = peer.read_response();
        CHECK_MESSAGE(response.status == 101, response.head);
        if (response.status != 101) continue;
        CHECK(response.header("Sec-WebSocket-Accept") == kAccept);
        peer.sync();
    }
}

void check_refused(const Daemon& daemon, int status,
                   const std::vector<Request>& table) {
    for (const Request& request : table) {
        INFO("request: " << request.name);
        Peer peer(daemon);
        peer.send(request.head + "\r\n");
        peer.expect_refused(status);
    }
}

std::string head_of_size(size_t size) {
    const std::string start =
        kGet + kHost + kUpgrade + kConnection + kVersion + kKeyLine + "X: ";
    return start + std::string(size - start.size() - 4, 'x') + "\r\n\r\n";
}

std::string head_of_lines(int lines) {
    std::string head =
        kGet + kHost + kUpgrade + kConnection + kVersion + kKeyLine;
    for (int i = 6; i < lines; ++i) head += "X: y\r\n";
    return head + "\r\n";
}

}  // namespace

TEST_CASE("the response is that of RFC 6455") {
    Daemon daemon;
    Peer ann(daemon);
    ann.send(handshake());
    const ReceivedResponse response = ann.read_response();
    CHECK(response.head.rfind("HTTP/1.1 101 ", 0) == 0);
    CHECK(printable(response.header("Upgrade")) == printable("websocket"));
    CHECK(printable(response.header("Connection")) == printable("Upgrade"));
    CHECK(response.header("Sec-WebSocket-Accept") == kAccept);

    Peer bob(daemon);
    bob.send(with_key("x3JJHMbDL1EzLkh9GBhXDw==") + "\r\n");
    CHECK(bob.read_response().header("Sec-WebSocket-Accept") ==
          "HSmrc0sMlYUkAGmm5OPpG2HaGWk=");
}

TEST_CASE("the response has the origin and location of the tutorial's server") {
    const struct {
        const char* host;
        const char* scheme;
        const char* in_url;
    } kSites[] = {{"127.0.0.1", "ws", "127.0.0.1"},
                  {"localhost", "ws", "localhost"},
                  {"chat.local.test", "ws", "chat.local.test"},
                  {"LOCAL.test", "ws", "LOCAL.test"},
                  {"localnet.example.org", "wss", "localnet.example.org"},
                  {"chat.example.org", "wss", "chat.example.org"},
                  {"192.0.2.1", "wss", "192.0.2.1"}};
    for (const auto& site : kSites) {
        Daemon daemon({"--bind=127.0.0.1"}, site.host);
        Peer ann(daemon);
        ann.send(handshake());
        const ReceivedResponse response = ann.read_response();
        CHECK(response.header("WebSocket-Origin") == site.host);
        CHECK(response.header("WebSocket-Location") ==
              std::string(site.scheme) + "://" + site.in_url + ":" +
                  std::to_string(daemon.port()) + "/websocket.php");
    }
}

TEST_CASE("an IPv6 host is in brackets in the location") {
    Daemon daemon({}, "::1");
    Peer ann(SocketAddress::v6(daemon.port()));
    ann.send(handshake());
    CHECK(ann.read_response().header("WebSocket-Location") ==
          "ws://[::1]:" + std::to_string(daemon.port()) + "/websocket.php");
}

TEST_CASE("unknown subprotocols and extensions are ignored") {
    Daemon daemon;
    Peer ann(daemon);
    ann.send(handshake("/",
                       "Sec-WebSocket-Protocol: chat, superchat\r\n"
                       "Sec-WebSocket-Extensions: x-unknown; a=\"b, c\"\r\n"
                       "Sec-WebSocket-Extensions: \r\n"));
    const ReceivedResponse response = ann.read_response();
    CHECK(response.status == 101);
    CHECK(response.head.find("Sec-WebSocket-Protocol") == std::string::npos);
    CHECK(response.head.find("Sec-WebSocket-Extensions") == std::string::npos);
    ann.sync();
}

TEST_CASE("a handshake may be written in any way that HTTP allows") {
    Daemon daemon;
    const std::string rest = kVersion + kKeyLine;
    check_accepted(
        daemon,
        {{"as browsers do", kGet + kHost + kUpgrade + kConnection + rest},
         {"names in lower case",
          kGet +
              "host: a\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
              "sec-websocket-version: 13\r\nsec-websocket-key: " +
              kKey + "\r\n"},
         {"names and tokens in upper case",
          kGet +
              "HOST: A\r\nUPGRADE: WEBSOCKET\r\nCONNECTION: UPGRADE\r\n"
              "SEC-WEBSOCKET-VERSION: 13\r\nSEC-WEBSOCKET-KEY: " +
              kKey + "\r\n"},
         {"Firefox's Connection", kGet + kHost + kUpgrade +
                                      "Connection: keep-alive, Upgrade\r\n" +
                                      rest},
         {"empty elements",
          kGet + kHost + kUpgrade + "Connection: ,, \tupgrade ,\r\n" + rest},
         {"Connection on two lines", kGet + kHost + kUpgrade +
                                         "Connection: keep-alive\r\n" +
                                         kConnection + rest},
         {"Upgrade on two lines",
          kGet + kHost + "Upgrade: h2c\r\n" + kUpgrade + kConnection + rest},
         {"several upgrades",
          kGet + kHost + "Upgrade: h2c, WebSocket\r\n" + kConnection + rest},
         {"no blanks after the colons",
          kGet +
              "Host:a\r\nUpgrade:websocket\r\nConnection:Upgrade\r\n"
              "Sec-WebSocket-Version:13\r\nSec-WebSocket-Key:" +
              kKey + "\r\n"},
         {"blanks and tabs around the values",
          kGet + "Host: \t a \r\nUpgrade:\twebsocket\t\r\n" +
              "Connection:   Upgrade  \r\nSec-WebSocket-Version: 13 \r\n" +
              "Sec-WebSocket-Key: \t" + kKey + "\t \r\n"},
         {"any order, Host last",
          kGet + kKeyLine + kVersion + kConnection + kUpgrade + kHost},
         {"a host with a port", kGet + "Host: chat.example.org:9600\r\n" +
                                    kUpgrade + kConnection + rest},
         {"an Origin and other lines",
          kGet + kHost + kUpgrade + kConnection + rest +
              "Origin: http://127.0.0.1:1\r\nCookie: a=b\r\nX-Empty:\r\n" +
              "Pragma: no-cache\r\nX-Latin: caf\xe9\r\n"},
         {"a body of no bytes", kGet + kHost + kUpgrade + kConnection + rest +
                                    "Content-Length: 0\r\n"},
         {"a later HTTP/1",
          "GET / HTTP/1.2\r\n" + kHost + kUpgrade + kConnection + rest}});
}

TEST_CASE("without --rooms any path and query is accepted") {
    Daemon daemon;
    for (const std::string target :
         {"/", "/websocket.php", "/a/b/c", "/?token=x&y=%20{}", "/%00%ff", "//",
          "/a?b?c=/d", "http://127.0.0.1/chat?x=y"}) {
        CAPTURE(target);
        Peer peer(daemon);
        peer.send(handshake(target));
        CHECK(peer.read_response().status == 101);
    }
}

TEST_CASE("a handshake that lacks a header is refused with 400") {
    Daemon daemon;
    check_refused(
        daemon, 400,
        {{"no Host", kGet + kUpgrade + kConnection + kVersion + kKeyLine},
         {"two Hosts",
          kGet + kHost + kHost + kUpgrade + kConnection + kVersion + kKeyLine},
         {"no Upgrade", kGet + kHost + kConnection + kVersion + kKeyLine},
         {"another upgrade", kGet + kHost + "Upgrade: h2c\r\n" + kConnection +
                                 kVersion + kKeyLine},
         {"a longer token", kGet + kHost + "Upgrade: websocket2\r\n" +
                                kConnection + kVersion + kKeyLine},
         {"no Connection", kGet + kHost + kUpgrade + kVersion + kKeyLine},
         {"another Connection", kGet + kHost + kUpgrade +
                                    "Connection: keep-alive\r\n" + kVersion +
                                    kKeyLine},
         {"a Connection that only holds the word",
          kGet + kHost + kUpgrade + "Connection: x-upgrade\r\n" + kVersion +
              kKeyLine},
         {"no key", kGet + kHost + kUpgrade + kConnection + kVersion}});
}

TEST_CASE("a key that is not 16 bytes in base64 is refused with 400") {
    Daemon daemon;
    check_refused(
        daemon, 400,
        {{"empty", with_key("")},
         {"15 bytes", with_key("MDEyMzQ1Njc4OTAxMjM0")},
         {"17 bytes", with_key("MDEyMzQ1Njc4OTAxMjM0NTY=")},
         {"no padding", with_key("dGhlIHNhbXBsZSBub25jZQ")},
         {"half of the padding", with_key("dGhlIHNhbXBsZSBub25jZQ=")},
         {"too much padding", with_key("dGhlIHNhbXBsZSBub25jZQ===")},
         {"padding inside", with_key("dGhlIHNh==BsZSBub25jZQ==")},
         {"a character of another alphabet",
          with_key("dGhlIHNhbXBsZSBub25j-_==")},
         {"a blank inside", with_key("dGhlIHNhbXBs ZSBub25jZQ==")},
         {"a character behind", with_key("dGhlIHNhbXBsZSBub25jZQ==x")},
         {"two keys", with_key(kKey) + kKeyLine}});
}

TEST_CASE("a version other than 13 is refused with 426, which names 13") {
    Daemon daemon;
    const std::string head = kGet + kHost + kUpgrade + kConnection + kKeyLine;
    check_refused(daemon, 426,
                  {{"none", head},
                   {"8", head + "Sec-WebSocket-Version: 8\r\n"},
                   {"12", head + "Sec-WebSocket-Version: 12\r\n"},
                   {"130", head + "Sec-WebSocket-Version: 130\r\n"},
                   {"1", head + "Sec-WebSocket-Version: 1\r\n"},
                   {"a word", head + "Sec-WebSocket-Version: 13x\r\n"},
                   {"empty", head + "Sec-WebSocket-Version:\r\n"}});
}

TEST_CASE("a method other than GET is refused with 405") {
    Daemon daemon;
    const std::string rest = " / HTTP/1.1\r\n" + kHost + kUpgrade +
                             kConnection + kVersion + kKeyLine;
    check_refused(daemon, 405,
                  {{"POST", "POST" + rest},
                   {"PUT", "PUT" + rest},
                   {"get", "get" + rest},
                   {"an unknown one", "GETX" + rest}});
}

TEST_CASE("a handshake with a body is refused with 400") {
    Daemon daemon;
    const std::string head =
        kGet + kHost + kUpgrade + kConnection + kVersion + kKeyLine;
    check_refused(
        daemon, 400,
        {{"a length", head + "Content-Length: 5\r\n"},
         {"a huge length", head + "Content-Length: 99999999999999999999\r\n"},
         {"a length that is no number", head + "Content-Length: five\r\n"},
         {"a negative length", head + "Content-Length: -1\r\n"},
         {"two lengths", head + "Content-Length: 0\r\nContent-Length: 5\r\n"},
         {"chunks", head + "Transfer-Encoding: chunked\r\n"},
         {"chunks and a length",
          head + "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n"}});
}

TEST_CASE("a head that is not HTTP/1.1 is refused with 400") {
    Daemon daemon;
    const std::string rest =
        kHost + kUpgrade + kConnection + kVersion + kKeyLine;
    check_refused(
        daemon, 400,
        {{"no request line", "\r\n" + rest},
         {"a word", "hello\r\n" + rest},
         {"no version", "GET /\r\n" + rest},
         {"no target", "GET HTTP/1.1\r\n" + rest},
         {"two blanks before the version", "GET /  HTTP/1.1\r\n" + rest},
         {"two blanks before the target", "GET  / HTTP/1.1\r\n" + rest},
         {"a blank in the target", "GET /a b HTTP/1.1\r\n" + rest},
         {"a blank at the end", "GET / HTTP/1.1 \r\n" + rest},
         {"a blank at the start", " GET / HTTP/1.1\r\n" + rest},
         {"a tab", "GET\t/ HTTP/1.1\r\n" + rest},
         {"the version in lower case", "GET / http/1.1\r\n" + rest},
         {"no number", "GET / HTTP/x\r\n" + rest},
         {"another protocol", "GET / ICAP/1.1\r\n" + rest},
         {"HTTP/1.0", "GET / HTTP/1.0\r\n" + rest},
         {"a blank before the colon", kGet + "X : y\r\n" + rest},
         {"a tab before the colon", kGet + "X\t: y\r\n" + rest},
         {"a name with a blank in it", kGet + "X Y: z\r\n" + rest},
         {"a line without a colon", kGet + "nonsense\r\n" + rest},
         {"an empty name", kGet + ": y\r\n" + rest},
         {"a folded line", kGet + "X: y\r\n z\r\n" + rest},
         {"a blank before the first line", kGet + " X: y\r\n" + rest},
         {"a name with a bracket", kGet + "X(: y\r\n" + rest}});
}

TEST_CASE("a byte that no request may have is refused at once") {
    Daemon daemon({timed("--handshake-timeout", 600)});
    const struct {
        const char* name;
        std::string start;
    } kStarts[] = {
        {"a bare LF", "GET / HTTP/1.1\n"},
        {"a bare LF in a header line", kGet + "Host: a\n"},
        {"a bare CR", kGet + "Host: a\rb"},
        {"a bare CR at a line's end", kGet + "Host: a\r\r\n"},
        {"a NUL", kGet + std::string("Host: a\0", 8)},
        {"a NUL at the very start", std::string(1, '\0')},
        {"a TLS handshake", bytes({0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3})}};
    for (const auto& row : kStarts) {
        INFO("start: " << row.name);
        Peer peer(daemon);
        peer.send(row.start);
        peer.expect_refused(400);
    }
}

TEST_CASE("a head of 8 KiB is accepted, a larger one refused with 431") {
    Daemon daemon;
    check_accepted(daemon, {{"8 KiB", head_of_size(8192).substr(0, 8190)}});

    Peer larger(daemon);
    larger.send(head_of_size(8200));
    larger.expect_refused(431);

    Peer endless(daemon);
    endless.send(kGet + "X: " + std::string(8192, 'x'));
    endless.expect_refused(431);

    Peer one_line(daemon);
    one_line.send("GET /" + std::string(9000, 'x'));
    one_line.expect_refused(431);
}

TEST_CASE("a head of 100 lines is accepted, a longer one refused with 431") {
    Daemon daemon;
    Peer peer(daemon);
    peer.send(head_of_lines(99));
    CHECK(peer.read_response().status == 101);

    Peer longer(daemon);
    longer.send(head_of_lines(102));
    longer.expect_refused(431);
}

TEST_CASE("a handshake may arrive in any pieces") {
    Daemon daemon;
    Peer observer = join(daemon);
    const std::string request = handshake("/chat");
    for (size_t cut = 1; cut < request.size(); ++cut) {
        CAPTURE(cut);
        Peer peer(daemon);
        send_in_two(peer, request, cut, observer);
        CHECK(peer.read_response().status == 101);
    }
    Peer peer(daemon);
    send_one_by_one(peer, request, observer);
    CHECK(peer.read_response().status == 101);
    peer.sync();
}

TEST_CASE("frames may follow in the same segment as the handshake") {
    Daemon daemon;
    Peer ann = join(daemon);
    Peer bob(daemon);
    const std::string start = text_frame("[3]");
    bob.send(handshake() + text_frame("[1]") + ping_frame("p") +
             text_frame("[2]") + start.substr(0, 5));
    CHECK(bob.read_response().status == 101);
    ann.expect_message("[1]");
    ann.expect_message("[2]");
    bob.send(start.substr(5));
    ann.expect_message("[3]");
}

TEST_CASE("a refusal arrives whole although the peer goes on sending") {
    Daemon daemon;
    Peer peer(daemon);
    peer.send("POST / HTTP/1.1\r\n" + kHost +
              "Content-Length: 1000000\r\n\r\n");
    peer.send(std::string(1000000, 'x'));
    peer.expect_refused(403);
}

TEST_CASE("bytes after a refused request are ignored") {
    Daemon daemon;
    Peer ann = join(daemon);
    Peer peer(daemon);
    peer.send("GET /x HTTP/1.1\r\n" + kHost + "\r\n" + handshake() +
              text_frame("[1]"));
    peer.expect_refused(404);
    peer.close_socket();
    ann.send_message("\"nothing before\"");
    ann.expect_message("\"nothing before\"");
}

TEST_CASE("a silent connection gets 408 and affects no client") {
    Daemon daemon({timed("--handshake-timeout", 0.5), "--announce=address"});
    Peer silent(daemon);
    Peer ann = join(daemon);
    ann.expect_message(kConnected);
    ann.send_message("[1]");
    ann.expect_message("[1]");
    silent.expect_refused(408);
    silent.close_socket();
    ann.send_message("[2]");
    ann.expect_message("[2]");
}

TEST_CASE("bytes do not extend the handshake's deadline") {
    Daemon daemon({timed("--handshake-timeout", 0.5)});
    Peer slow(daemon);
    slow.send("GET / HTTP/1.1\r\nX: ");
    for (int i = 0; i < 8000 && !slow.has_input(20); ++i) slow.send("x");
    slow.expect_refused(408);
}

TEST_CASE("the handshake's deadline ends with the handshake") {
    Daemon daemon({timed("--handshake-timeout", 0.5)});
    Peer idle = join(daemon);
    Peer silent(daemon);
    silent.expect_refused(408);
    idle.sync();
}

TEST_CASE("a peer that leaves before its handshake is not announced") {
    Daemon daemon({"--announce=address"});
    Peer ann = join(daemon);
    ann.expect_message(kConnected);
    Peer closing(daemon);
    closing.send("GET / HT");
    closing.half_close();
    closing.expect_eof();
    Peer resetting(daemon);
    resetting.send("GET / HT");
    ann.sync();
    resetting.reset();
    Peer silent(daemon);
    silent.half_close();
    silent.expect_eof();
    ann.send_message("[1]");
    ann.expect_message("[1]");
}

TEST_CASE("100 silent connections do not keep other clients out") {
    Daemon daemon;
    std::vector<Peer> silent;
    for (int i = 0; i < 100; ++i) silent.emplace_back(daemon);
    Peer ann = join(daemon);
    ann.send_message("[1]");
    ann.expect_message("[1]");
}
