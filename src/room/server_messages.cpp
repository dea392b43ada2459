#include "room/server_messages.h"

#include "util/json.h"

namespace wschat {

namespace {

std::string field(const char* name, const std::string& value) {
    return "\"" + std::string(name) + "\":" + value;
}

std::string message(const char* type, const std::string& text) {
    return "{" + field("type", quote_json(type)) + "," +
           field("message", quote_json(text)) + "}";
}

}  // namespace

std::string error_notice(const std::string& reason) {
    return message("error", "not relayed: " + reason);
}

std::string system_message(const std::string& text) {
    return message("system", text);
}

// The fields stand in the order that wschat(7) shows. Clients must not depend
// on it, but people compare the two.
std::string hello_message(const Hello& hello) {
    return "{" + field("type", "\"hello\"") + "," +
           field("room", quote_json(hello.room)) + "," +
           field("epoch", quote_json(hello.epoch)) + "," +
           field("first", std::to_string(hello.first)) + "," +
           field("last", std::to_string(hello.last)) + "," +
           field("clients", std::to_string(hello.clients)) + "," +
           field("recovered", hello.recovered ? "true" : "false") + "," +
           field("maxMessage", std::to_string(hello.max_message)) + "," +
           field("announce", quote_json(hello.announce)) + "}";
}

std::string receipt(const std::string& room, size_t clients, uint64_t number) {
    return "{" + field("room", quote_json(room)) + "," +
           field("clients", std::to_string(clients)) + "," +
           field("number", std::to_string(number)) + "}";
}

}  // namespace wschat
