// The input is a stream for HeadReader, which its own bytes cut into pieces, a
// head for admit(), and the value of a header in a good handshake. Its first
// byte chooses the header.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <initializer_list>
#include <string>
#include <vector>

#include "gate.h"

using namespace wschat;

namespace {

// The headers of a handshake, and one that nobody knows.
enum Header : size_t {
    kHost,
    kUpgrade,
    kConnection,
    kVersion,
    kKey,
    kLength,
    kUnknown,
    kOrigin,
    kForwardedFor,
    kNoneMatch,
    kHeaders
};

const Peer kPeer{"10.0.0.1", false};

GateRules make_rules() {
    GateRules rules;
    rules.site = {"example.com", "wss://example.com:9600/websocket.php"};
    rules.origins = {"example.com"};
    rules.trusted.add("10.0.0.0/8");
    return rules;
}

const GateRules kRules = make_rules();

// Not assert(), which a build may leave out.
void require(bool condition) {
    if (!condition) std::abort();
}

/// A copy of just this size, for the sanitizer to guard.
size_t feed(HeadReader& reader, std::string_view piece) {
    const std::vector<char> copy(piece.begin(), piece.end());
    return reader.feed({copy.data(), copy.size()});
}

HeadReader read_in_pieces(std::string_view stream, size_t& taken) {
    HeadReader reader;
    while (taken < stream.size()) {
        const size_t size = static_cast<unsigned char>(stream[taken]) % 32;
        const std::string_view piece = stream.substr(taken, size + 1);
        const size_t n = feed(reader, piece);
        taken += n;
        if (reader.state() != HeadReader::State::NeedMore) break;
        require(n == piece.size());
    }
    return reader;
}

void require_whole_line(std::string_view head) {
    require(std::count(head.begin(), head.end(), '\n') <=
            static_cast<std::ptrdiff_t>(kMaxHeadLines) + 1);
    require(head.size() >= 2 && head.substr(head.size() - 2) == "\r\n");
    require(head.find('\0') == head.npos);
}

void test_answer(const HeadReader& head) {
    const Admission admission = admit(head, kPeer, kRules);
    const Answer& answer = admission.answer;
    const std::initializer_list<int> statuses = {101, 200, 304, 400, 403,
                                                 404, 405, 426, 431};
    require(std::count(statuses.begin(), statuses.end(), answer.status) == 1);
    const std::string start = "HTTP/1.1 " + std::to_string(answer.status);
    require(answer.bytes.compare(0, start.size(), start) == 0);
    require(answer.bytes.find("\r\n\r\n") != std::string::npos);
    require(canonical_address(admission.visitor.address) ==
            admission.visitor.address);
    if (answer.status == 101) require(answer.why.empty());
    require(admission.page == (answer.status == 200 || answer.status == 304));
    if (admission.page) return;
    // Nothing that the peer wrote gets to it, nor into the log, but for the
    // origin that is refused.
    require(answer.bytes.size() < 512);
    for (char c : answer.bytes + (answer.status == 403 ? "" : answer.why))
        require((c >= ' ' && c <= '~') || c == '\r' || c == '\n');
}

void test_reader(std::string_view stream) {
    HeadReader whole;
    const size_t taken = feed(whole, stream);
    size_t taken_in_pieces = 0;
    const HeadReader pieces = read_in_pieces(stream, taken_in_pieces);
    require(taken == taken_in_pieces);
    require(whole.state() == pieces.state());
    require(whole.text() == pieces.text());
    require(whole.text() == stream.substr(0, taken));
    require(taken <= kMaxHead);
    require(taken == stream.size() ||
            whole.state() != HeadReader::State::NeedMore);
    if (whole.state() == HeadReader::State::NeedMore) return;
    if (whole.state() == HeadReader::State::Complete)
        require_whole_line(whole.text());
    test_answer(whole);
}

/// A good handshake, but with this value in one of its headers.
std::string handshake_with(size_t header, std::string_view value) {
    std::array<std::string, kHeaders> lines = {
        "Host: example.com",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Content-Length: 0",
        "X-Unknown: x",
        "Origin: https://example.com",
        "X-Forwarded-For: 203.0.113.7",
        "If-None-Match: *",
    };
    std::string& line = lines[header];
    line = line.substr(0, line.find(' ') + 1).append(value);
    std::string head = "GET /chat HTTP/1.1\r\n";
    for (const std::string& each : lines) head += each + "\r\n";
    return head + "\r\n";
}

std::string_view trim(std::string_view text) {
    const size_t first = text.find_first_not_of(" \t");
    if (first == text.npos) return {};
    return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

bool is_key(std::string_view key) {
    return key.size() == 24 && key.substr(22) == "==" &&
           std::all_of(key.begin(), key.begin() + 22, [](char c) {
               return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                      (c >= '0' && c <= '9') || c == '+' || c == '/';
           });
}

void test_header(size_t header, std::string_view value) {
    const std::string head = handshake_with(header, value);
    HeadReader reader;
    const size_t taken = feed(reader, head);
    const bool one_line = reader.state() == HeadReader::State::Complete &&
                          taken == head.size() &&
                          value.find('\r') == value.npos;
    if (!one_line) return;
    test_answer(reader);
    const bool accepted = admit(reader, kPeer, kRules).answer.status == 101;
    if (header == kVersion) require(accepted == (trim(value) == "13"));
    if (header == kKey) require(accepted == is_key(trim(value)));
    if (header == kLength) require(accepted == (trim(value) == "0"));
    if (header == kUnknown) require(accepted);
}

/// Over and over again, until it is over every limit.
void test_repeated(std::string_view input) {
    std::string stream;
    while (stream.size() <= kMaxHead + 32) stream.append(input);
    test_reader(stream);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::vector<char> copy(data, data + size);
    const std::string_view input(copy.data(), copy.size());
    test_reader(input);
    if (input.empty()) return 0;
    const auto choice = static_cast<unsigned char>(input[0]);
    test_header(choice % kHeaders, input.substr(1));
    if (choice >= 0xF0) test_repeated(input.substr(input.size() > 1));
    return 0;
}
