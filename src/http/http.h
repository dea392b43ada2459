// HTTP/1.1 as far as a server of WebSockets and a few pages needs it: request
// heads in, responses out (RFC 9110, RFC 9112). No sockets, no clock. Does not
// know which resources there are; of methods and authentication it knows only
// the headers that a 401, 405 and 426 must have.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace wschat {

constexpr size_t kMaxHead = 8192;      // bytes, including the empty line
constexpr size_t kMaxHeadLines = 100;  // including the request line

/// Collects a request head that arrives in pieces. Looks at each byte once, so
/// that a head sent byte by byte costs no more than one sent at once.
class HeadReader {
public:
    enum class State {
        NeedMore,
        Complete,
        BadByte,  // a control byte, a CR or LF without the other, or a first
                  // byte that can't begin a method
        TooLarge  // over kMaxHead or kMaxHeadLines
    };

    /// Consumes the next bytes of the connection up to the end of the head, or
    /// to the byte that makes it bad or too large. Returns how many.
    size_t feed(std::string_view bytes);

    State state() const { return state_; }

    /// Returns the bytes consumed so far.
    std::string_view text() const { return text_; }

private:
    void add(char c);
    void end_line();

    std::string text_;
    State state_ = State::NeedMore;
    size_t lines_ = 0;       // complete lines
    size_t line_start_ = 0;  // index of the first byte of the current line
};

/// A header line. Name and value are parts of the head.
struct Header {
    std::string_view name;
    std::string_view value;  // without the blanks around it
};

/// A parsed request head. The text of the head must outlive it.
struct Request {
    std::string_view method;
    std::string_view path;     // the target up to its question mark
    std::string_view query;    // the target behind its question mark
    std::string_view version;  // as in "1.1"
    std::vector<Header> headers;
    const char* error = nullptr;  // static text; if set, the request is
                                  // malformed and the rest may be incomplete

    /// Returns how many header lines have this name, in upper or lower case.
    size_t count(std::string_view name) const;

    /// Returns the value of the first header line of this name; empty if there
    /// is none.
    std::string_view value(std::string_view name) const;

    /// True if `item` is an element of the comma-separated list that all header
    /// lines of this name make up (RFC 9110, section 5.3).
    bool lists(std::string_view name, std::string_view item,
               bool ignore_case) const;
};

/// Parses a complete head, including the empty line. Takes any bytes. Sets
/// `error` also for a request to which RFC 9112 wants a 400 though its grammar
/// is right: not exactly one valid Host, or a version before HTTP/1.1.
Request parse_request(std::string_view head);

/// The length of a request's body (RFC 9112, section 6.3).
struct BodyLength {
    enum class Kind {
        None,      // neither Content-Length nor Transfer-Encoding
        Known,     // see `bytes`
        Chunked,   // Transfer-Encoding, whichever it is
        Malformed  // not a number, two lengths, or a length and a coding
    };
    Kind kind = Kind::None;
    uint64_t bytes = 0;  // UINT64_MAX also stands for any greater number

    bool is_zero() const {
        return kind == Kind::None || (kind == Kind::Known && bytes == 0);
    }
};
BodyLength body_length(const Request& request);

/// The response to a request.
struct Response {
    int status = 400;
    std::string bytes{};  // to send: the head and the body
    std::string why{};    // for the log, if the request was refused
};

/// Returns a response with the given header lines, each including its CR LF,
/// and the given body. Adds the headers that the status requires,
/// Content-Length and Connection, which names `close`.
Response make_response(int status, const std::string& headers,
                       std::string_view body);

/// Returns a response that refuses a request, with the reason as its body.
/// REQUIRES: why is printable ASCII.
Response error_response(int status, const std::string& why);

/// Removes the body and leaves the headers: HEAD is answered like GET but
/// without content (RFC 9110, section 9.3.2).
void remove_body(Response& response);

/// Removes the longest token, such as a name (RFC 9110, section 5.6.2), from
/// the front of `text`. Returns it; empty if none is there.
std::string_view take_token(std::string_view& text);

}  // namespace wschat
