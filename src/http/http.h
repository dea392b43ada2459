// HTTP/1.1 as far as a server of WebSockets and a few pages needs it: a
// request head in, an answer out (RFC 9110, RFC 9112). No sockets, no clock;
// what is asked for is not known here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace wschat {

constexpr size_t kMaxHead = 8192;      // bytes, the empty line included
constexpr size_t kMaxHeadLines = 100;  // the request line included

/// Collects a request head that arrives in pieces. Looks at each byte once.
class HeadReader {
public:
    enum class State {
        NeedMore,
        Complete,
        BadByte,  // a control byte, CR and LF that are not a pair, or a first
                  // byte that begins no method
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

/// A header line. Names and values are parts of the head.
struct Header {
    std::string_view name;
    std::string_view value;  // without the space around it
};

/// A parsed request head, which must outlive it.
struct Request {
    std::string_view method;
    std::string_view path;   // the target up to its question mark
    std::string_view query;  // what follows that
    std::string_view version;  // as in "1.1"
    std::vector<Header> headers;
    const char* error = nullptr;  // if set, the request is malformed

    /// How many header lines have this name, in any case.
    size_t count(std::string_view name) const;

    /// The first value of a header, or nothing.
    std::string_view value(std::string_view name) const;

    /// Whether a comma-separated list, over all lines of that name, has this
    /// item; `any_case` says how they are compared.
    bool lists(std::string_view name, std::string_view item,
               bool any_case) const;
};

/// Parses a whole head, the empty line included. Takes any bytes. Sets
/// `error` also where RFC 9112 wants a 400: no single valid Host, a version
/// before HTTP/1.1.
Request parse_request(std::string_view head);

/// How long a request's body is (RFC 9112, section 6.3).
struct BodyLength {
    enum class Kind {
        None,       // neither length nor transfer coding
        Known,      // `bytes`
        Chunked,    // or any other transfer coding
        Malformed   // no number, or more than one length
    };
    Kind kind = Kind::None;
    uint64_t bytes = 0;  // UINT64_MAX if it is more than that

    bool is_zero() const {
        return kind == Kind::None || (kind == Kind::Known && bytes == 0);
    }
};
BodyLength body_length(const Request& request);

/// The answer to a request.
struct Response {
    int status = 400;     // 101: the connection is a WebSocket now; 100: the
                          // body may come
    std::string bytes{};  // to be sent
    std::string why{};    // for the log, if refused
};

/// An answer with these header lines, each with its CR LF, this body, its
/// length, and `Connection: close`.
Response make_response(int status, const std::string& headers,
                   std::string_view body);

/// A refusal with a line of text as its body. REQUIRES: why is printable
/// ASCII.
Response error_response(int status, const std::string& why);

/// What answers HEAD has no body (RFC 9110, section 9.3.2).
void remove_body(Response& answer);

/// Takes what can be a name (RFC 9110, section 5.6.2) off the front; it may be
/// empty.
std::string_view take_token(std::string_view& text);

}  // namespace wschat
