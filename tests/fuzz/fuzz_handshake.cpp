// The input is used as a stream for HeadReader, cut into pieces whose sizes are
// taken from its bytes; as a head for route(); as the value of a header in a
// valid handshake or publish request; as a body, a path and a query. The first
// byte chooses the header.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

#include "fixtures/key_file.h"
#include "fixtures/route_fields.h"
#include "room/relay_rules.h"
#include "client.h"
#include "http/router.h"
#include "util/utf8.h"

using namespace wschat;
using wschat::test::route_fields;
using wschat::test::RouteFields;

namespace {

// The headers of the requests, and an unknown one.
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
    kProtocol,
    kExtensions,
    kAuthorization,
    kType,
    kExpect,
    kHeaders
};

const Address kPeer = test::address("10.0.0.1");

RouterConfig make_config() {
    RouterConfig config;
    config.site = {"example.com", "wss://example.com:9600/websocket.php"};
    config.origins = {"example.com"};
    config.trusted_proxies.add("10.0.0.0/8");
    return config;
}

/// Returns a configuration with rooms and publishing enabled.
RouterConfig make_open_config() {
    RouterConfig config = make_config();
    config.rooms = true;
    config.keys = test::some_keys();
    config.max_body = 1000;
    return config;
}

const ReaderConfig kReading;
const RouterConfig kConfig = make_config();
const RouterConfig kOpenConfig = make_open_config();

// Aborts if the condition is false. NDEBUG would disable assert().
void require(bool condition) {
    if (!condition) std::abort();
}

/// Feeds a copy of exactly this size, so that the sanitizer reports any read
/// behind its end.
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

void test_accepted(const RouteFields& to) {
    const Response& answer = to.response;
    const Agreement& agreement = to.upgrade.agreement;
    require(answer.why.empty());
    if (answer.status == 100) {
        require(to.request.size <= kOpenConfig.max_body);
        require(to.request.room == to.room && !to.room.empty());
        return;
    }
    const bool extended =
        answer.bytes.find("-Extensions: permessage-") != std::string::npos;
    require(extended == agreement.compression.client_may_deflate);
    require(agreement.compression.client_may_deflate ||
            !agreement.compression.server_may_deflate);
    require(agreement.v1 || to.upgrade.resume.epoch.empty());
}

void test_answer(const HeadReader& head, const RouterConfig& config) {
    const RouteFields to = route_fields(head, kPeer, config);
    const Response& answer = to.response;
    const std::initializer_list<int> statuses = {
        100, 101, 200, 304, 308, 400, 401, 403, 404, 405, 411, 413, 426, 431};
    require(std::count(statuses.begin(), statuses.end(), answer.status) == 1);
    if (answer.status <= 101) test_accepted(to);
    if (answer.status == 100 && answer.bytes.empty()) return;
    const std::string start = "HTTP/1.1 " + std::to_string(answer.status);
    require(answer.bytes.compare(0, start.size(), start) == 0);
    require(answer.bytes.find("\r\n\r\n") != std::string::npos);
    const std::string client = to.client.address.to_string();
    require(Address::parse(client)->to_string() == client);
    if (answer.status == 200 || answer.status == 304) return;
    // No bytes of the peer are in the response or in the log, except for a
    // refused origin.
    require(answer.bytes.size() < 512);
    for (char c : answer.bytes + (answer.status == 403 ? "" : answer.why))
        require((c >= ' ' && c <= '~') || c == '\r' || c == '\n');
}

void test_answer(const HeadReader& head) {
    test_answer(head, kConfig);
    test_answer(head, kOpenConfig);
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

/// Returns a valid handshake or publish request with this value in one header.
std::string request_with(size_t header, std::string_view value) {
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
        "Sec-WebSocket-Protocol: wschat.v1",
        "Sec-WebSocket-Extensions: permessage-deflate",
        "Authorization: " + std::string(test::kBearer),
        "Content-Type: application/x-ndjson",
        "Expect: 100-continue",
    };
    std::string& line = lines[header];
    line = line.substr(0, line.find(' ') + 1).append(value);
    const bool post = header >= kAuthorization;
    std::string head = post ? "POST /chat HTTP/1.1\r\n"
                            : "GET /chat?epoch=a&since=1 HTTP/1.1\r\n";
    for (size_t i = 0; i < kHeaders; ++i)
        if (!post || (i != kUpgrade && i != kKey)) head += lines[i] + "\r\n";
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

bool is_zero(std::string_view number) {
    return !number.empty() && number.find_first_not_of('0') == number.npos;
}

void test_header(size_t header, std::string_view value) {
    const std::string head = request_with(header, value);
    HeadReader reader;
    const size_t taken = feed(reader, head);
    const bool one_line = reader.state() == HeadReader::State::Complete &&
                          taken == head.size() &&
                          value.find('\r') == value.npos;
    if (!one_line) return;
    test_answer(reader);
    const int status = route_fields(reader, kPeer, kOpenConfig).response.status;
    const bool accepted = status <= 101;
    if (header == kVersion) require(accepted == (trim(value) == "13"));
    if (header == kKey) require(accepted == is_key(trim(value)));
    if (header == kLength) require(accepted == is_zero(trim(value)));
    if (header == kUnknown || header == kProtocol || header == kExtensions ||
        header == kType || header == kExpect)
        require(accepted);
    if (header == kAuthorization) require(accepted || status == 401);
}

/// Checks that the messages of a body can all be relayed, or that there are
/// none.
void test_messages(const PublishRequest& request) {
    const ParsedMessages messages = parse_messages(request);
    require(messages.error.empty() != messages.texts.empty());
    for (char c : messages.error) require(c >= ' ' && c <= '~');
    for (std::string_view text : messages.texts) {
        require(decide_relay(text, {true}).action ==
                RelayDecision::Action::Relay);
        require(!request.is_lines || text.find('\n') == text.npos);
        require(request.is_lines || text == request.body);
    }
}

/// Feeds a body in pieces whose sizes are taken from it. It must be complete
/// exactly after its last byte.
void test_body(std::string_view body, bool is_lines) {
    Client client({Accepted::State::Peer, Fd(), kPeer}, kReading, nullptr);
    ExpectBody expected;
    expected.request.size = body.size();
    expected.request.is_lines = is_lines;
    client.expect_body(expected);
    std::optional<PublishRequest> complete;
    std::string bytes(body);
    Bytes input{bytes.data(), bytes.size()};
    do {
        require(!complete);
        const uint64_t size = input.size ? *input.data & 31 : 0;
        Bytes piece = input.take(size + 1);
        const ClientInput next = client.next(piece);
        if (const auto* last = std::get_if<input::RequestBody>(&next))
            complete = last->request;
        require(piece.size == 0);
    } while (input.size > 0);
    require(complete && complete->body == body);
    test_messages(*complete);
}

/// Checks that the name of a room stays the same when all its bytes are
/// escaped.
void test_room(std::string_view path) {
    const auto name = room_name(path);
    if (!name) return;
    require(name->size() <= kMaxRoomName && (*name)[0] == '/');
    require(valid_utf8_prefix(*name) == name->size());
    require(name->find("//") == name->npos && name->find('\0') == name->npos);
    require(("/" + *name + "/").find("/../") == name->npos);
    std::string escaped;
    for (char c : *name) {
        const auto byte = static_cast<unsigned char>(c);
        constexpr char kHex[] = "0123456789ABCDEF";
        const char escape[] = {'%', kHex[byte >> 4], kHex[byte & 15]};
        escaped.append(c == '/' ? "/" : escape, c == '/' ? 1 : 3);
    }
    require(room_name(escaped) == name);
}

void test_query(std::string_view query) {
    const Resume resume = parse_resume(query);
    require(resume.since < 1'000'000'000'000'000'000);
    if (resume.epoch.empty()) return;
    require(parameter(query, "epoch") == resume.epoch);
}

/// Repeats the input until it exceeds every limit.
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
    test_body(input.substr(1), choice & 1);
    test_room(input);
    test_query(input);
    if (choice >= 0xF0) test_repeated(input.substr(input.size() > 1));
    return 0;
}
