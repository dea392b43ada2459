#include "room/server_messages.h"

#include "util/json.h"

namespace wschat {

namespace {

std::string member(const char* name, const std::string& value) {
    return "\"" + std::string(name) + "\":" + value;
}

std::string message(const char* type, const std::string& text) {
    return "{" + member("type", quote_json(type)) + "," +
           member("message", quote_json(text)) + "}";
}

}  // namespace

std::string error_notice(const std::string& reason) {
    return message("error", "not relayed: " + reason);
}

std::string system_message(const std::string& text) {
    return message("system", text);
}

// The members stand in the order that wschat(7) shows. Clients must not depend
// on it, but people compare the two.
std::string hello_message(const Hello& hello) {
    return "{" + member("type", "\"hello\"") + "," +
           member("room", quote_json(hello.room)) + "," +
           member("epoch", quote_json(hello.epoch)) + "," +
           member("first", std::to_string(hello.first)) + "," +
           member("last", std::to_string(hello.last)) + "," +
           member("clients", std::to_string(hello.clients)) + "," +
           member("recovered", hello.recovered ? "true" : "false") + "}";
}

std::string receipt(const std::string& room, size_t clients, uint64_t number) {
    return "{" + member("room", quote_json(room)) + "," +
           member("clients", std::to_string(clients)) + "," +
           member("number", std::to_string(number)) + "}";
}

}  // namespace wschat
