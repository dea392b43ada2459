// The relay: which messages reach everyone, which are dropped, and what their
// sender is told.
#include <fstream>
#include <initializer_list>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "daemon.h"
#include "peer.h"

using namespace wschat::test;

namespace {

struct Vector {
    std::string payload;
    bool relayed = false;
    bool falsy = false;  // JSON, dropped in silence
    bool utf8 = true;
    std::string name;
};

std::string from_hex(const std::string& hex) {
    std::string out;
    for (size_t i = 0; i + 1 < hex.size(); i += 2)
        out += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
    return out;
}

std::vector<Vector> read_vectors() {
    std::ifstream file("tests/json-relay.tsv");
    std::vector<Vector> vectors;
    for (std::string row; std::getline(file, row);) {
        if (row[0] == '#') continue;
        std::istringstream columns(row);
        std::string hex, php, ours;
        Vector vector;
        std::getline(columns, hex, '\t');
        std::getline(columns, php, '\t');
        std::getline(columns, ours, '\t');
        std::getline(columns, vector.name);
        vector.payload = from_hex(hex);
        vector.relayed = ours == "relayed";
        vector.falsy = vector.name.find("— falsy") != std::string::npos;
        vector.utf8 = vector.name.find("Malformed UTF-8") == std::string::npos;
        vectors.push_back(vector);
    }
    return vectors;
}

// The byte that a notice names, which must be in the payload or at its end.
void hears_not_json(Peer& peer, const Vector& vector) {
    const std::string notice = peer.next_text();
    std::smatch match;
    const std::regex form(
        R"re(\{"type":"error","message":"not relayed: [^"\\]+ )re"
        R"re(at byte ([0-9]+)"\})re");
    CHECK_MESSAGE(std::regex_match(notice, match, form), notice);
    if (match.size() == 2) CHECK(std::stoul(match[1]) <= vector.payload.size());
}

// What follows a message that is not relayed is `[7]`, for everyone.
void check_vector(Peer& ann, Peer& bob, const Vector& vector) {
    if (vector.relayed) {
        ann.hears(vector.payload);
        bob.hears(vector.payload);
    } else if (!vector.falsy) {
        hears_not_json(ann, vector);
    }
    ann.say("[7]");
    ann.hears("[7]");
    bob.hears("[7]");
}

void check_dropped_at(Peer& ann, const std::string& payload, size_t offset) {
    CAPTURE(payload);
    ann.say(payload);
    ann.hears_notice("at byte " + std::to_string(offset) + "\"");
}

void check_reserved(Peer& ann, Peer& bob, const std::string& message,
                    const std::string& type) {
    CAPTURE(message);
    std::vector<std::string> forms{text_frame(message), binary_frame(message)};
    if (message[0] == '{') forms.push_back(message);
    for (const std::string& form : forms) {
        ann.send(form);
        ann.hears(R"({"type":"error","message":"not relayed: the type \")" +
                  type + R"(\" is reserved"})");
    }
    bob.say("[7]");
    ann.hears("[7]");
    bob.hears("[7]");
}

void check_relayed(Peer& ann, Peer& bob, const std::string& message) {
    CAPTURE(message);
    ann.say(message);
    ann.hears(message);
    bob.hears(message);
}

}  // namespace

TEST_CASE("every payload of the table is relayed or dropped as text") {
    Daemon daemon;
    Peer bob = join(daemon);
    const std::vector<Vector> vectors = read_vectors();
    REQUIRE(vectors.size() == 287);
    for (const Vector& vector : vectors) {
        INFO("payload: " << vector.name);
        Peer ann = join(daemon);
        ann.say(vector.payload);
        if (vector.utf8)
            check_vector(ann, bob, vector);
        else
            ann.is_closed(1007);
    }
}

TEST_CASE("every payload of the table is relayed or dropped as binary") {
    Daemon daemon;
    Peer ann = join(daemon);
    Peer bob = join(daemon);
    for (const Vector& vector : read_vectors()) {
        INFO("payload: " << vector.name);
        ann.send(binary_frame(vector.payload));
        check_vector(ann, bob, vector);
    }
}

TEST_CASE("every object of the table that is relayed is so as raw JSON") {
    Daemon daemon;
    Peer ann = join(daemon);
    Peer bob = join(daemon);
    for (const Vector& vector : read_vectors()) {
        if (!vector.relayed || vector.payload[0] != '{') continue;
        INFO("payload: " << vector.name);
        const size_t end = vector.payload.rfind('}') + 1;
        ann.send(vector.payload);
        ann.hears(vector.payload.substr(0, end));
        bob.hears(vector.payload.substr(0, end));
    }
}

TEST_CASE("a message reaches everyone, in the sender's own bytes") {
    Daemon daemon;
    std::vector<Peer> peers = join(daemon, 5);
    const std::string message =
        "{ \"type\":\"message\",\t\"username\" : \"Zo\xc3\xa9\",\n"
        "  \"message\":\"\\u00e9 \xf0\x9f\x98\x80 <b>\", \"n\": 1.50 } ";
    peers[2].say(message);
    for (Peer& peer : peers) peer.hears(message);
    peers[4].send(binary_frame(message));
    for (Peer& peer : peers) peer.hears(message);
}

TEST_CASE("a message of any size is framed in the shortest way") {
    Daemon daemon;
    Peer ann = join(daemon);
    Peer bob = join(daemon);
    for (size_t size : std::initializer_list<size_t>{
             3, 124, 125, 126, 127, 255, 256, 4095, 65534, 65535, 65536, 65537,
             131072, 300000}) {
        CAPTURE(size);
        ann.say(json_string(size));
        ann.hears(json_string(size));
        bob.hears(json_string(size));
    }
}

TEST_CASE("what PHP calls falsy is dropped in silence") {
    Daemon daemon;
    Peer ann = join(daemon);
    for (const char* message : {"null", "false", "0", "-0", "0.0", "\"\"",
                                "\"0\"", "[]", " [ ] ", "0e5", "1e-400"})
        ann.say(message);
    ann.say("[1]");
    ann.hears("[1]");
}

TEST_CASE("a notice names the byte where the text went wrong") {
    Daemon daemon;
    Peer ann = join(daemon);
    check_dropped_at(ann, "", 0);
    check_dropped_at(ann, "x", 0);
    check_dropped_at(ann, "{\"a\":1,}", 7);
    check_dropped_at(ann, "[1 2]", 3);
    check_dropped_at(ann, "{\"a\":1}}", 7);
    check_dropped_at(ann, "[1]x", 3);
    check_dropped_at(ann, "{'a':1}", 1);
    check_dropped_at(ann, "[\"\x01\"]", 2);
    check_dropped_at(ann, "{\"a\":1", 6);
    check_dropped_at(ann, "[", 1);
}

TEST_CASE("a notice is for the sender alone") {
    Daemon daemon;
    Peer ann = join(daemon);
    Peer bob = join(daemon);
    for (int i = 0; i < 100; ++i) ann.say("nonsense");
    for (int i = 0; i < 100; ++i) ann.hears_notice("not relayed: ");
    ann.say("[1]");
    bob.hears("[1]");
    ann.hears("[1]");
}

TEST_CASE("a client cannot claim a type that is the server's") {
    Daemon daemon;
    Peer ann = join(daemon);
    Peer bob = join(daemon);
    for (const char* type : {"system", "error", "hello", "ping", "pong"}) {
        const std::string value = std::string("\"") + type + "\"";
        check_reserved(ann, bob, "{\"type\":" + value + ",\"message\":\"x\"}",
                       type);
        check_reserved(ann, bob, " { \"a\" : 1 , \"type\" :\n" + value + " } ",
                       type);
    }
}

TEST_CASE("a reserved type is seen however it is escaped or repeated") {
    Daemon daemon;
    Peer ann = join(daemon);
    Peer bob = join(daemon);
    for (const char* message :
         {R"({"\u0074ype":"system"})", R"({"type":"syst\u0065m"})",
          R"({"\u0074\u0079\u0070\u0065":"\u0073\u0079\u0073\u0074\u0065m"})",
          R"({"t\u0079pe":"\u0073ystem"})", R"({"typ\u0065":"syste\u006D"})",
          R"({"type":"message","type":"system"})",
          R"({"type":"system","type":"message"})",
          R"({"type":"a","type":"system","type":"b"})",
          R"({"a":{"type":"x"},"b":["type"],"type":"system"})",
          R"({"type":"system","type":1})", R"({"":0,"type":"system"})"})
        check_reserved(ann, bob, message, "system");
    check_reserved(ann, bob, R"({"type":"\u0070ing"})", "ping");
    check_reserved(ann, bob, R"({"type":"\u0070\u006fng"})", "pong");
}

TEST_CASE("what only resembles a reserved type is relayed") {
    Daemon daemon;
    Peer ann = join(daemon);
    Peer bob = join(daemon);
    for (const char* message : {R"({"type":"System"})",
                                R"({"type":"systems"})",
                                R"({"type":"syste"})",
                                R"({"type":"system "})",
                                R"({"type":"system\u0000"})",
                                R"({"Type":"system"})",
                                R"({"type ":"system"})",
                                R"({"type\u0000":"system"})",
                                R"({"types":"system"})",
                                R"({"typ":"system"})",
                                R"({"type":["system"]})",
                                R"({"type":{"type":"system"}})",
                                R"({"a":{"type":"system"}})",
                                R"([{"type":"system"}])",
                                R"({"system":"type"})",
                                R"({"a":"type","b":"system"})",
                                R"({"type":"\\u0073ystem"})",
                                R"("system")",
                                R"({"message":"{\"type\":\"system\"}"})",
                                R"({"type":""})",
                                R"(["type","system"])",
                                R"({"type":"sys\"tem"})"})
        check_relayed(ann, bob, message);
}

TEST_CASE("--relay-system lets clients send system, and nothing more") {
    Daemon daemon({"--relay-system"});
    Peer ann = join(daemon);
    Peer bob = join(daemon);
    check_relayed(ann, bob, R"({"type":"system","message":"hi"})");
    check_relayed(ann, bob, R"({"type":"syst\u0065m","message":"hi"})");
    for (const char* type : {"error", "hello", "ping", "pong"})
        check_reserved(ann, bob, std::string("{\"type\":\"") + type + "\"}",
                       type);
    check_reserved(ann, bob, R"({"type":"system","type":"error"})", "error");
    check_reserved(ann, bob, R"({"type":"pong","type":"system"})", "pong");
}

TEST_CASE("a newcomer hears nothing of what was said before") {
    Daemon daemon;
    Peer ann = join(daemon);
    ann.say("[1]");
    ann.hears("[1]");
    Peer bob = join(daemon);
    ann.say("[2]");
    bob.hears("[2]");
}

TEST_CASE("500 frames in one segment are 500 messages in order") {
    Daemon daemon;
    Peer ann = join(daemon);
    Peer bob = join(daemon);
    std::string all;
    for (int i = 1; i <= 500; ++i)
        all += text_frame("[" + std::to_string(i) + "]");
    ann.send(all);
    for (int i = 1; i <= 500; ++i) {
        ann.hears("[" + std::to_string(i) + "]");
        bob.hears("[" + std::to_string(i) + "]");
    }
}

TEST_CASE("messages of a million bytes come through whole") {
    Daemon daemon;
    Peer ann = join(daemon);
    Peer bob = join(daemon);
    for (char fill : {'a', 'b', 'c'}) {
        ann.say(json_string(1000000, fill));
        ann.hears(json_string(1000000, fill));
        bob.hears(json_string(1000000, fill));
    }
}

TEST_CASE("the tutorial's own front end chats") {
    Daemon daemon({}, "localhost");
    Peer ann = join(SocketAddress::v6(daemon.port()));
    Peer bob = join(SocketAddress::v4(daemon.port()));
    const std::string message =
        R"({"type":"message","username":"Ann","message":"hello"})";
    ann.say(message);
    ann.hears(message);
    bob.hears(message);
}
