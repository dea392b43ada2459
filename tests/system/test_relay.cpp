// The relay: which messages are relayed, which are dropped, and the notices to
// their senders.
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
    bool falsy = false;  // JSON, dropped without a notice
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
    // Without the file, the tests would check nothing.
    REQUIRE(vectors.size() == 287);
    return vectors;
}

// Expects a notice. The byte that it names must be in the payload or at its
// end.
void expect_not_json(Peer& peer, const Vector& vector) {
    const std::string notice = peer.next_text();
    std::smatch match;
    const std::regex form(
        R"re(\{"type":"error","message":"not relayed: [^"\\]+ )re"
        R"re(at byte ([0-9]+)"\})re");
    CHECK_MESSAGE(std::regex_match(notice, match, form), notice);
    if (match.size() == 2) CHECK(std::stoul(match[1]) <= vector.payload.size());
}

// Checks the result for a payload that was sent. If it is not relayed, the next
// message of all clients is `[7]`.
void check_vector(Peer& ann, Peer& bob, const Vector& vector) {
    if (vector.relayed) {
        ann.expect_message(vector.payload);
        bob.expect_message(vector.payload);
    } else if (!vector.falsy) {
        expect_not_json(ann, vector);
    }
    ann.send_message("[7]");
    ann.expect_message("[7]");
    bob.expect_message("[7]");
}

void check_dropped_at(Peer& ann, const std::string& payload, size_t offset) {
    CAPTURE(payload);
    ann.send_message(payload);
    ann.expect_notice("at byte " + std::to_string(offset) + "\"");
}

void check_reserved(Peer& ann, Peer& bob, const std::string& message,
                    const std::string& type) {
    CAPTURE(message);
    std::vector<std::string> forms{text_frame(message), binary_frame(message)};
    if (message[0] == '{') forms.push_back(message);
    for (const std::string& form : forms) {
        ann.send(form);
        ann.expect_message(
            R"({"type":"error","message":"not relayed: the type \")" + type +
            R"(\" is reserved"})");
    }
    bob.send_message("[7]");
    ann.expect_message("[7]");
    bob.expect_message("[7]");
}

void check_relayed(Peer& ann, Peer& bob, const std::string& message) {
    CAPTURE(message);
    ann.send_message(message);
    ann.expect_message(message);
    bob.expect_message(message);
}

}  // namespace

TEST_CASE("every payload of the table is relayed or dropped as text") {
    Daemon daemon;
    Peer bob = join(daemon);
    for (const Vector& vector : read_vectors()) {
        INFO("payload: " << vector.name);
        Peer ann = join(daemon);
        ann.send_message(vector.payload);
        if (vector.utf8)
            check_vector(ann, bob, vector);
        else
            ann.expect_closed(1007);
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

TEST_CASE("every object of the table that is relayed is relayed as raw JSON") {
    Daemon daemon;
    Peer ann = join(daemon);
    Peer bob = join(daemon);
    for (const Vector& vector : read_vectors()) {
        if (!vector.relayed || vector.payload[0] != '{') continue;
        INFO("payload: " << vector.name);
        const size_t end = vector.payload.rfind('}') + 1;
        ann.send(vector.payload);
        ann.expect_message(vector.payload.substr(0, end));
        bob.expect_message(vector.payload.substr(0, end));
    }
}

TEST_CASE("a message reaches all clients with the sender's own bytes") {
    Daemon daemon;
    std::vector<Peer> peers = join(daemon, 5);
    const std::string message =
        "{ \"type\":\"message\",\t\"username\" : \"Zo\xc3\xa9\",\n"
        "  \"message\":\"\\u00e9 \xf0\x9f\x98\x80 <b>\", \"n\": 1.50 } ";
    peers[2].send_message(message);
    for (Peer& peer : peers) peer.expect_message(message);
    peers[4].send(binary_frame(message));
    for (Peer& peer : peers) peer.expect_message(message);
}

TEST_CASE("a message of any size gets the shortest frame header") {
    Daemon daemon;
    Peer ann = join(daemon);
    Peer bob = join(daemon);
    for (size_t size : std::initializer_list<size_t>{
             3, 124, 125, 126, 127, 255, 256, 4095, 65534, 65535, 65536, 65537,
             131072, 300000}) {
        CAPTURE(size);
        ann.send_message(json_string(size));
        ann.expect_message(json_string(size));
        bob.expect_message(json_string(size));
    }
}

TEST_CASE("a value that PHP calls falsy is dropped without a notice") {
    Daemon daemon;
    Peer ann = join(daemon);
    for (const char* message : {"null", "false", "0", "-0", "0.0", "\"\"",
                                "\"0\"", "[]", " [ ] ", "0e5", "1e-400"})
        ann.send_message(message);
    ann.send_message("[1]");
    ann.expect_message("[1]");
}

TEST_CASE("a notice names the byte at which a text stops being JSON") {
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

TEST_CASE("a notice goes to the sender alone") {
    Daemon daemon;
    Peer ann = join(daemon);
    Peer bob = join(daemon);
    for (int i = 0; i < 100; ++i) ann.send_message("nonsense");
    for (int i = 0; i < 100; ++i) ann.expect_notice("not relayed: ");
    ann.send_message("[1]");
    bob.expect_message("[1]");
    ann.expect_message("[1]");
}

TEST_CASE("a client can't send a reserved type") {
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

TEST_CASE("a reserved type is found however it is escaped or repeated") {
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

TEST_CASE("a type that only resembles a reserved one is relayed") {
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
                                R"({"type":["system","x"]})",
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

TEST_CASE("--relay-system allows the type system, and no other reserved type") {
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

TEST_CASE("without --history a new client gets no earlier message") {
    Daemon daemon;
    Peer ann = join(daemon);
    ann.send_message("[1]");
    ann.expect_message("[1]");
    Peer bob = join(daemon);
    ann.send_message("[2]");
    bob.expect_message("[2]");
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
        ann.expect_message("[" + std::to_string(i) + "]");
        bob.expect_message("[" + std::to_string(i) + "]");
    }
}

TEST_CASE("messages of 1,000,000 bytes are relayed whole") {
    Daemon daemon;
    Peer ann = join(daemon);
    Peer bob = join(daemon);
    for (char fill : {'a', 'b', 'c'}) {
        ann.send_message(json_string(1000000, fill));
        ann.expect_message(json_string(1000000, fill));
        bob.expect_message(json_string(1000000, fill));
    }
}

TEST_CASE("the messages of the tutorial's front end are relayed") {
    Daemon daemon({}, "localhost");
    Peer ann = join(SocketAddress::v6(daemon.port()));
    Peer bob = join(SocketAddress::v4(daemon.port()));
    const std::string message =
        R"({"type":"message","username":"Ann","message":"hello"})";
    ann.send_message(message);
    ann.expect_message(message);
    bob.expect_message(message);
}
