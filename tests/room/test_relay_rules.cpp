#include <string>

#include <doctest/doctest.h>

#include "room/relay_rules.h"
#include "room/server_messages.h"

using namespace wschat;

namespace {

struct Sender {
    Grants grants{};
    bool v1 = false;
};

/// Returns the reply to the sender; "relayed" if its message is relayed.
std::string reply_to(const RelayDecision& decision) {
    switch (decision.action) {
        case RelayDecision::Action::Relay:
            return "relayed";
        case RelayDecision::Action::Ignore:
            return "";
        case RelayDecision::Action::Refuse:
            return error_notice(decision.reason);
        case RelayDecision::Action::Pong:
            return kPong;
    }
    return "";
}

void check_relayed(const std::string& text, const Sender& sender = {}) {
    CAPTURE(text);
    const RelayDecision decision = decide_relay(text, sender.grants, sender.v1);
    CHECK((decision.action == RelayDecision::Action::Relay));
}

void check_answered(const std::string& text, const std::string& reply,
                    const Sender& sender = {}) {
    CAPTURE(text);
    const RelayDecision decision = decide_relay(text, sender.grants, sender.v1);
    CHECK(reply_to(decision) == reply);
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

TEST_CASE("a falsy value is dropped without a notice") {
    for (std::string text :
         {"null", "false", "0", "-0.0", "\"\"", "\"0\"", "[]", " 0e5 "})
        check_answered(text, "");
}

TEST_CASE("malformed JSON is answered with a notice that names the byte") {
    check_answered("{\"a\":}", R"({"type":"error","message":"not relayed: )"
                               R"(unexpected character at byte 5"})");
    check_answered("", R"({"type":"error","message":"not relayed: )"
                       R"(unexpected end at byte 0"})");
    check_answered("\xFF", R"({"type":"error","message":"not relayed: )"
                           R"(malformed UTF-8 at byte 0"})");
}

TEST_CASE("reserved types are refused") {
    for (std::string type : {"system", "error", "hello", "ping", "pong"})
        check_answered("{\"type\":\"" + type + "\"}", reserved(type));
}

TEST_CASE(
    "a sender with the grant may send system, and no other reserved type") {
    const Sender sender{{true}, false};
    check_relayed(R"({"type":"system","message":"x"})", sender);
    for (std::string type : {"error", "hello", "ping", "pong"})
        check_answered("{\"type\":\"" + type + "\"}", reserved(type), sender);
}

TEST_CASE("the type ping is answered with a pong for wschat.v1") {
    const Sender sender{{false}, true};
    check_answered(R"({"type":"ping"})", R"({"type":"pong"})", sender);
    check_answered(R"({"x":1,"type":"pi\u006eg"})", R"({"type":"pong"})",
                   sender);
    check_answered(R"({"type":"pong"})", reserved("pong"), sender);
    check_answered(R"({"type":"system"})", reserved("system"), sender);
}

TEST_CASE("each decision has its action, and a reason only if it refuses") {
    using Action = RelayDecision::Action;
    struct {
        std::string text;
        Sender sender;
        Action action;
    } const rows[] = {
        {"{}", {}, Action::Relay},
        {"0", {}, Action::Ignore},
        {"x", {}, Action::Refuse},
        {R"({"type":"system"})", {}, Action::Refuse},
        {R"({"type":"system"})", {{true}, false}, Action::Relay},
        {R"({"type":"ping"})", {}, Action::Refuse},
        {R"({"type":"ping"})", {{true}, false}, Action::Refuse},
        {R"({"type":"ping"})", {{false}, true}, Action::Pong},
        {R"({"type":"ping"})", {{true}, true}, Action::Pong},
        // two reserved types: the one that is refused decides
        {R"({"type":"system","type":"ping"})", {{true}, false}, Action::Refuse},
        {R"([{"type":"ping"}])", {{false}, true}, Action::Relay},
        {R"({"type":["ping"]})", {{false}, false}, Action::Refuse},
        {R"({"type":["ping","x"]})", {{false}, true}, Action::Relay},
    };
    for (const auto& row : rows) {
        CAPTURE(row.text);
        const RelayDecision decision =
            decide_relay(row.text, row.sender.grants, row.sender.v1);
        CHECK((decision.action == row.action));
        CHECK(decision.reason.empty() == (row.action != Action::Refuse));
    }
}
