// Request heads for tests, and what an answer to one must be.
#pragma once

#include <algorithm>
#include <iterator>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "http.h"

namespace wschat::test {

// RFC 6455, section 1.2.
inline const char* const kExample[] = {
    "GET /chat HTTP/1.1",
    "Host: server.example.com",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Origin: http://example.com",
    "Sec-WebSocket-Protocol: chat, superchat",
    "Sec-WebSocket-Version: 13",
};

/// A request head, to begin with that of the RFC.
class Head {
public:
    Head() : lines_(std::begin(kExample), std::end(kExample)) {}

    Head& request_line(const std::string& line) {
        lines_[0] = line;
        return *this;
    }

    Head& with(const std::string& line) {
        lines_.push_back(line);
        return *this;
    }

    Head& without(const std::string& name) {
        lines_.erase(std::remove_if(lines_.begin() + 1, lines_.end(),
                                    [&](const std::string& line) {
                                        return line.rfind(name + ":", 0) == 0;
                                    }),
                     lines_.end());
        return *this;
    }

    /// This line instead of that of the same name.
    Head& instead(const std::string& line) {
        return without(line.substr(0, line.find(':'))).with(line);
    }

    size_t lines() const { return lines_.size(); }

    std::string text() const {
        std::string text;
        for (const std::string& line : lines_) text += line + "\r\n";
        return text + "\r\n";
    }

private:
    std::vector<std::string> lines_;
};

/// A request that is no handshake.
inline Head plain(const std::string& line) {
    return Head()
        .request_line(line)
        .without("Upgrade")
        .without("Connection")
        .without("Sec-WebSocket-Key")
        .without("Sec-WebSocket-Version")
        .without("Sec-WebSocket-Protocol")
        .without("Origin");
}

inline bool has_line(const Answer& answer, const std::string& line) {
    const size_t head = answer.bytes.find("\r\n\r\n");
    return answer.bytes.find("\r\n" + line + "\r\n") < head;
}

/// A refusal is a whole HTTP answer with a line of text in it.
inline void check_refusal(const Answer& answer) {
    CAPTURE(answer.bytes);
    const std::string status = std::to_string(answer.status);
    CHECK(answer.bytes.rfind("HTTP/1.1 " + status + " ", 0) == 0);
    CHECK(has_line(answer, "Connection: close"));
    CHECK(has_line(answer, "Content-Type: text/plain"));
    const size_t end = answer.bytes.find("\r\n\r\n");
    REQUIRE(end != std::string::npos);
    const std::string body = answer.bytes.substr(end + 4);
    CHECK(body == answer.why + "\n");
    CHECK(has_line(answer, "Content-Length: " + std::to_string(body.size())));
    CHECK_FALSE(answer.why.empty());
    CHECK(std::all_of(answer.why.begin(), answer.why.end(),
                      [](char c) { return c >= ' ' && c <= '~'; }));
    if (answer.status == 401)
        CHECK(has_line(answer, "WWW-Authenticate: Bearer"));
    if (answer.status == 405) CHECK(has_line(answer, "Allow: GET, HEAD, POST"));
    if (answer.status == 426) {
        CHECK(has_line(answer, "Upgrade: websocket"));
        CHECK(has_line(answer, "Sec-WebSocket-Version: 13"));
    }
}

}  // namespace wschat::test
