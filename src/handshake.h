// The opening handshake: an HTTP/1.1 request head in, the answer out
// (RFC 6455, section 4.2; RFC 9112). Bytes in, bytes out: no sockets, no clock.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace wschat {

constexpr size_t kMaxHead = 8192;     // bytes, the empty line included
constexpr size_t kMaxHeadLines = 100;  // the request line included

/// Collects a request head that arrives in pieces. Looks at each byte once.
class HeadReader {
public:
    enum class State {
        NeedMore,
        Complete,
        BadByte,  // NUL, a control byte, or CR and LF that are not a pair
        TooLarge  // over kMaxHead or kMaxHeadLines
    };

    /// Takes the next bytes of the connection up to the empty line that ends
    /// the head. Returns how many it took.
    size_t feed(std::string_view bytes);

    State state() const { return state_; }

    /// What was taken so far.
    std::string_view text() const { return text_; }

private:
    void take(char c);
    void end_line();

    std::string text_;
    State state_ = State::NeedMore;
    size_t lines_ = 0;       // lines ended
    size_t line_start_ = 0;  // where the present one began
};

/// What the server is to its clients, as the answers tell it.
struct Site {
    std::string host;      // for WebSocket-Origin
    std::string location;  // for WebSocket-Location
};

/// The URL of the tutorial's server: wss if tls, or if the host is neither a
/// loopback one nor contains "local." in any case; else ws.
std::string websocket_location(const std::string& host, int port, bool tls);

/// A host as it stands in a URL: IPv6 addresses in brackets.
std::string host_in_url(const std::string& host);

/// Whether the name or address always means this machine: localhost in any
/// case, 127.0.0.0/8, ::1.
bool is_loopback_host(const std::string& host);

/// The answer to a request.
struct Answer {
    int status = 400;      // 101: the connection is a WebSocket now
    std::string bytes;     // to be sent
    std::string why = "";  // for the log
};

/// Answers a whole request head, the empty line included. Never throws and
/// takes any bytes.
Answer answer_request(std::string_view head, const Site& site);

/// A refusal with a line of text as its body and `Connection: close`.
/// REQUIRES: why is printable ASCII.
Answer refuse(int status, const std::string& why);

}  // namespace wschat
