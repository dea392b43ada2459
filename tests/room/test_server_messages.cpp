#include "room/server_messages.h"

#include <string>

#include <doctest/doctest.h>

using namespace wschat;

TEST_CASE("notices and system messages are JSON, whatever their text") {
    CHECK(error_notice("a \"b\" \\") ==
          R"({"type":"error","message":"not relayed: a \"b\" \\"})");
    CHECK(system_message("203.0.113.7 connected") ==
          R"({"type":"system","message":"203.0.113.7 connected"})");
}

TEST_CASE(
    "a hello has the room, the epoch and the numbers of the next messages") {
    CHECK(hello_message({"/x", "abc", 42, 41, 3, true, 65536, "count"}) ==
          R"({"type":"hello","room":"/x","epoch":"abc","first":42,"last":41,)"
          R"("clients":3,"recovered":true,"maxMessage":65536,)"
          R"("announce":"count"})");
    CHECK(hello_message({"/", "0", 1, 0, 1, false, 1, "none"}) ==
          R"({"type":"hello","room":"/","epoch":"0","first":1,"last":0,)"
          R"("clients":1,"recovered":false,"maxMessage":1,)"
          R"("announce":"none"})");
}

TEST_CASE("a receipt has the room, the number of clients and the last number") {
    CHECK(receipt("/", 57, 42) == R"({"room":"/","clients":57,"number":42})");
    CHECK(receipt("/x", 0, ~uint64_t{0}) ==
          R"({"room":"/x","clients":0,"number":18446744073709551615})");
}

TEST_CASE("the name of a room is quoted as a JSON string") {
    const std::string name = "/a\"b\\c<\xC3\xA9>";
    CHECK(receipt(name, 1, 1) ==
          "{\"room\":\"/a\\\"b\\\\c<\xC3\xA9>\",\"clients\":1,\"number\":1}");
    CHECK(hello_message({name, "e", 1, 0, 1, false, 1, "none"})
              .find(",\"room\":\"/a\\\"b\\\\c<\xC3\xA9>\",") !=
          std::string::npos);
}
