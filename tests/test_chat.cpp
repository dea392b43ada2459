#include "chat.h"

#include <string>

#include <doctest/doctest.h>

using namespace wschat;

namespace {

/// What the sender is told; "relayed" if it is not its message that stops.
std::string reply_to(const Ruling& ruling) {
    switch (ruling.verdict) {
        case Ruling::Verdict::Relay: return "relayed";
        case Ruling::Verdict::Drop: return "";
        case Ruling::Verdict::Refuse: return notice(ruling.why);
        case Ruling::Verdict::Answer: return kPong;
    }
    return "";
}

void check_relayed(const std::string& text, const Speaker& speaker = {}) {
    CAPTURE(text);
    const Ruling ruling = rule_on(text, speaker);
    CHECK((ruling.verdict == Ruling::Verdict::Relay));
}

void check_answered(const std::string& text, const std::string& reply,
                    const Speaker& speaker = {}) {
    CAPTURE(text);
    const Ruling ruling = rule_on(text, speaker);
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
    for (std::string text : {"null", "false", "0", "-0.0", "\"\"", "\"0\"",
                             "[]", " 0e5 "})
        check_answered(text, "");
}

TEST_CASE("what is not JSON is answered with the byte where it goes wrong") {
    check_answered("{\"a\":}",
                   R"({"type":"error","message":"not relayed: )"
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
    const Speaker speaker{true, false};
    check_relayed(R"({"type":"system","message":"x"})", speaker);
    for (std::string type : {"error", "hello", "ping", "pong"})
        check_answered("{\"type\":\"" + type + "\"}", reserved(type), speaker);
}

TEST_CASE("a ping of wschat.v1 is answered with a pong") {
    const Speaker speaker{false, true};
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
