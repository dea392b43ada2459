#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "http/http.h"
#include "fixtures/request_head.h"

using namespace wschat;
using namespace wschat::test;

using State = HeadReader::State;

namespace {

/// The result of feeding some bytes to a HeadReader.
struct Read {
    State state;
    size_t taken;
    std::string text;
};

/// Feeds pieces until the reader consumes no more. Each is a copy of exactly
/// its size, so that a sanitizer sees any read behind its end.
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

/// Checks the result of reading at once, byte by byte, and in two pieces that
/// are cut at every place.
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

/// Returns a head of this many bytes.
std::string head_of_size(size_t size) {
    const std::string start = "GET / HTTP/1.1\r\nX: ";
    return start + std::string(size - start.size() - 4, 'x') + "\r\n\r\n";
}

std::string head_of_lines(size_t lines) {
    std::string head = "GET / HTTP/1.1\r\n";
    for (size_t i = 1; i < lines; ++i) head += "X: y\r\n";
    return head + "\r\n";
}

}  // namespace

TEST_CASE("a head is read however its bytes are cut") {
    const std::string head = Head().text();
    check_read(head, State::Complete, head.size());
}

TEST_CASE("bytes behind the head are not consumed") {
    const std::string head = Head().text();
    check_read(head + "\x81\x85", State::Complete, head.size());
    check_read(head + head, State::Complete, head.size());
    check_read(head + "\n", State::Complete, head.size());
}

TEST_CASE("a reader consumes nothing after the head is complete") {
    HeadReader reader;
    reader.feed("X\r\n\r\n\r\n");
    CHECK((reader.state() == State::Complete));
    CHECK(reader.feed("\r\n") == 0);
    CHECK(reader.text() == "X\r\n\r\n");
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
        {"", "{"},
        {"", "\x16"},
        {"", " "},
        {"", "\r"},
        {"", "<"},
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

TEST_CASE("a head has at most 8192 bytes") {
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

TEST_CASE("a head has at most 100 lines") {
    const std::string most = head_of_lines(kMaxHeadLines);
    check_read(most, State::Complete, most.size());
    const std::string more = head_of_lines(kMaxHeadLines + 1);
    check_read(more, State::TooLarge, more.size() - 2);
    const std::string empty_ones = "GET / HTTP/1.1\r\n";
    check_read(empty_ones + "\r\n\r\n\r\n", State::Complete,
               empty_ones.size() + 2);
}

TEST_CASE("each status has its reason phrase and its headers") {
    struct {
        int status;
        std::string line;
    } const statuses[] = {
        {400, "HTTP/1.1 400 Bad Request\r\n"},
        {401, "HTTP/1.1 401 Unauthorized\r\n"},
        {403, "HTTP/1.1 403 Forbidden\r\n"},
        {404, "HTTP/1.1 404 Not Found\r\n"},
        {405, "HTTP/1.1 405 Method Not Allowed\r\n"},
        {408, "HTTP/1.1 408 Request Timeout\r\n"},
        {411, "HTTP/1.1 411 Length Required\r\n"},
        {413, "HTTP/1.1 413 Content Too Large\r\n"},
        {426, "HTTP/1.1 426 Upgrade Required\r\n"},
        {431, "HTTP/1.1 431 Request Header Fields Too Large\r\n"},
        {503, "HTTP/1.1 503 Service Unavailable\r\n"},
    };
    for (const auto& row : statuses) {
        const Response response =
            error_response(row.status, "because of something");
        CHECK(response.status == row.status);
        CHECK(response.why == "because of something");
        CHECK(response.bytes.rfind(row.line, 0) == 0);
        check_refusal(response);
    }
}

TEST_CASE("a response has its headers, its length and its body") {
    Response response = make_response(200, "X: y\r\n", "body");
    CHECK(response.status == 200);
    CHECK(response.why.empty());
    const std::string head =
        "HTTP/1.1 200 OK\r\n"
        "X: y\r\n"
        "Content-Length: 4\r\n"
        "Connection: close\r\n"
        "\r\n";
    CHECK(response.bytes == head + "body");
    remove_body(response);
    CHECK(response.bytes == head);
}

TEST_CASE("a 304 response has no Content-Length") {
    CHECK(make_response(304, "", "").bytes ==
          "HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n");
}

TEST_CASE("a target is a path and a query") {
    struct {
        std::string target;
        std::string path;
        std::string query;
    } const targets[] = {
        {"/", "/", ""},  {"/a/b?c=d&e", "/a/b", "c=d&e"}, {"/?", "/", ""},
        {"?x", "", "x"}, {"/a?b?c", "/a", "b?c"},         {"*", "*", ""},
        // With the host, as to a proxy (RFC 9112, section 3.2.2).
        {"http://a.example/b/c?d", "/b/c", "d"},
        {"HTTPS://a.example:1/", "/", ""},
        {"http://a.example", "/", ""},
        {"http://a.example?b", "/", "b"},
        {"http://a.example?b/c", "/", "b/c"},
        {"/a?http://b/c", "/a", "http://b/c"},
        {"?a=b://c/d", "", "a=b://c/d"},
        {"a:b", "a:b", ""},
        {"a:/b", "a:/b", ""},
        {"//a/b", "//a/b", ""},
    };
    for (const auto& row : targets) {
        const std::string head =
            Head().request_line("GET " + row.target + " HTTP/1.1").text();
        const Request request = parse_request(head);
        CHECK(request.error == nullptr);
        CHECK(request.path == row.path);
        CHECK(request.query == row.query);
    }
}

TEST_CASE("a list extends over all lines of its name") {
    const std::string head = Head()
                                 .with("X: a, b ,,C")
                                 .with("Y: d")
                                 .with("x:\te ")
                                 .with("X:")
                                 .text();
    const Request request = parse_request(head);
    for (std::string item : {"a", "b", "C", "e"})
        CHECK(request.lists("X", item, false));
    for (std::string item : {"c", "d", "ab", "a, b"})
        CHECK_FALSE(request.lists("X", item, false));
    CHECK(request.lists("X", "c", true));
    CHECK(request.count("X") == 3);
    CHECK(request.value("X") == "a, b ,,C");
    CHECK(request.value("Z") == "");
}

TEST_CASE("the length of a body comes from exactly one Content-Length") {
    using Kind = BodyLength::Kind;
    struct {
        std::vector<std::string> lines;
        Kind kind;
        uint64_t bytes;
    } const requests[] = {
        {{}, Kind::None, 0},
        {{"Content-Length: 0"}, Kind::Known, 0},
        {{"Content-Length: 42"}, Kind::Known, 42},
        {{"content-LENGTH:\t42 "}, Kind::Known, 42},
        {{"Content-Length: 007"}, Kind::Known, 7},
        {{"Content-Length: 18446744073709551614"}, Kind::Known, UINT64_MAX - 1},
        {{"Content-Length: 18446744073709551615"}, Kind::Known, UINT64_MAX},
        {{"Content-Length: 18446744073709551616"}, Kind::Known, UINT64_MAX},
        {{"Content-Length: 99999999999999999999999"}, Kind::Known, UINT64_MAX},
        {{"Transfer-Encoding: chunked"}, Kind::Chunked, 0},
        {{"transfer-encoding: gzip"}, Kind::Chunked, 0},
        {{"Transfer-Encoding:"}, Kind::Chunked, 0},
        {{"Transfer-Encoding: a", "Transfer-Encoding: b"}, Kind::Chunked, 0},
        {{"Content-Length:"}, Kind::Malformed, 0},
        {{"Content-Length: x"}, Kind::Malformed, 0},
        {{"Content-Length: 1x"}, Kind::Malformed, 0},
        {{"Content-Length: -1"}, Kind::Malformed, 0},
        {{"Content-Length: +1"}, Kind::Malformed, 0},
        {{"Content-Length: 1.0"}, Kind::Malformed, 0},
        {{"Content-Length: 1 1"}, Kind::Malformed, 0},
        {{"Content-Length: 1,1"}, Kind::Malformed, 0},
        {{"Content-Length: 0x1"}, Kind::Malformed, 0},
        {{"Content-Length: 1", "Content-Length: 1"}, Kind::Malformed, 0},
        {{"Content-Length: 1", "content-length: 2"}, Kind::Malformed, 0},
        {{"Content-Length: 0", "Transfer-Encoding: chunked"},
         Kind::Malformed,
         0},
    };
    for (const auto& row : requests) {
        Head head = plain_request("POST / HTTP/1.1");
        for (const std::string& line : row.lines) head.with(line);
        const std::string text = head.text();
        CAPTURE(text);
        const BodyLength length = body_length(parse_request(text));
        CHECK((length.kind == row.kind));
        CHECK(length.bytes == row.bytes);
        const bool zero = (row.kind == Kind::None || row.kind == Kind::Known) &&
                          row.bytes == 0;
        CHECK(length.is_zero() == zero);
    }
}
