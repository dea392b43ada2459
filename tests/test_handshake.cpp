#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "handshake.h"

using namespace wschat;

using State = HeadReader::State;

namespace {

const Site kSite{"chat.example.com",
                 "wss://chat.example.com:9600/websocket.php"};

// RFC 6455, section 1.2.
const char* const kExample[] = {
    "GET /chat HTTP/1.1",
    "Host: server.example.com",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Origin: http://example.com",
    "Sec-WebSocket-Protocol: chat, superchat",
    "Sec-WebSocket-Version: 13",
};

/// A request head, to begin with that of the RFC.
class Head {
public:
    Head() : lines_(std::begin(kExample), std::end(kExample)) {}

    Head& request_line(const std::string& line) {
        lines_[0] = line;
        return *this;
    }

    Head& with(const std::string& line) {
        lines_.push_back(line);
        return *this;
    }

    Head& without(const std::string& name) {
        lines_.erase(std::remove_if(lines_.begin() + 1, lines_.end(),
                                    [&](const std::string& line) {
                                        return line.rfind(name + ":", 0) == 0;
                                    }),
                     lines_.end());
        return *this;
    }

    /// This line instead of that of the same name.
    Head& instead(const std::string& line) {
        return without(line.substr(0, line.find(':'))).with(line);
    }

    size_t lines() const { return lines_.size(); }

    std::string text() const {
        std::string text;
        for (const std::string& line : lines_) text += line + "\r\n";
        return text + "\r\n";
    }

private:
    std::vector<std::string> lines_;
};

Answer answer_to(const Head& head) {
    return answer_request(head.text(), kSite);
}
int status_of(const Head& head) {
    return answer_to(head).status;
}

int status_of_line(const std::string& line) {
    return status_of(Head().request_line(line));
}

/// A request that is no handshake.
Head plain(const std::string& line) {
    return Head()
        .request_line(line)
        .without("Upgrade")
        .without("Connection")
        .without("Sec-WebSocket-Key")
        .without("Sec-WebSocket-Version")
        .without("Sec-WebSocket-Protocol");
}

bool has_line(const Answer& answer, const std::string& line) {
    const size_t head = answer.bytes.find("\r\n\r\n");
    return answer.bytes.find("\r\n" + line + "\r\n") < head;
}

/// What a HeadReader made of some bytes.
struct Read {
    State state;
    size_t taken;
    std::string text;
};

/// Feeds pieces of exactly their size, so that a sanitizer sees any look
/// behind their end, until the reader takes no more.
Read read(std::string_view bytes, size_t first, size_t size) {
    HeadReader reader;
    size_t taken = 0;
    for (size_t n = first; taken < bytes.size(); n = size) {
        const std::string_view piece = bytes.substr(taken, n);
        const std::vector<char> copy(piece.begin(), piece.end());
        const size_t used = reader.feed({copy.data(), copy.size()});
        taken += used;
        if (used < piece.size()) break;
    }
    return {reader.state(), taken, std::string(reader.text())};
}

/// At once, byte by byte, and in two pieces that are cut at every place.
void check_read(const std::string& bytes, State state, size_t taken) {
    int wrong = 0;
    const auto check_pieces = [&](size_t first, size_t size) {
        const Read found = read(bytes, first, size);
        if (found.state != state || found.taken != taken ||
            found.text != bytes.substr(0, taken))
            ++wrong;
    };
    CHECK((read(bytes, bytes.size(), 1).state == state));
    CHECK(read(bytes, bytes.size(), 1).taken == taken);
    check_pieces(bytes.size(), 1);
    check_pieces(1, 1);
    check_pieces(5, 3);
    for (size_t cut = 1; cut < bytes.size(); ++cut)
        check_pieces(cut, bytes.size());
    CHECK(wrong == 0);
}

/// Text of this many bytes that ends with the empty line.
std::string head_of_size(size_t size) {
    const std::string start = "GET / HTTP/1.1\r\nX: ";
    return start + std::string(size - start.size() - 4, 'x') + "\r\n\r\n";
}

std::string head_of_lines(size_t lines) {
    std::string head = "GET / HTTP/1.1\r\n";
    for (size_t i = 1; i < lines; ++i) head += "X: y\r\n";
    return head + "\r\n";
}

/// A refusal is a whole HTTP answer with a line of text in it.
void check_refusal(const Answer& answer) {
    CAPTURE(answer.bytes);
    const std::string status = std::to_string(answer.status);
    CHECK(answer.bytes.rfind("HTTP/1.1 " + status + " ", 0) == 0);
    CHECK(has_line(answer, "Connection: close"));
    CHECK(has_line(answer, "Content-Type: text/plain"));
    const size_t end = answer.bytes.find("\r\n\r\n");
    REQUIRE(end != std::string::npos);
    const std::string body = answer.bytes.substr(end + 4);
    CHECK(body == answer.why + "\n");
    CHECK(has_line(answer, "Content-Length: " + std::to_string(body.size())));
    CHECK_FALSE(answer.why.empty());
    CHECK(std::all_of(answer.why.begin(), answer.why.end(),
                      [](char c) { return c >= ' ' && c <= '~'; }));
    if (answer.status == 405) CHECK(has_line(answer, "Allow: GET"));
    if (answer.status == 426) {
        CHECK(has_line(answer, "Upgrade: websocket"));
        CHECK(has_line(answer, "Sec-WebSocket-Version: 13"));
    }
}

void check_refused(const Head& head, int status) {
    const Answer answer = answer_to(head);
    CAPTURE(head.text());
    CHECK(answer.status == status);
    if (answer.status != 101) check_refusal(answer);
}

void check_accepted(const Head& head) {
    CAPTURE(head.text());
    CHECK(answer_to(head).bytes == answer_to(Head()).bytes);
}

}  // namespace

// The head

TEST_CASE("a request head is read however its bytes are cut") {
    const std::string head = Head().text();
    check_read(head, State::Complete, head.size());
}

TEST_CASE("what follows the head is not taken") {
    const std::string head = Head().text();
    check_read(head + "\x81\x85", State::Complete, head.size());
    check_read(head + head, State::Complete, head.size());
    check_read(head + "\n", State::Complete, head.size());
}

TEST_CASE("a reader that is done takes nothing more") {
    HeadReader reader;
    reader.feed("\r\n\r\n");
    CHECK((reader.state() == State::Complete));
    CHECK(reader.feed("\r\n") == 0);
    CHECK(reader.text() == "\r\n");
}

TEST_CASE("every proper prefix of a head asks for more") {
    const std::string head = Head().text();
    for (size_t n = 0; n < head.size(); ++n) {
        const Read found = read(std::string_view(head).substr(0, n), n, 1);
        CHECK((found.state == State::NeedMore));
        CHECK(found.taken == n);
    }
}

TEST_CASE("a bad byte in the head is found at once") {
    struct {
        std::string good;
        std::string bad;  // one byte
    } const heads[] = {
        {"", std::string(1, '\0')},
        {"GET /", std::string(1, '\0')},
        {"GET / HTTP/1.1\r\nHost: a", std::string(1, '\0')},
        {"", "\n"},
        {"GET / HTTP/1.1", "\n"},
        {"GET / HTTP/1.1\r\nHost: a", "\n"},
        {"GET / HTTP/1.1\r\n", "\n"},
        {"GET / HTTP/1.1\r", "\r"},
        {"GET / HTTP/1.1\r", "H"},
        {"GET / HTTP/1.1\r", std::string(1, '\0')},
        {"GET / HTTP/1.1\r\nHost: a\r", " "},
        {"GET / HTTP/1.1\r\nHost: a\r\n\r", "x"},
        {"GET /", "\x01"},
        {"GET /", "\x1B"},
        {"GET /", "\x1F"},
        {"GET /", "\x7F"},
        {"GET / HTTP/1.1\r\nHost: a", "\v"},
        {"GET / HTTP/1.1\r\nHost: a", "\f"},
    };
    for (const auto& row : heads) {
        CAPTURE(row.good);
        CAPTURE(int{row.bad[0]});
        check_read(row.good + row.bad + "\r\n\r\n", State::BadByte,
                   row.good.size() + 1);
    }
}

TEST_CASE("tabs and bytes above ASCII may stand in a head") {
    const std::string head = "GET / HTTP/1.1\r\nX:\tcaf\xC3\xA9 \xFF\r\n\r\n";
    check_read(head, State::Complete, head.size());
}

TEST_CASE("a head may have 8192 bytes and not one more") {
    const std::string largest = head_of_size(8192);
    REQUIRE(largest.size() == kMaxHead);
    for (size_t first : {size_t{8192}, size_t{1}, size_t{4096}, size_t{8191}}) {
        CHECK((read(largest, first, 1).state == State::Complete));
        CHECK((read(head_of_size(8193), first, 1).state == State::TooLarge));
        CHECK((read(std::string(100'000, 'x'), first, 7).state ==
               State::TooLarge));
    }
    CHECK(read(std::string(100'000, 'x'), 100'000, 1).taken <= kMaxHead);
    CHECK((read(std::string(8191, 'x'), 8191, 1).state == State::NeedMore));
}

TEST_CASE("a head may have 100 lines and not one more") {
    const std::string most = head_of_lines(kMaxHeadLines);
    check_read(most, State::Complete, most.size());
    const std::string more = head_of_lines(kMaxHeadLines + 1);
    check_read(more, State::TooLarge, more.size() - 2);
    const std::string empty_ones = "GET / HTTP/1.1\r\n";
    check_read(empty_ones + "\r\n\r\n\r\n", State::Complete,
               empty_ones.size() + 2);
}

// Handshakes that are accepted

TEST_CASE("the handshake of RFC 6455, section 1.2, gets the answer given") {
    const Answer answer = answer_to(Head());
    CHECK(answer.status == 101);
    CHECK(answer.bytes ==
          "HTTP/1.1 101 Switching Protocols\r\n"
          "Upgrade: websocket\r\n"
          "Connection: Upgrade\r\n"
          "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
          "WebSocket-Origin: chat.example.com\r\n"
          "WebSocket-Location: wss://chat.example.com:9600/websocket.php\r\n"
          "\r\n");
}

TEST_CASE("each key gets its own answer") {
    struct {
        std::string key;
        std::string accept;
    } const keys[] = {
        {"x3JJHMbDL1EzLkh9GBhXDw==", "HSmrc0sMlYUkAGmm5OPpG2HaGWk="},
        {"AAAAAAAAAAAAAAAAAAAAAA==", "ICX+Yqv66kxgM0FcWaLWlFLwTAI="},
        {"/////////////////////w==", "XXpj4jYzLM2yUE0C7TIgMwTQh2g="},
    };
    for (const auto& row : keys)
        CHECK(
            has_line(answer_to(Head().instead("Sec-WebSocket-Key: " + row.key)),
                     "Sec-WebSocket-Accept: " + row.accept));
}

TEST_CASE("headers may be written in any case, with any space around values") {
    check_accepted(Head().instead("Host:server.example.com"));
    check_accepted(Head().instead("Host: \t server.example.com \t "));
    check_accepted(Head().without("Host").with("HOST: a"));
    check_accepted(Head().without("Upgrade").with("upgrade: WebSocket"));
    check_accepted(Head().without("Connection").with("CONNECTION: upgrade"));
    check_accepted(Head()
                       .without("Sec-WebSocket-Version")
                       .with("sec-websocket-version:  13  "));
    check_accepted(Head()
                       .without("Sec-WebSocket-Key")
                       .with("SEC-WEBSOCKET-KEY: dGhlIHNhbXBsZSBub25jZQ=="));
}

TEST_CASE("Upgrade and Connection are lists, over several lines too") {
    check_accepted(Head().instead("Connection: keep-alive, Upgrade"));
    check_accepted(Head().instead("Connection: Upgrade,keep-alive"));
    check_accepted(Head().instead("Connection: a ,\tupgrade , b"));
    check_accepted(Head().instead("Connection: ,,Upgrade,"));
    check_accepted(Head().with("Connection: keep-alive"));
    check_accepted(Head().instead("Connection: x").with("Connection: Upgrade"));
    check_accepted(Head().instead("Upgrade: h2c, websocket"));
    check_accepted(Head().instead("Upgrade: h2c").with("Upgrade: websocket"));
}

TEST_CASE("any path, query and later minor version is accepted") {
    for (std::string target :
         {"/", "/websocket.php", "/a/b?c=d&e=%20", "?x", "*",
          "http://server.example.com/chat", "/!$&'()*+,;=:@~-._"}) {
        CAPTURE(target);
        CHECK(status_of_line("GET " + target + " HTTP/1.1") == 101);
    }
    CHECK(status_of_line("GET / HTTP/1.2") == 101);
    CHECK(status_of_line("GET / HTTP/2.0") == 101);
}

TEST_CASE("what the server does not know is ignored") {
    check_accepted(Head().with("Sec-WebSocket-Extensions: permessage-deflate"));
    check_accepted(Head().instead("Sec-WebSocket-Protocol: unheard-of"));
    check_accepted(Head().without("Origin"));
    check_accepted(Head().with("Cookie: a=b").with("Cookie: c=d"));
    check_accepted(Head().with("X-Empty:").with("X-Bytes: \xC3\xA9\xFF"));
    check_accepted(Head().with("!#$%&'*+-.^_`|~09azAZ: a name of all marks"));
    check_accepted(Head().with("Content-Length: 0"));
}

TEST_CASE("hosts come with ports and as addresses") {
    for (std::string host : {"a", "a:9600", "127.0.0.1:1", "[::1]:9600",
                             "xn--bcher-kva.example", "a_b.example."}) {
        CAPTURE(host);
        check_accepted(Head().instead("Host: " + host));
    }
}

// Refusals

TEST_CASE("malformed request lines are refused") {
    for (std::string line : {"",
                             " ",
                             "GET",
                             "GET /",
                             "GET / ",
                             "GET  / HTTP/1.1",
                             "GET /  HTTP/1.1",
                             " GET / HTTP/1.1",
                             "GET / HTTP/1.1 ",
                             "GET / HTTP/1.1 x",
                             "GET /a b HTTP/1.1",
                             "GET\t/\tHTTP/1.1",
                             "GET / HTTP/1",
                             "GET / HTTP/1.",
                             "GET / HTTP/.1",
                             "GET / HTTP/11",
                             "GET / HTTP/1.10",
                             "GET / HTTP/01.1",
                             "GET / HTTP/1,1",
                             "GET / HTTP/a.b",
                             "GET / http/1.1",
                             "GET / HTTPS/1.1",
                             "GET / 1.1",
                             "GET / HTTP 1.1",
                             "G(T / HTTP/1.1",
                             "\"GET\" / HTTP/1.1",
                             "GET /#fragment HTTP/1.1",
                             "GET /\t HTTP/1.1",
                             "{} / HTTP/1.1"}) {
        CAPTURE(line);
        check_refused(Head().request_line(line), 400);
    }
}

TEST_CASE("HTTP before 1.1 is refused") {
    for (std::string version : {"0.9", "1.0"})
        check_refused(Head().request_line("GET / HTTP/" + version), 400);
}

TEST_CASE("malformed header lines are refused") {
    for (std::string line :
         {"no colon", ": no name", "X : blank before the colon",
          "X\t: tab before the colon", " folded: line", "\tfolded: line",
          " folded", "Two words: x", "X(y): x", "X\"y: x", "X/y: x", "X[]: x",
          "X{}: x", "X@y: x", "X=y: x", "X;y: x", "X,y: x", "caf\xC3\xA9: x"}) {
        CAPTURE(line);
        check_refused(Head().with(line), 400);
        check_refused(plain("GET / HTTP/1.1").with(line), 400);
    }
}

TEST_CASE("there is one Host, and it may be one") {
    check_refused(Head().without("Host"), 400);
    check_refused(Head().with("Host: server.example.com"), 400);
    check_refused(Head().with("host: other.example.com"), 400);
    check_refused(plain("GET / HTTP/1.1").without("Host"), 400);
    for (std::string host : {"", " ", "a b", "a,b", "a/b", "a@b", "a?b", "a#b",
                             "\"a\"", "<a>", "a\\b"}) {
        CAPTURE(host);
        check_refused(Head().instead("Host: " + host), 400);
    }
}

TEST_CASE("a request that wants no upgrade is told that it should") {
    check_refused(plain("GET / HTTP/1.1"), 426);
    check_refused(plain("GET /index.html?x=y HTTP/1.1"), 426);
    check_refused(plain("GET / HTTP/1.1").with("Connection: keep-alive"), 426);
    check_refused(plain("GET / HTTP/1.1")
                      .with("Connection: Upgrade, HTTP2-Settings")
                      .with("Upgrade: h2c"),
                  426);
}

TEST_CASE("methods other than GET are refused") {
    for (std::string method :
         {"POST", "PUT", "DELETE", "OPTIONS", "CONNECT", "get", "X"}) {
        CAPTURE(method);
        check_refused(plain(method + " / HTTP/1.1"), 405);
        check_refused(Head().request_line(method + " / HTTP/1.1"), 405);
    }
}

TEST_CASE("the answer to HEAD has no body") {
    const Answer answer = answer_to(plain("HEAD / HTTP/1.1"));
    CHECK(answer.status == 405);
    CHECK(has_line(answer, "Allow: GET"));
    CHECK(answer.bytes.find("\r\n\r\n") == answer.bytes.size() - 4);
}

TEST_CASE("a handshake that lacks something is refused") {
    check_refused(Head().without("Upgrade"), 400);
    check_refused(Head().instead("Upgrade: websockets"), 400);
    check_refused(Head().instead("Upgrade: web socket"), 400);
    check_refused(Head().instead("Upgrade:"), 400);
    check_refused(Head().without("Connection"), 400);
    check_refused(Head().instead("Connection: keep-alive"), 400);
    check_refused(Head().instead("Connection: upgraded"), 400);
    check_refused(Head().instead("Connection: up grade"), 400);
    check_refused(Head().without("Sec-WebSocket-Key"), 400);
}

TEST_CASE("versions other than 13 are told which one there is") {
    check_refused(Head().without("Sec-WebSocket-Version"), 426);
    for (std::string version : {"", "0", "8", "12", "14", "013", "13.0", "1 3",
                                "13, 8", "\"13\"", "130", "-13", "+13"}) {
        CAPTURE(version);
        check_refused(Head().instead("Sec-WebSocket-Version: " + version), 426);
    }
    check_refused(Head().with("Sec-WebSocket-Version: 13"), 400);
    check_refused(Head().with("Sec-WebSocket-Version: 8"), 400);
}

TEST_CASE("a key is 16 bytes in base64, and there is one") {
    for (std::string key :
         {"", "=", "==", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZQ=",
          "dGhlIHNhbXBsZSBub25jZQ===", "dGhlIHNhbXBsZSBub25jZQA=",
          "dGhlIHNhbXBsZSBub25jZQAA", "dGhlIHNhbXBsZSBub25jAA==x",
          "dGhlIHNhbXBsZSBub25j==", "dGhlIHNhbXBsZSBub25jZQAAAA==",
          "dGhl HNhbXBsZSBub25jZQ==", "dGhl-HNhbXBsZSBub25jZQ==",
          "dGhl_HNhbXBsZSBub25jZQ==", "dGhl=HNhbXBsZSBub25jZQ==",
          "dGhlIHNhbXBsZSBub25jZ===", "\"GhlIHNhbXBsZSBub25jZQ==",
          "dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ=="}) {
        CAPTURE(key);
        check_refused(Head().instead("Sec-WebSocket-Key: " + key), 400);
    }
    check_refused(Head().with("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="),
                  400);
    check_refused(Head().with("sec-websocket-key: x3JJHMbDL1EzLkh9GBhXDw=="),
                  400);
}

TEST_CASE("a handshake has no body") {
    check_refused(Head().with("Content-Length: 1"), 400);
    check_refused(Head().with("Content-Length: 00010"), 400);
    check_refused(Head().with("Content-Length: none"), 400);
    check_refused(Head().with("Content-Length: -0"), 400);
    check_refused(Head().with("Content-Length: 0").with("Content-Length: 5"),
                  400);
    check_refused(Head().with("Transfer-Encoding: chunked"), 400);
    check_refused(Head().with("transfer-encoding: identity"), 400);
    check_refused(Head().with("Content-Length:"), 400);
}

TEST_CASE("each status has its reason phrase and its headers") {
    struct {
        int status;
        std::string line;
    } const statuses[] = {
        {400, "HTTP/1.1 400 Bad Request\r\n"},
        {405, "HTTP/1.1 405 Method Not Allowed\r\n"},
        {408, "HTTP/1.1 408 Request Timeout\r\n"},
        {426, "HTTP/1.1 426 Upgrade Required\r\n"},
        {431, "HTTP/1.1 431 Request Header Fields Too Large\r\n"},
    };
    for (const auto& row : statuses) {
        const Answer answer = refuse(row.status, "because of something");
        CHECK(answer.status == row.status);
        CHECK(answer.why == "because of something");
        CHECK(answer.bytes.rfind(row.line, 0) == 0);
        check_refusal(answer);
    }
}

TEST_CASE("nothing of a refused request is in its answer") {
    const std::string script = "<script>alert(1)</script>";
    for (const Head& head :
         {Head().request_line(script), Head().request_line("GET " + script),
          Head().instead("Host: " + script), Head().with(script),
          Head().instead("Upgrade: " + script),
          Head().instead("Sec-WebSocket-Key: " + script),
          Head().instead("Sec-WebSocket-Version: " + script)}) {
        const Answer answer = answer_to(head);
        CHECK(answer.status >= 400);
        CHECK(answer.bytes.find("script") == std::string::npos);
        CHECK(answer.why.find("script") == std::string::npos);
    }
}

TEST_CASE("any bytes get an answer") {
    const std::string head = Head().text();
    int wrong = 0;
    const auto check = [&wrong](const std::string& bytes) {
        const std::vector<char> copy(bytes.begin(), bytes.end());
        const Answer answer = answer_request({copy.data(), copy.size()}, kSite);
        const std::string start =
            "HTTP/1.1 " + std::to_string(answer.status) + " ";
        if (answer.bytes.rfind(start, 0) != 0) ++wrong;
    };
    for (size_t n = 0; n < head.size(); ++n) {
        check(head.substr(0, n));
        check(head.substr(n));
        for (char c : {'\0', '\r', '\n', ' ', ':', ',', '/', '\xFF'}) {
            std::string changed = head;
            changed[n] = c;
            check(changed);
            check(head.substr(0, n) + c + head.substr(n));
        }
    }
    CHECK(wrong == 0);
}

// What the server calls itself

TEST_CASE("the location is that of the tutorial's server") {
    struct {
        std::string host;
        std::string plain;
    } const hosts[] = {
        {"chat.example.com", "wss://chat.example.com:9600/websocket.php"},
        {"domain.com", "wss://domain.com:9600/websocket.php"},
        {"203.0.113.7", "wss://203.0.113.7:9600/websocket.php"},
        {"2001:db8::1", "wss://[2001:db8::1]:9600/websocket.php"},
        {"site.local", "wss://site.local:9600/websocket.php"},
        {"local", "wss://local:9600/websocket.php"},
        // with "local." in it, wherever that is
        {"local.example.com", "ws://local.example.com:9600/websocket.php"},
        {"LOCAL.example.com", "ws://LOCAL.example.com:9600/websocket.php"},
        {"chat.Local.test", "ws://chat.Local.test:9600/websocket.php"},
        {"mylocal.net", "ws://mylocal.net:9600/websocket.php"},
        // this machine
        {"localhost", "ws://localhost:9600/websocket.php"},
        {"LocalHost", "ws://LocalHost:9600/websocket.php"},
        {"127.0.0.1", "ws://127.0.0.1:9600/websocket.php"},
        {"127.255.0.9", "ws://127.255.0.9:9600/websocket.php"},
        {"::1", "ws://[::1]:9600/websocket.php"},
    };
    for (const auto& row : hosts) {
        CHECK(websocket_location(row.host, 9600, false) == row.plain);
        const std::string rest = row.plain.substr(row.plain.find(':'));
        CHECK(websocket_location(row.host, 9600, true) == "wss" + rest);
    }
}

TEST_CASE("the location has the port") {
    CHECK(websocket_location("localhost", 1, false) ==
          "ws://localhost:1/websocket.php");
    CHECK(websocket_location("localhost", 65535, false) ==
          "ws://localhost:65535/websocket.php");
}

TEST_CASE("IPv6 addresses are in brackets in a URL") {
    CHECK(host_in_url("localhost") == "localhost");
    CHECK(host_in_url("127.0.0.1") == "127.0.0.1");
    CHECK(host_in_url("::1") == "[::1]");
    CHECK(host_in_url("2001:db8::7") == "[2001:db8::7]");
}

TEST_CASE("hosts that always mean this machine are known") {
    for (std::string host : {"localhost", "LOCALHOST", "LocalHost", "127.0.0.1",
                             "127.0.0.0", "127.1.2.3", "127.255.255.255", "::1",
                             "0:0:0:0:0:0:0:1", "0000::0001"}) {
        CAPTURE(host);
        CHECK(is_loopback_host(host));
    }
    for (std::string host :
         {"", "localhos", "localhosts", "localhost.example.com", "my-localhost",
          "126.255.255.255", "128.0.0.1", "0.0.0.0", "10.127.0.1", "127.0.0",
          "127.0.0.256", "127.0.0.1.example.com", "::", "::2", "1::1",
          "::ffff:10.0.0.1", "[::1]", "example.com"}) {
        CAPTURE(host);
        CHECK_FALSE(is_loopback_host(host));
    }
}
