#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "fixtures/key_file.h"
#include "http/publish_request.h"
#include "fixtures/request_head.h"

using namespace wschat;
using namespace wschat::test;

namespace {

constexpr uint64_t kMost = 100;

const std::string kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

Head post() {
    return plain_request("POST / HTTP/1.1");
}

/// Returns a request with a valid key and a valid length.
Head valid_post() {
    return post()
        .with("Authorization: " + std::string(kBearer))
        .with("Content-Length: 2");
}

/// The result for a head: the status is 100 if its body is expected.
struct Accepted {
    Response response;
    PublishRequest request{};
};

Accepted accept(const Head& head, const PublishKeys& keys = some_keys()) {
    const std::string text = head.text();
    auto result = accept_publish(parse_request(text), "/room", keys, kMost);
    if (const auto* refusal = std::get_if<Response>(&result))
        return {*refusal};
    const auto& expected = std::get<ExpectBody>(result);
    CHECK(expected.request.room == "/room");
    return {{100, expected.interim_response, ""}, expected.request};
}

/// Parses a body. The result is valid until the next call.
ParsedMessages messages(const std::string& body, bool in_lines = false) {
    static PublishRequest request;
    request.body = body;
    request.is_lines = in_lines;
    return parse_messages(request);
}

/// Returns the texts of a body of lines, each in brackets, or the error.
std::string lines(const std::string& body) {
    const ParsedMessages found = messages(body, true);
    std::string all;
    for (std::string_view text : found.texts)
        all += "[" + std::string(text) + "]";
    CHECK(found.error.empty() == !found.texts.empty());
    return found.error.empty() ? all : found.error;
}

std::string error_in_text(const std::string& body) {
    const ParsedMessages found = messages(body);
    CHECK(found.error.empty() == !found.texts.empty());
    return found.error;
}

}  // namespace

TEST_CASE("the body of a POST with a key and a length is expected") {
    const Accepted valid = accept(valid_post());
    CHECK(valid.response.status == 100);
    CHECK(valid.response.bytes == "");
    CHECK(valid.response.why == "");
    CHECK(valid.request.size == 2);
    CHECK_FALSE(valid.request.is_lines);
    CHECK(valid.request.body == "");
}

TEST_CASE("each head gets its status") {
    const std::string bearer = kBearer;
    struct {
        Head head;
        int status;
    } const heads[] = {
        {valid_post(), 100},
        {valid_post().replace("Content-Length: 0"), 100},
        {valid_post().replace("Content-Length: 100"), 100},
        {valid_post()
             .without("Authorization")
             .with("authorization: bearer 0123456789abcdef"),
         100},
        // several lengths, or malformed ones
        {valid_post().with("Content-Length: 2"), 400},
        {valid_post().with("content-length: 3"), 400},
        {valid_post().with("Transfer-Encoding: chunked"), 400},
        {valid_post().replace("Content-Length:"), 400},
        {valid_post().replace("Content-Length: x"), 400},
        {valid_post().replace("Content-Length: -1"), 400},
        {valid_post().replace("Content-Length: +2"), 400},
        {valid_post().replace("Content-Length: 2, 2"), 400},
        {valid_post().replace("Content-Length: 0x2"), 400},
        {valid_post().replace("Content-Length: 2 2"), 400},
        // no key, more than one, or an invalid one
        {valid_post().without("Authorization"), 401},
        {valid_post().with("Authorization: " + bearer), 401},
        {valid_post().replace("Authorization: Bearer 0123456789abcdeg"), 401},
        {valid_post().replace("Authorization: Basic 0123456789abcdef"), 401},
        {valid_post().replace("Authorization: 0123456789abcdef"), 401},
        {valid_post().replace("Authorization:"), 401},
        // no length
        {valid_post().without("Content-Length"), 411},
        {valid_post()
             .without("Content-Length")
             .with("Transfer-Encoding: chunked"),
         411},
        {valid_post()
             .without("Content-Length")
             .with("Transfer-Encoding: identity"),
         411},
        // too much
        {valid_post().replace("Content-Length: 101"), 413},
        {valid_post().replace("Content-Length: 18446744073709551615"), 413},
        {valid_post().replace("Content-Length: 18446744073709551618"), 413},
        {valid_post().replace("Content-Length: " + std::string(400, '9')), 413},
    };
    for (const auto& row : heads) {
        CAPTURE(row.head.text());
        const Accepted found = accept(row.head);
        CHECK(found.response.status == row.status);
        if (row.status == 100) continue;
        check_refusal(found.response);
        CHECK(found.request.size == 0);
    }
}

TEST_CASE("without keys every publish request is refused with 403") {
    for (const Head& head :
         {valid_post(), valid_post().without("Authorization"),
          valid_post().without("Content-Length"),
          valid_post().replace("Content-Length: 101")}) {
        const Response answer = accept(head, PublishKeys()).response;
        CHECK(answer.status == 403);
        check_refusal(answer);
        CHECK(answer.why.find("--publish-key") != std::string::npos);
    }
    CHECK(accept(valid_post().replace("Content-Length: x"), PublishKeys())
              .response.status == 400);
}

TEST_CASE(
    "without a valid key only a malformed length is answered before 401") {
    const Head without_key = valid_post().without("Authorization");
    CHECK(accept(Head(without_key).replace("Content-Length: 101"))
              .response.status == 401);
    CHECK(accept(Head(without_key).without("Content-Length")).response.status ==
          401);
    CHECK(accept(Head(without_key).replace("Content-Length: x"))
              .response.status == 400);
}

TEST_CASE("a missing key and a wrong one are told apart") {
    const std::string missing =
        "publish key is missing: send Authorization: Bearer KEY";
    const std::string wrong = "invalid publish key";
    CHECK(accept(valid_post().without("Authorization")).response.why ==
          missing);
    for (std::string value : {"", "Bearer", "bearer  "}) {
        CAPTURE(value);
        CHECK(accept(valid_post().replace("Authorization: " + value))
                  .response.why == missing);
    }
    for (std::string value :
         {"Bearer x", "Basic 0123456789abcdef", "Bearerx"}) {
        CAPTURE(value);
        CHECK(accept(valid_post().replace("Authorization: " + value))
                  .response.why == wrong);
    }
    CHECK(accept(valid_post().with("Authorization:")).response.why == wrong);
}

TEST_CASE("a 401 names the authentication scheme") {
    const Response answer =
        accept(valid_post().without("Authorization")).response;
    CHECK(has_line(answer, "WWW-Authenticate: Bearer"));
}

TEST_CASE("100 Continue is sent only to a publisher that expects it") {
    for (std::string value :
         {"100-continue", "100-Continue", "x, 100-continue"})
        CHECK(accept(valid_post().with("Expect: " + value)).response.bytes ==
              kContinue);
    for (std::string value : {"", "100", "100-continued", "x"})
        CHECK(accept(valid_post().with("Expect: " + value)).response.bytes ==
              "");
    const Response refused =
        accept(
            valid_post().with("Expect: 100-continue").without("Authorization"))
            .response;
    CHECK(refused.bytes.find(" 100 ") == std::string::npos);
}

TEST_CASE("a body is read as lines if its Content-Type is JSON lines") {
    for (std::string type :
         {"application/x-ndjson", "Application/X-NDJSON",
          "application/x-ndjson; charset=utf-8", "application/x-ndjson ;a=b",
          "application/x-ndjson;"})
        CHECK(accept(valid_post().with("Content-Type: " + type))
                  .request.is_lines);
    for (std::string type : {"", "application/json", "application/x-ndjsonx",
                             "x-ndjson", "text/plain; application/x-ndjson",
                             "application/x-www-form-urlencoded"})
        CHECK_FALSE(accept(valid_post().with("Content-Type: " + type))
                        .request.is_lines);
}

// Bodies

TEST_CASE("a body is one message, with its own bytes") {
    for (std::string body :
         {"{}", "{\"a\":1}", " {\"a\":\n1} \r\n", "[0]", "1", "\"x\"", "true",
          R"({"type":"system","message":"hi"})", "\"caf\xC3\xA9\""}) {
        CAPTURE(body);
        const ParsedMessages found = messages(body);
        CHECK(found.error == "");
        REQUIRE(found.texts.size() == 1);
        CHECK(found.texts[0] == body);
    }
}

TEST_CASE("a body that is not relayed has an error with the reason") {
    struct {
        std::string body;
        std::string error;
    } const bodies[] = {
        {"", "no message in the body"},
        {"x", "unexpected character at byte 0"},
        {"{\"a\":}", "unexpected character at byte 5"},
        {" ", "unexpected end at byte 1"},
        {"{}\n{}", "trailing characters at byte 3"},
        {"\"\xFF\"", "malformed UTF-8"},
        {"\"\xC3\"", "malformed UTF-8"},
        {"\"\xED\xA0\x80\"", "malformed UTF-8"},
        {"null", "JSON value is falsy"},
        {"0", "JSON value is falsy"},
        {"\"\"", "JSON value is falsy"},
        {"[]", "JSON value is falsy"},
        {R"({"type":"error"})", "the type \"error\" is reserved"},
        {R"({"type":"hello"})", "the type \"hello\" is reserved"},
        {R"({"type":"ping"})", "the type \"ping\" is reserved"},
        {R"({"type":"po\u006eg"})", "the type \"pong\" is reserved"},
    };
    for (const auto& row : bodies) {
        CAPTURE(row.body);
        CHECK(error_in_text(row.body) == row.error);
    }
}

TEST_CASE("each line is a message, blank lines are ignored") {
    CHECK(lines("{}") == "[{}]");
    CHECK(lines("{}\n") == "[{}]");
    CHECK(lines("{}\r\n") == "[{}]");
    CHECK(lines("1\n2\n3") == "[1][2][3]");
    CHECK(lines("1\r\n2\r\n3\r\n") == "[1][2][3]");
    CHECK(lines("\n\n1\n \t\n\r\n2\n\n") == "[1][2]");
    CHECK(lines(" 1\t\n\t2 ") == "[1][2]");
    CHECK(lines("{\"a\": 1}\n[2, 3]\n") == "[{\"a\": 1}][[2, 3]]");
    CHECK(lines(R"({"type":"system","message":"a\nb"})") ==
          R"([{"type":"system","message":"a\nb"}])");
}

TEST_CASE("a bad line is named in the error, and no other line is a message") {
    CHECK(lines("") == "no message in the body");
    CHECK(lines("\n\r\n \t\n") == "no message in the body");
    CHECK(lines("x") == "line 1: unexpected character at byte 0");
    CHECK(lines("1\n2\nx\n4") == "line 3: unexpected character at byte 0");
    CHECK(lines("1\n\n\n{\n}\n") == "line 4: unexpected end at byte 1");
    CHECK(lines("1\n0\n") == "line 2: JSON value is falsy");
    CHECK(lines("1\n\"\xFF\"") == "line 2: malformed UTF-8");
    CHECK(lines("1\n{\"type\":\"ping\"}\n2") ==
          "line 2: the type \"ping\" is reserved");
}
