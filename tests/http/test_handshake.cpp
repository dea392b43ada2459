#include "http/handshake.h"

#include <string>

#include <doctest/doctest.h>

using namespace wschat;

TEST_CASE("the location is that of the tutorial's server") {
    struct {
        std::string host;
        std::string plain;
    } const hosts[] = {
        {"chat.example.com", "wss://chat.example.com:9600/websocket.php"},
        {"domain.com", "wss://domain.com:9600/websocket.php"},
        {"203.0.113.7", "wss://203.0.113.7:9600/websocket.php"},
        {"2001:db8::1", "wss://[2001:db8::1]:9600/websocket.php"},
        {"site.local", "wss://site.local:9600/websocket.php"},
        {"local", "wss://local:9600/websocket.php"},
        // "local." anywhere in the name
        {"local.example.com", "ws://local.example.com:9600/websocket.php"},
        {"LOCAL.example.com", "ws://LOCAL.example.com:9600/websocket.php"},
        {"chat.Local.test", "ws://chat.Local.test:9600/websocket.php"},
        {"mylocal.net", "ws://mylocal.net:9600/websocket.php"},
        // loopback hosts
        {"localhost", "ws://localhost:9600/websocket.php"},
        {"LocalHost", "ws://LocalHost:9600/websocket.php"},
        {"127.0.0.1", "ws://127.0.0.1:9600/websocket.php"},
        {"127.255.0.9", "ws://127.255.0.9:9600/websocket.php"},
        {"::1", "ws://[::1]:9600/websocket.php"},
    };
    for (const auto& row : hosts) {
        CHECK(websocket_location(row.host, 9600, false) == row.plain);
        const std::string rest = row.plain.substr(row.plain.find(':'));
        CHECK(websocket_location(row.host, 9600, true) == "wss" + rest);
    }
}

TEST_CASE("the location has the port") {
    CHECK(websocket_location("localhost", 1, false) ==
          "ws://localhost:1/websocket.php");
    CHECK(websocket_location("localhost", 65535, false) ==
          "ws://localhost:65535/websocket.php");
}

