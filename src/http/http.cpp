#include "http/http.h"

#include <algorithm>
#include <cstring>

#include "util/host.h"
#include "util/text.h"

namespace wschat {

namespace {

constexpr std::string_view kLineEnd = "\r\n";

/// True for the bytes of header names and methods (RFC 9110, section 5.6.2).
bool is_token_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) ||
           (c != '\0' && std::strchr("!#$%&'*+-.^_`|~", c));
}

bool is_token(std::string_view text) {
    return !take_token(text).empty() && text.empty();
}

/// Looser than RFC 3986, since browsers leave bytes such as `|` unescaped. They
/// never send a fragment, so `#` is an error.
bool is_target(std::string_view text) {
    return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
        return c > ' ' && c < '\x7F' && c != '#';
    });
}

bool is_version(std::string_view text) {
    return text.size() == 3 && is_digit(text[0]) && text[1] == '.' &&
           is_digit(text[2]);
}

/// Removes the first line and its CR LF from the front. Returns the line
/// without them.
std::string_view take_line(std::string_view& head) {
    const std::string_view line = head.substr(0, head.find(kLineEnd));
    head.remove_prefix(std::min(head.size(), line.size() + kLineEnd.size()));
    return line;
}

/// Removes scheme and host from the front of a target. Clients use this form
/// when they talk to a proxy, and servers must accept it (RFC 9112, section
/// 3.2.2). Returns false if the target does not have it.
bool remove_scheme_and_host(std::string_view& target) {
    const size_t slashes = target.find_first_of("/?");
    // A "//" further on belongs to the path or to the query.
    if (slashes == target.npos || slashes == 0 || target[slashes - 1] != ':' ||
        target.substr(slashes, 2) != "//")
        return false;
    const size_t end = target.find_first_of("/?", slashes + 2);
    target.remove_prefix(std::min(end, target.size()));
    return true;
}

void set_target(std::string_view target, Request& request) {
    const bool has_host = remove_scheme_and_host(target);
    request.path = take_until(target, '?');
    request.query = target;
    // A URL without a path has the path "/" (RFC 9110, section 4.2.3).
    if (has_host && request.path.empty()) request.path = "/";
}

/// Returns the error, or null.
const char* parse_request_line(std::string_view line, Request& request) {
    request.method = take_until(line, ' ');
    const std::string_view target = take_until(line, ' ');
    set_target(target, request);
    const std::string_view protocol = take_until(line, '/');
    request.version = line;
    if (!is_token(request.method) || !is_target(target) || protocol != "HTTP" ||
        !is_version(request.version))
        return "malformed request line";
    return nullptr;
}

/// Returns the error, or null. REQUIRES: the line is not empty.
const char* parse_header(std::string_view line, Request& request) {
    // A proxy in front may have taken it for a header of its own (RFC 9112,
    // section 5.2).
    if (line[0] == ' ' || line[0] == '\t') return "folded header line";
    const size_t colon = line.find(':');
    if (colon == line.npos) return "header line without a colon";
    const Header header{line.substr(0, colon), trim(line.substr(colon + 1))};
    // Blanks before the colon are refused too (RFC 9112, section 5.1).
    if (!is_token(header.name)) return "malformed header name";
    request.headers.push_back(header);
    return nullptr;
}

/// Returns the error of a request that is well-formed line by line, or null.
const char* find_error(const Request& request) {
    // A version is a digit, a dot and a digit, so texts compare like numbers.
    if (request.version < "1.1") return "HTTP/1.1 is required";
    if (request.count("Host") != 1)
        return "exactly one Host header is required";
    if (!is_host_header(request.value("Host"))) return "malformed Host";
    return nullptr;
}

const char* status_text(int status) {
    switch (status) {
        case 200: return "OK";
        case 304: return "Not Modified";
        case 308: return "Permanent Redirect";
        case 400: return "Bad Request";
        case 401: return "Unauthorized";
        case 403: return "Forbidden";
        case 404: return "Not Found";
        case 405: return "Method Not Allowed";
        case 408: return "Request Timeout";
        case 411: return "Length Required";
        case 413: return "Content Too Large";
        case 426: return "Upgrade Required";
        case 429: return "Too Many Requests";
        case 431: return "Request Header Fields Too Large";
        case 503: return "Service Unavailable";
        default: return "Error";
    }
}

/// Returns the header lines that a status requires or should have (RFC 9110,
/// sections 15.5 and 15.6).
const char* required_headers(int status) {
    switch (status) {
        case 401: return "WWW-Authenticate: Bearer\r\n";
        case 405: return "Allow: GET, HEAD, POST\r\n";
        case 429:
        case 503: return "Retry-After: 10\r\n";
        case 426: return "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
        default: return "";
    }
}

}  // namespace

std::string_view take_token(std::string_view& text) {
    const auto end =
        std::find_if_not(text.begin(), text.end(), is_token_char);
    const auto size = static_cast<size_t>(end - text.begin());
    const std::string_view token = text.substr(0, size);
    text.remove_prefix(size);
    return token;
}

size_t HeadReader::feed(std::string_view bytes) {
    size_t n = 0;
    while (n < bytes.size() && state_ == State::NeedMore) add(bytes[n++]);
    return n;
}

void HeadReader::add(char c) {
    const bool after_cr = !text_.empty() && text_.back() == '\r';
    const bool control = static_cast<unsigned char>(c) < ' ' || c == '\x7F';
    // A peer that speaks another protocol, such as TLS, is refused at its first
    // byte and not only when the handshake times out.
    const bool bad_start = text_.empty() && !is_token_char(c);
    text_ += c;
    // A lone CR or LF ends a line for some servers and not for others, which
    // lets a client hide a request from a proxy (RFC 9112, section 2.2).
    if (bad_start || after_cr != (c == '\n'))
        state_ = State::BadByte;
    else if (c == '\n')
        end_line();
    else if (control && c != '\r' && c != '\t')
        state_ = State::BadByte;
    if (state_ == State::NeedMore && text_.size() == kMaxHead)
        state_ = State::TooLarge;
}

void HeadReader::end_line() {
    const bool empty = text_.size() == line_start_ + kLineEnd.size();
    line_start_ = text_.size();
    if (empty)
        state_ = State::Complete;
    else if (++lines_ > kMaxHeadLines)
        state_ = State::TooLarge;
}

size_t Request::count(std::string_view name) const {
    auto has_name = [name](const Header& header) {
        return equals_ignoring_case(header.name, name);
    };
    return static_cast<size_t>(
        std::count_if(headers.begin(), headers.end(), has_name));
}

std::string_view Request::value(std::string_view name) const {
    for (const Header& header : headers)
        if (equals_ignoring_case(header.name, name)) return header.value;
    return {};
}

bool Request::lists(std::string_view name, std::string_view item,
                    bool ignore_case) const {
    for (const Header& header : headers) {
        if (!equals_ignoring_case(header.name, name)) continue;
        for (std::string_view rest = header.value; !rest.empty();) {
            const std::string_view found = trim(take_until(rest, ','));
            if (ignore_case ? equals_ignoring_case(found, item) : found == item)
                return true;
        }
    }
    return false;
}

Request parse_request(std::string_view head) {
    Request request;
    request.error = parse_request_line(take_line(head), request);
    while (!request.error) {
        const std::string_view line = take_line(head);
        if (line.empty()) break;
        request.error = parse_header(line, request);
    }
    if (!request.error) request.error = find_error(request);
    return request;
}

BodyLength body_length(const Request& request) {
    using Kind = BodyLength::Kind;
    const size_t lengths = request.count("Content-Length");
    const bool coded = request.count("Transfer-Encoding") > 0;
    // If a proxy in front believed the other one, it would see another request
    // in the body (RFC 9112, section 11.2).
    if (lengths > 1 || (lengths > 0 && coded)) return {Kind::Malformed};
    if (coded) return {Kind::Chunked};
    if (lengths == 0) return {Kind::None};
    const std::string_view digits = request.value("Content-Length");
    if (!is_decimal(digits)) return {Kind::Malformed};
    // A number that 64 bits can't hold is over every limit: a 413, not a 400.
    return {Kind::Known,
            parse_decimal(digits, UINT64_MAX).value_or(UINT64_MAX)};
}

Response make_response(int status, const std::string& headers,
                       std::string_view body) {
    Response response;
    response.status = status;
    response.bytes = "HTTP/1.1 " + std::to_string(status) + " " +
                     status_text(status) + "\r\n" +
                     required_headers(status) + headers;
    // A 304 has no body, and Content-Length would describe that of the 200
    // (RFC 9110, section 8.6).
    if (status != 304)
        response.bytes +=
            "Content-Length: " + std::to_string(body.size()) + "\r\n";
    // Upgrade is a header of this hop alone, so Connection must name it (RFC
    // 9110, section 7.8).
    response.bytes += status == 426 ? "Connection: close, Upgrade\r\n\r\n"
                                    : "Connection: close\r\n\r\n";
    response.bytes += body;
    return response;
}

Response error_response(int status, const std::string& why) {
    Response response =
        make_response(status, "Content-Type: text/plain\r\n", why + "\n");
    response.why = why;
    return response;
}

void remove_body(Response& response) {
    response.bytes.resize(response.bytes.find("\r\n\r\n") + 4);
}

}  // namespace wschat
