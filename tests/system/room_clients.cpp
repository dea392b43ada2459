#include "room_clients.h"

#include <regex>

#include "wire.h"

namespace wschat::test {

namespace {

Peer join_with(const Daemon& daemon, std::string_view target,
               std::string_view more, SourceLine at) {
    Peer peer(daemon, at);
    peer.do_handshake(target, more, at);
    return peer;
}

Hello parse_hello(const std::string& text, SourceLine at) {
    static const std::regex form(
        R"_(\{"type":"hello","room":"([^"]*)","epoch":"([0-9a-f]{12})",)_"
        R"("first":(\d+),"last":(\d+),"clients":(\d+),)"
        R"("recovered":(true|false),"maxMessage":\d+,)"
        R"_("announce":"(?:address|count|none)"\})_");
    std::smatch part;
    if (!std::regex_match(text, part, form))
        fail(at, printable(text) + " instead of a hello");
    return {part[1],
            part[2],
            std::stoull(part[3]),
            std::stoull(part[4]),
            std::stoull(part[5]),
            part[6] == "true"};
}

}  // namespace

Peer join_room(const Daemon& daemon, std::string_view target, SourceLine at) {
    return join_with(daemon, target, {}, at);
}

Peer join_with_deflate(const Daemon& daemon, std::string_view target,
                       SourceLine at) {
    Peer peer = join_with(daemon, target, kDeflate, at);
    peer.allow_deflated();
    return peer;
}

Member join_v1(const Daemon& daemon, std::string_view target,
               std::string_view more, SourceLine at) {
    Peer peer = join_with(daemon, target, std::string(kV1).append(more), at);
    if (more == kDeflate) peer.allow_deflated();
    Hello hello = parse_hello(peer.next_text(at), at);
    return {std::move(peer), std::move(hello)};
}

std::string resume_target(const Hello& hello, uint64_t number) {
    return hello.room + "?epoch=" + hello.epoch +
           "&since=" + std::to_string(number);
}

std::string numbered_message(uint64_t number) {
    return "{\"number\":" + std::to_string(number) + "}";
}

void send_numbered(Peer& peer, uint64_t first, uint64_t last, SourceLine at) {
    std::string frames;
    for (uint64_t i = first; i <= last; ++i)
        frames += text_frame(numbered_message(i));
    peer.send(frames, at);
}

void expect_numbered(Peer& peer, uint64_t first, uint64_t last, SourceLine at) {
    for (uint64_t i = first; i <= last; ++i)
        peer.expect_message(numbered_message(i), at);
}

void expect_nothing_else(Peer& peer, SourceLine at) {
    peer.send_message("\"no more\"", at);
    peer.expect_message("\"no more\"", at);
}

std::string bearer(std::string_view key) {
    return std::string("Authorization: Bearer ").append(key).append("\r\n");
}

std::string post_with(std::string_view lines, std::string_view body,
                      std::string_view target) {
    std::string request = "POST ";
    request.append(target).append(" HTTP/1.1\r\nHost: 127.0.0.1\r\n");
    return request.append(lines).append("\r\n").append(body);
}

std::string post(std::string_view body, std::string_view target,
                 std::string_view more) {
    const std::string lines =
        bearer() + "Content-Length: " + std::to_string(body.size()) + "\r\n";
    return post_with(lines + std::string(more), body, target);
}

Receipt publish(Peer publisher, std::string_view request, SourceLine at) {
    static const std::regex form(
        R"_(\{"room":"([^"]*)","clients":(\d+),"number":(\d+)\}\n)_");
    publisher.send(request, at);
    const ReceivedResponse answer = publisher.read_response(at);
    std::smatch part;
    if (answer.status != 200 || !std::regex_match(answer.body, part, form) ||
        answer.header("Content-Type") != "application/json" ||
        answer.header("Connection") != "close")
        fail(at,
             printable(answer.head + answer.body) + " instead of a receipt");
    publisher.expect_eof(at);
    return {part[1], std::stoull(part[2]), std::stoull(part[3])};
}

void expect_refused(const Daemon& daemon, std::string_view request, int status,
                    SourceLine at) {
    Peer publisher(daemon, at);
    publisher.send(request, at);
    publisher.expect_refused(status, at);
}

}  // namespace wschat::test
