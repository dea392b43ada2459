#include "handshake.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <vector>

#include <arpa/inet.h>
#include <openssl/evp.h>
#include <openssl/sha.h>

namespace wschat {

namespace {

constexpr std::string_view kDigits = "0123456789";
constexpr std::string_view kBase64 =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view kSpace = " \t";

/// A header line. Names and values are parts of the head.
struct Header {
    std::string_view name;
    std::string_view value;  // without the space around it
};

struct Request {
    std::string_view method;
    std::string_view version;  // as in "1.1"
    std::vector<Header> headers;
    const char* error = nullptr;  // if set, the request is malformed
};

char lower(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}

bool equal_in_any_case(std::string_view a, std::string_view b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                      [](char x, char y) { return lower(x) == lower(y); });
}

std::string_view trim(std::string_view text) {
    const size_t first = text.find_first_not_of(kSpace);
    if (first == text.npos) return {};
    return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

/// Takes what stands before the separator off the front of `text`, and the
/// separator with it; all of it if there is none.
std::string_view take_until(std::string_view& text, std::string_view separator) {
    const size_t end = text.find(separator);
    std::string_view front = text.substr(0, end);
    text.remove_prefix(end == text.npos ? text.size() : end + separator.size());
    return front;
}

/// A token of RFC 9110, section 5.6.2: what names and methods are made of.
bool is_token(std::string_view text) {
    auto is_token_char = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
               kDigits.find(c) != kDigits.npos ||
               (c != '\0' && std::strchr("!#$%&'*+-.^_`|~", c));
    };
    return !text.empty() && std::all_of(text.begin(), text.end(), is_token_char);
}

bool is_target(std::string_view text) {
    return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
        return c > ' ' && c < '\x7F' && c != '#';
    });
}

bool is_host(std::string_view text) {
    return !text.empty() &&
           text.find_first_of(" \t,/?#@\\\"<>") == text.npos;
}

bool is_version(std::string_view text) {
    return text.size() == 3 && kDigits.find(text[0]) != kDigits.npos &&
           text[1] == '.' && kDigits.find(text[2]) != kDigits.npos;
}

const char* parse_request_line(std::string_view line, Request& request) {
    request.method = take_until(line, " ");
    const std::string_view target = take_until(line, " ");
    const std::string_view protocol = take_until(line, "/");
    request.version = line;
    if (!is_token(request.method) || !is_target(target) || protocol != "HTTP" ||
        !is_version(request.version))
        return "malformed request line";
    return nullptr;
}

const char* parse_header(std::string_view line, Request& request) {
    if (kSpace.find(line[0]) != kSpace.npos) return "folded header line";
    Header header;
    const size_t colon = line.find(':');
    if (colon == line.npos) return "header line without a colon";
    header.name = line.substr(0, colon);
    header.value = trim(line.substr(colon + 1));
    if (!is_token(header.name)) return "malformed header name";
    request.headers.push_back(header);
    return nullptr;
}

Request parse_request(std::string_view head) {
    Request request;
    request.error = parse_request_line(take_until(head, "\r\n"), request);
    while (!request.error) {
        const std::string_view line = take_until(head, "\r\n");
        if (line.empty()) break;
        request.error = parse_header(line, request);
    }
    return request;
}

size_t count(const Request& request, std::string_view name) {
    auto has_name = [name](const Header& header) {
        return equal_in_any_case(header.name, name);
    };
    return static_cast<size_t>(std::count_if(
        request.headers.begin(), request.headers.end(), has_name));
}

/// The first value of a header, or nothing.
std::string_view value(const Request& request, std::string_view name) {
    for (const Header& header : request.headers)
        if (equal_in_any_case(header.name, name)) return header.value;
    return {};
}

/// Whether a comma-separated list, over all lines of that name, has a token.
bool lists(const Request& request, std::string_view name,
           std::string_view token) {
    for (const Header& header : request.headers) {
        if (!equal_in_any_case(header.name, name)) continue;
        for (std::string_view rest = header.value; !rest.empty();)
            if (equal_in_any_case(trim(take_until(rest, ",")), token))
                return true;
    }
    return false;
}

bool has_body(const Request& request) {
    const std::string_view length = value(request, "Content-Length");
    const size_t lengths = count(request, "Content-Length");
    return count(request, "Transfer-Encoding") > 0 || lengths > 1 ||
           (lengths == 1 && length != "0");
}

/// Whether the key is 16 bytes in base64: 22 digits and two pads.
bool is_key(std::string_view key) {
    return key.size() == 24 && key.substr(22) == "==" &&
           key.find_first_not_of(kBase64) == 22;
}

std::string accept_for(std::string_view key) {
    std::string text(key);
    text += "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    std::array<unsigned char, SHA_DIGEST_LENGTH> digest;
    SHA1(reinterpret_cast<const unsigned char*>(text.data()), text.size(),
         digest.data());
    unsigned char encoded[29];  // 28 digits and a NUL
    EVP_EncodeBlock(encoded, digest.data(), static_cast<int>(digest.size()));
    return reinterpret_cast<const char*>(encoded);
}

const char* status_text(int status) {
    switch (status) {
        case 400: return "Bad Request";
        case 405: return "Method Not Allowed";
        case 408: return "Request Timeout";
        case 426: return "Upgrade Required";
        case 431: return "Request Header Fields Too Large";
        default: return "Error";
    }
}

/// What a status obliges the answer to say besides (RFC 9110).
const char* extra_headers(int status) {
    if (status == 405) return "Allow: GET\r\n";
    if (status != 426) return "";
    return "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
}

/// What any HTTP request must fulfil, whatever it wants.
std::optional<Answer> refuse_as_http(const Request& request) {
    if (request.error) return refuse(400, request.error);
    if (request.version < "1.1") return refuse(400, "HTTP/1.1 is needed");
    if (count(request, "Host") != 1) return refuse(400, "no single Host");
    if (!is_host(value(request, "Host"))) return refuse(400, "malformed Host");
    if (request.method != "GET") return refuse(405, "only GET is answered");
    return std::nullopt;
}

/// What a handshake must fulfil (RFC 6455, section 4.2.1).
std::optional<Answer> refuse_as_handshake(const Request& request) {
    const bool upgrade = lists(request, "Upgrade", "websocket");
    if (!upgrade && count(request, "Sec-WebSocket-Key") == 0)
        return refuse(426, "this is a WebSocket server");
    if (!upgrade) return refuse(400, "no Upgrade to websocket");
    if (!lists(request, "Connection", "Upgrade"))
        return refuse(400, "no Upgrade in Connection");
    if (count(request, "Sec-WebSocket-Version") > 1)
        return refuse(400, "more than one Sec-WebSocket-Version");
    if (value(request, "Sec-WebSocket-Version") != "13")
        return refuse(426, "Sec-WebSocket-Version must be 13");
    if (count(request, "Sec-WebSocket-Key") != 1)
        return refuse(400, "no single Sec-WebSocket-Key");
    if (!is_key(value(request, "Sec-WebSocket-Key")))
        return refuse(400, "malformed Sec-WebSocket-Key");
    if (has_body(request)) return refuse(400, "handshake with a body");
    return std::nullopt;
}

/// What answers HEAD has no body (RFC 9110, section 9.3.2).
void drop_body(std::string& answer) {
    answer.resize(answer.find("\r\n\r\n") + 4);
}

Answer accept(const Request& request, const Site& site) {
    std::string bytes =
        "HTTP/1.1 101 Switching Protocols\r\n"
        "Upgrade: websocket\r\n"
        "Connection: Upgrade\r\n"
        "Sec-WebSocket-Accept: ";
    bytes += accept_for(value(request, "Sec-WebSocket-Key"));
    bytes += "\r\nWebSocket-Origin: " + site.host +
             "\r\nWebSocket-Location: " + site.location + "\r\n\r\n";
    return {101, bytes, ""};
}

}  // namespace

size_t HeadReader::feed(std::string_view bytes) {
    size_t n = 0;
    while (n < bytes.size() && state_ == State::NeedMore) take(bytes[n++]);
    return n;
}

void HeadReader::take(char c) {
    const bool after_cr = !text_.empty() && text_.back() == '\r';
    const bool control = static_cast<unsigned char>(c) < ' ' || c == '\x7F';
    text_ += c;
    if (after_cr != (c == '\n'))
        state_ = State::BadByte;
    else if (c == '\n')
        end_line();
    else if (control && c != '\r' && c != '\t')
        state_ = State::BadByte;
    if (state_ == State::NeedMore && text_.size() == kMaxHead)
        state_ = State::TooLarge;
}

void HeadReader::end_line() {
    const bool empty = text_.size() == line_start_ + 2;
    line_start_ = text_.size();
    if (empty)
        state_ = State::Complete;
    else if (++lines_ > kMaxHeadLines)
        state_ = State::TooLarge;
}

bool is_loopback_host(const std::string& host) {
    in_addr v4;
    in6_addr v6;
    if (inet_pton(AF_INET, host.c_str(), &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    if (inet_pton(AF_INET6, host.c_str(), &v6) == 1)
        return IN6_IS_ADDR_LOOPBACK(&v6);
    return equal_in_any_case(host, "localhost");
}

std::string host_in_url(const std::string& host) {
    return host.find(':') == host.npos ? host : "[" + host + "]";
}

std::string websocket_location(const std::string& host, int port, bool tls) {
    std::string lowered = host;
    std::transform(host.begin(), host.end(), lowered.begin(), lower);
    const bool plain = lowered.find("local.") != lowered.npos ||
                       is_loopback_host(host);
    return std::string(tls || !plain ? "wss" : "ws") + "://" +
           host_in_url(host) + ":" + std::to_string(port) + "/websocket.php";
}

Answer refuse(int status, const std::string& why) {
    std::string bytes = "HTTP/1.1 " + std::to_string(status) + " " +
                        status_text(status) + "\r\n" + extra_headers(status) +
                        "Content-Type: text/plain\r\n"
                        "Content-Length: " + std::to_string(why.size() + 1) +
                        "\r\nConnection: close\r\n\r\n" + why + "\n";
    return {status, bytes, why};
}

Answer answer_request(std::string_view head, const Site& site) {
    const Request request = parse_request(head);
    auto refusal = refuse_as_http(request);
    if (!refusal) refusal = refuse_as_handshake(request);
    if (!refusal) return accept(request, site);
    if (request.method == "HEAD") drop_body(refusal->bytes);
    return *refusal;
}

}  // namespace wschat
