#include <string>

#include <doctest/doctest.h>

#include "room/relay_rules.h"

using namespace wschat;

namespace {

/// What the sender is told; "relayed" if it is not its message that stops.
std::string reply_to(const RelayDecision& ruling) {
    switch (ruling.verdict) {
        case RelayDecision::Verdict::Relay:
            return "relayed";
        case RelayDecision::Verdict::Drop:
            return "";
        case RelayDecision::Verdict::Refuse:
            return notice(ruling.why);
        case RelayDecision::Verdict::Answer:
            return kPong;
    }
    return "";
}

void check_relayed(const std::string& text, const SendRights& speaker = {}) {
    CAPTURE(text);
    const RelayDecision ruling = decide_relay(text, speaker);
    CHECK((ruling.verdict == RelayDecision::Verdict::Relay));
}

void check_answered(const std::string& text, const std::string& reply,
                    const SendRights& speaker = {}) {
    CAPTURE(text);
    const RelayDecision ruling = decide_relay(text, speaker);
    CHECK(reply_to(ruling) == reply);
}

std::string reserved(const std::string& type) {
    return R"({"type":"error","message":"not relayed: the type \")" + type +
           R"(\" is reserved"})";
}

}  // namespace

TEST_CASE("JSON that PHP sees as truthy is relayed") {
    for (std::string text : {"{}", "[0]", "1", "\"x\"", "true", " {\"a\":1} ",
                             R"({"type":"message"})", R"([{"type":"system"}])"})
        check_relayed(text);
}

TEST_CASE("what is falsy is dropped without a word") {
    for (std::string text :
         {"null", "false", "0", "-0.0", "\"\"", "\"0\"", "[]", " 0e5 "})
        check_answered(text, "");
}

TEST_CASE("what is not JSON is answered with the byte where it goes wrong") {
    check_answered("{\"a\":}", R"({"type":"error","message":"not relayed: )"
                               R"(unexpected character at byte 5"})");
    check_answered("", R"({"type":"error","message":"not relayed: )"
                       R"(unexpected end at byte 0"})");
    check_answered("\xFF", R"({"type":"error","message":"not relayed: )"
                           R"(malformed UTF-8 at byte 0"})");
}

TEST_CASE("the server's types are its own") {
    for (std::string type : {"system", "error", "hello", "ping", "pong"})
        check_answered("{\"type\":\"" + type + "\"}", reserved(type));
}

TEST_CASE("who may speak for the system does so, and for nothing else") {
    const SendRights speaker{true, false};
    check_relayed(R"({"type":"system","message":"x"})", speaker);
    for (std::string type : {"error", "hello", "ping", "pong"})
        check_answered("{\"type\":\"" + type + "\"}", reserved(type), speaker);
}

TEST_CASE("a ping of wschat.v1 is answered with a pong") {
    const SendRights speaker{false, true};
    check_answered(R"({"type":"ping"})", R"({"type":"pong"})", speaker);
    check_answered(R"({"x":1,"type":"pi\u006eg"})", R"({"type":"pong"})",
                   speaker);
    check_answered(R"({"type":"pong"})", reserved("pong"), speaker);
    check_answered(R"({"type":"system"})", reserved("system"), speaker);
}

TEST_CASE("notices and system messages are JSON, whatever they say") {
    CHECK(notice("a \"b\" \\") ==
          R"({"type":"error","message":"not relayed: a \"b\" \\"})");
    CHECK(system_message("203.0.113.7 connected") ==
          R"({"type":"system","message":"203.0.113.7 connected"})");
}

TEST_CASE("each ruling has its verdict, and a reason only if it refuses") {
    using Verdict = RelayDecision::Verdict;
    struct {
        std::string text;
        SendRights speaker;
        Verdict verdict;
    } const rows[] = {
        {"{}", {}, Verdict::Relay},
        {"0", {}, Verdict::Drop},
        {"x", {}, Verdict::Refuse},
        {R"({"type":"system"})", {}, Verdict::Refuse},
        {R"({"type":"system"})", {true, false}, Verdict::Relay},
        {R"({"type":"ping"})", {}, Verdict::Refuse},
        {R"({"type":"ping"})", {true, false}, Verdict::Refuse},
        {R"({"type":"ping"})", {false, true}, Verdict::Answer},
        {R"({"type":"ping"})", {true, true}, Verdict::Answer},
        // who claims two, claims the worse
        {R"({"type":"system","type":"ping"})", {true, false}, Verdict::Refuse},
        {R"([{"type":"ping"}])", {false, true}, Verdict::Relay},
        {R"({"type":["ping"]})", {false, true}, Verdict::Relay},
    };
    for (const auto& row : rows) {
        CAPTURE(row.text);
        const RelayDecision ruling = decide_relay(row.text, row.speaker);
        CHECK((ruling.verdict == row.verdict));
        CHECK(ruling.why.empty() == (row.verdict != Verdict::Refuse));
    }
}

TEST_CASE("a hello says where a client is, and what it is about to get") {
    CHECK(hello({"/x", "abc", 42, 41, 3, true}) ==
          R"({"type":"hello","room":"/x","epoch":"abc","first":42,"last":41,)"
          R"("clients":3,"recovered":true})");
    CHECK(hello({"/", "0", 1, 0, 1, false}) ==
          R"({"type":"hello","room":"/","epoch":"0","first":1,"last":0,)"
          R"("clients":1,"recovered":false})");
}

TEST_CASE("a receipt says where messages went, to how many, up to which") {
    CHECK(receipt("/", 57, 42) == R"({"room":"/","clients":57,"number":42})");
    CHECK(receipt("/x", 0, ~uint64_t{0}) ==
          R"({"room":"/x","clients":0,"number":18446744073709551615})");
}

TEST_CASE("the name of a room is quoted, whatever is in it") {
    const std::string name = "/a\"b\\c<\xC3\xA9>";
    CHECK(receipt(name, 1, 1) ==
          "{\"room\":\"/a\\\"b\\\\c<\xC3\xA9>\",\"clients\":1,\"number\":1}");
    CHECK(hello({name, "e", 1, 0, 1, false})
              .find(",\"room\":\"/a\\\"b\\\\c<\xC3\xA9>\",") !=
          std::string::npos);
}
