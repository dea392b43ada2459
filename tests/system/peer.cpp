#include "peer.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <sstream>
#include <utility>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <strings.h>
#include <sys/un.h>

#include "fixtures/deflated.h"

namespace wschat::test {

namespace {

void wait_until(int fd, short events, const char* what, Where at) {
    pollfd entry{fd, events, 0};
    if (poll(&entry, 1, TimeLimit().left()) == 0)
        fail(at, std::string("nothing happened while ") + what);
}

std::string described(const Frame& frame) {
    constexpr const char* kNames[16] = {
        "continuation", "text",  "binary", nullptr, nullptr, nullptr,
        nullptr,        nullptr, "close",  "ping",  "pong"};
    const char* name = kNames[frame.opcode & 15];
    return (name ? name : std::to_string(frame.opcode)) + std::string(" ") +
           shown(frame.payload);
}

uint64_t big_endian(std::string_view bytes) {
    uint64_t value = 0;
    for (char c : bytes) value = value << 8 | static_cast<unsigned char>(c);
    return value;
}

struct Layout {
    size_t header = 2;
    uint64_t payload = 0;
};

// REQUIRES: at least 2 bytes. The payload's length is known if the header is
// all there.
Layout layout_of(std::string_view bytes, bool takes_deflated, Where at) {
    const auto first = static_cast<unsigned char>(bytes[0]);
    const auto second = static_cast<unsigned char>(bytes[1]);
    const bool deflated = takes_deflated && first == 0xC1;
    if ((first & 0xF0) != 0x80 && !deflated)
        fail(at, "a frame in fragments or with reserved bits: " + shown(bytes));
    if (second & 0x80) fail(at, "a masked frame: " + shown(bytes));
    const size_t extra = second == 127 ? 8 : second == 126 ? 2 : 0;
    Layout layout{2 + extra, second};
    if (extra == 0 || bytes.size() < layout.header) return layout;
    layout.payload = big_endian(bytes.substr(2, extra));
    if (layout.payload < (extra == 8 ? 65536U : 126U))
        fail(at, "a length that is too long: " + shown(bytes));
    return layout;
}

}  // namespace

SocketAddress SocketAddress::v4(uint16_t port, const char* host) {
    SocketAddress address;
    auto* in = reinterpret_cast<sockaddr_in*>(&address.storage_);
    in->sin_family = AF_INET;
    in->sin_port = htons(port);
    inet_pton(AF_INET, host, &in->sin_addr);
    address.size_ = sizeof *in;
    return address;
}

SocketAddress SocketAddress::v6(uint16_t port) {
    SocketAddress address;
    auto* in = reinterpret_cast<sockaddr_in6*>(&address.storage_);
    in->sin6_family = AF_INET6;
    in->sin6_port = htons(port);
    in->sin6_addr = in6addr_loopback;
    address.size_ = sizeof *in;
    return address;
}

SocketAddress SocketAddress::unix_socket(const std::string& path) {
    SocketAddress address;
    auto* un = reinterpret_cast<sockaddr_un*>(&address.storage_);
    un->sun_family = AF_UNIX;
    path.copy(un->sun_path, sizeof un->sun_path - 1);
    address.size_ = sizeof *un;
    return address;
}

const sockaddr* SocketAddress::get() const {
    return reinterpret_cast<const sockaddr*>(&storage_);
}

std::string ReceivedResponse::header(std::string_view name) const {
    std::vector<std::string> values;
    std::istringstream lines(head);
    for (std::string line; std::getline(lines, line);) {
        const size_t colon = line.find(':');
        if (colon != name.size() ||
            strncasecmp(line.data(), name.data(), name.size()) != 0)
            continue;
        const size_t start = line.find_first_not_of(" \t", colon + 1);
        values.push_back(line.substr(start, line.size() - 1 - start));
    }
    return values.size() == 1 ? values[0] : "";
}

Peer::Peer(const SocketAddress& address, int receive_buffer, Where at)
    : fd_(socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    if (receive_buffer > 0)
        setsockopt(fd(), SOL_SOCKET, SO_RCVBUF, &receive_buffer,
                   sizeof receive_buffer);
    if (address.family() != AF_UNIX) {
        const int on = 1;
        setsockopt(fd(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    if (connect(fd(), address.get(), address.size()) < 0)
        fail(at, std::string("connect: ") + std::strerror(errno));
}

void Peer::send(std::string_view bytes, Where at) {
    if (!send_if_possible(bytes, at))
        fail(at, std::string("send: ") + std::strerror(errno));
}

bool Peer::send_if_possible(std::string_view bytes, Where at) {
    while (!bytes.empty()) {
        const ssize_t n = ::send(fd(), bytes.data(), bytes.size(),
                                 MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n >= 0)
            bytes.remove_prefix(static_cast<size_t>(n));
        else if (errno == EAGAIN)
            wait_until(fd(), POLLOUT, "sending", at);
        else
            return false;
    }
    return true;
}

void Peer::half_close() {
    shutdown(fd(), SHUT_WR);
}

void Peer::reset() {
    const linger at_once{1, 0};
    setsockopt(fd(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    hang_up();
}

bool Peer::has_input(int milliseconds) {
    pollfd entry{fd(), POLLIN, 0};
    return !unread().empty() || poll(&entry, 1, milliseconds) > 0;
}

// False at the end, reset_ telling of which kind it is.
bool Peer::fill(Where at) {
    wait_until(fd(), POLLIN, "waiting for the daemon", at);
    in_.erase(0, std::exchange(read_, 0));
    char buffer[64 << 10];
    const ssize_t n = recv(fd(), buffer, sizeof buffer, 0);
    if (n > 0) in_.append(buffer, static_cast<size_t>(n));
    reset_ = n < 0;
    return n > 0;
}

std::string_view Peer::unread() const {
    return std::string_view(in_).substr(read_);
}

std::string Peer::cut(size_t size) {
    std::string out(unread().substr(0, size));
    read_ += size;
    return out;
}

bool Peer::cut_frame(Frame& frame, Where at) {
    const std::string_view in = unread();
    if (in.size() < 2) return false;
    const Layout layout = layout_of(in, takes_deflated_, at);
    if (in.size() < layout.header || in.size() - layout.header < layout.payload)
        return false;
    frame.opcode = in[0] & 15;
    frame.deflated = in[0] & kRsv1;
    cut(layout.header);
    frame.payload = cut(layout.payload);
    if (frame.deflated) frame.payload = inflated(frame.payload);
    return true;
}

Frame Peer::next(Where at) {
    Frame frame;
    if (!kept_.empty()) {
        frame = std::move(kept_.front());
        kept_.pop_front();
        return frame;
    }
    while (!cut_frame(frame, at))
        if (!fill(at))
            fail(at, std::string(reset_ ? "a reset" : "the end") +
                         " in place of a frame, after " + shown(unread()));
    return frame;
}

std::string Peer::next_text(Where at) {
    Frame frame = next(at);
    if (frame.opcode != kText)
        fail(at, described(frame) + " in place of a text message");
    return std::move(frame.payload);
}

void Peer::hears(std::string_view message, Where at) {
    const Frame frame = next(at);
    if (frame.opcode != kText || frame.payload != message)
        fail(at, described(frame) + " in place of text " + shown(message));
}

void Peer::hears_pong(std::string_view payload, Where at) {
    const Frame frame = next(at);
    if (frame.opcode != kPong || frame.payload != payload)
        fail(at, described(frame) + " in place of pong " + shown(payload));
}

void Peer::hears_notice(std::string_view part, Where at) {
    const std::string text = next_text(at);
    const std::string start = R"({"type":"error","message":")";
    if (text.rfind(start, 0) != 0 || text.substr(text.size() - 2) != "\"}" ||
        text.find(part) == std::string::npos)
        fail(at, shown(text) + " in place of a notice with " + shown(part));
}

void Peer::hears_close(int code, Where at) {
    const Frame frame = next(at);
    const bool right = frame.opcode == kClose && frame.payload.size() >= 2 &&
                       frame.payload.substr(0, 2) == close_payload(code, "");
    if (!right)
        fail(at,
             described(frame) + " in place of close " + std::to_string(code));
}

void Peer::is_closed(int code, Where at) {
    hears_close(code, at);
    hears_end(at);
}

void Peer::hears_end(Where at) {
    if (!kept_.empty())
        fail(at, described(kept_.front()) + " in place of the end");
    if (!unread().empty() || fill(at))
        fail(at, shown(unread()) + " in place of the end");
    if (reset_) fail(at, "a reset in place of an orderly end");
}

void Peer::is_gone(Where at) {
    const TimeLimit deadline;
    while (fill(at)) {
        read_ = in_.size();
        if (deadline.over()) fail(at, "the connection goes on");
    }
}

std::string Peer::line(Where at) {
    size_t end = 0;
    while ((end = unread().find('\n')) == std::string_view::npos)
        if (!fill(at))
            fail(at, "the end in place of a line, after " + shown(unread()));
    std::string text = cut(end + 1);
    text.pop_back();
    return text;
}

std::string Peer::answer_head(Where at) {
    size_t end = 0;
    while ((end = unread().find("\r\n\r\n")) == std::string_view::npos)
        if (!fill(at))
            fail(at, "the end in place of an answer, after " + shown(unread()));
    std::string head = cut(end + 4);
    if (head.rfind("HTTP/1.1 ", 0) != 0)
        fail(at, shown(head) + " in place of an answer");
    return head;
}

ReceivedResponse Peer::answer(Where at) {
    ReceivedResponse response;
    response.head = answer_head(at);
    response.status = std::atoi(response.head.c_str() + 9);
    if (response.status == 101) return response;
    const std::string length = response.header("Content-Length");
    if (length.empty()) fail(at, "no Content-Length: " + shown(response.head));
    const size_t size = std::stoul(length);
    while (unread().size() < size)
        if (!fill(at)) fail(at, "the end in place of a body");
    response.body = cut(size);
    return response;
}

void Peer::is_refused(int status, Where at) {
    const ReceivedResponse refusal = answer(at);
    const std::string& head = refusal.head;
    if (refusal.status != status)
        fail(at, shown(head) + " in place of " + std::to_string(status));
    if (strcasecmp(refusal.header("Connection").c_str(), "close") != 0)
        fail(at, "no `Connection: close` in " + shown(head));
    if (refusal.header("Content-Type").rfind("text/plain", 0) != 0)
        fail(at, "no `Content-Type: text/plain` in " + shown(head));
    if (count(refusal.body, "\n") != 1 || refusal.body.back() != '\n')
        fail(at, shown(refusal.body) + " in place of one line");
    if (status == 405 && refusal.header("Allow") != "GET, HEAD, POST")
        fail(at, "no `Allow: GET, HEAD, POST` in " + shown(head));
    if (status == 426 && refusal.header("Sec-WebSocket-Version") != "13")
        fail(at, "no `Sec-WebSocket-Version: 13` in " + shown(head));
    hears_end(at);
}

void Peer::sync(Where at) {
    const std::string word = "sync " + std::to_string(++syncs_);
    send(ping_frame(word), at);
    std::deque<Frame> before = std::exchange(kept_, {});
    for (;;) {
        Frame frame = next(at);
        if (frame.opcode == kPong && frame.payload == word) break;
        before.push_back(std::move(frame));
    }
    kept_ = std::move(before);
}

void Peer::take(size_t size, Where at) {
    while (unread().size() < size)
        if (!fill(at)) fail(at, "the end in place of bytes");
    read_ += size;
}

void Peer::shake_hands(std::string_view target, std::string_view more,
                       Where at) {
    send(handshake(target, more), at);
    const ReceivedResponse response = answer(at);
    if (response.status != 101 ||
        response.header("Sec-WebSocket-Accept") != kAccept)
        fail(at, shown(response.head) + " in place of a handshake");
}

bool accepts(const SocketAddress& address) {
    const Fd fd(socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
    return connect(fd.get(), address.get(), address.size()) == 0;
}

Peer join(const SocketAddress& address, int receive_buffer, Where at) {
    Peer peer(address, receive_buffer, at);
    peer.shake_hands(at);
    return peer;
}

Peer join(const Daemon& daemon, Where at) {
    return join(SocketAddress::v4(daemon.port()), 0, at);
}

std::vector<Peer> join(const Daemon& daemon, int clients, Where at) {
    std::vector<Peer> peers;
    for (int i = 0; i < clients; ++i) peers.push_back(join(daemon, at));
    return peers;
}

void send_in_two(Peer& peer, std::string_view bytes, size_t cut, Peer& pacer) {
    peer.send(bytes.substr(0, cut));
    pacer.sync();
    peer.send(bytes.substr(cut));
}

void send_one_by_one(Peer& peer, std::string_view bytes, Peer& pacer) {
    for (char byte : bytes) {
        peer.send({&byte, 1});
        pacer.sync();
    }
}

}  // namespace wschat::test
