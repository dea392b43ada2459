#include "room_clients.h"

#include <regex>

#include "wire.h"

namespace wschat::test {

namespace {

Peer join_with(const Daemon& daemon, std::string_view target,
               std::string_view more, Where at) {
    Peer peer(daemon, at);
    peer.shake_hands(target, more, at);
    return peer;
}

Hello parse_hello(const std::string& text, Where at) {
    static const std::regex form(
        R"_(\{"type":"hello","room":"([^"]*)","epoch":"([0-9a-f]{12})",)_"
        R"("first":(\d+),"last":(\d+),"clients":(\d+),)"
        R"("recovered":(true|false)\})");
    std::smatch part;
    if (!std::regex_match(text, part, form))
        fail(at, shown(text) + " in place of a hello");
    return {part[1],
            part[2],
            std::stoull(part[3]),
            std::stoull(part[4]),
            std::stoull(part[5]),
            part[6] == "true"};
}

}  // namespace

Peer join_room(const Daemon& daemon, std::string_view target, Where at) {
    return join_with(daemon, target, {}, at);
}

Peer join_deflating(const Daemon& daemon, std::string_view target, Where at) {
    Peer peer = join_with(daemon, target, kDeflate, at);
    peer.take_deflated();
    return peer;
}

Member join_v1(const Daemon& daemon, std::string_view target,
               std::string_view more, Where at) {
    Peer peer = join_with(daemon, target, std::string(kV1).append(more), at);
    if (more == kDeflate) peer.take_deflated();
    Hello hello = parse_hello(peer.next_text(at), at);
    return {std::move(peer), std::move(hello)};
}

std::string since(const Hello& hello, uint64_t number) {
    return hello.room + "?epoch=" + hello.epoch +
           "&since=" + std::to_string(number);
}

std::string numbered(uint64_t number) {
    return "{\"number\":" + std::to_string(number) + "}";
}

void say_numbered(Peer& peer, uint64_t first, uint64_t last, Where at) {
    std::string frames;
    for (uint64_t i = first; i <= last; ++i) frames += text_frame(numbered(i));
    peer.send(frames, at);
}

void hears_numbered(Peer& peer, uint64_t first, uint64_t last, Where at) {
    for (uint64_t i = first; i <= last; ++i) peer.hears(numbered(i), at);
}

void hears_no_more(Peer& peer, Where at) {
    peer.say("\"no more\"", at);
    peer.hears("\"no more\"", at);
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

Receipt publish(Peer publisher, std::string_view request, Where at) {
    static const std::regex form(
        R"_(\{"room":"([^"]*)","clients":(\d+),"number":(\d+)\}\n)_");
    publisher.send(request, at);
    const ReceivedResponse answer = publisher.answer(at);
    std::smatch part;
    if (answer.status != 200 || !std::regex_match(answer.body, part, form) ||
        answer.header("Content-Type") != "application/json" ||
        answer.header("Connection") != "close")
        fail(at, shown(answer.head + answer.body) + " in place of a receipt");
    publisher.hears_end(at);
    return {part[1], std::stoull(part[2]), std::stoull(part[3])};
}

void is_refused(const Daemon& daemon, std::string_view request, int status,
                Where at) {
    Peer publisher(daemon, at);
    publisher.send(request, at);
    publisher.is_refused(status, at);
}

}  // namespace wschat::test
