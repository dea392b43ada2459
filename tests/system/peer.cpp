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

void wait_until(int fd, short events, const char* what, SourceLine at) {
    pollfd entry{fd, events, 0};
    if (poll(&entry, 1, TimeLimit().remaining()) == 0)
        fail(at, std::string("timed out while ") + what);
}

std::string describe(const Frame& frame) {
    constexpr const char* kNames[16] = {
        "continuation", "text",  "binary", nullptr, nullptr, nullptr,
        nullptr,        nullptr, "close",  "ping",  "pong"};
    const char* name = kNames[frame.opcode & 15];
    return (name ? name : std::to_string(frame.opcode)) + std::string(" ") +
           printable(frame.payload);
}

uint64_t big_endian(std::string_view bytes) {
    uint64_t value = 0;
    for (char c : bytes) value = value << 8 | static_cast<unsigned char>(c);
    return value;
}

struct FrameLayout {
    size_t header = 2;
    uint64_t payload = 0;
};

// Decodes the sizes of a frame. The payload's is 0 if the header is incomplete.
// REQUIRES: at least 2 bytes.
FrameLayout decode_layout(std::string_view bytes, bool allows_deflated,
                          SourceLine at) {
    const auto first = static_cast<unsigned char>(bytes[0]);
    const auto second = static_cast<unsigned char>(bytes[1]);
    const bool deflated = allows_deflated && first == 0xC1;
    if ((first & 0xF0) != 0x80 && !deflated)
        fail(at, "a fragment or reserved bits: " + printable(bytes));
    if (second & 0x80) fail(at, "a masked frame: " + printable(bytes));
    const size_t extra = second == 127 ? 8 : second == 126 ? 2 : 0;
    FrameLayout layout{2 + extra, second};
    if (extra == 0 || bytes.size() < layout.header) return layout;
    layout.payload = big_endian(bytes.substr(2, extra));
    if (layout.payload < (extra == 8 ? 65536U : 126U))
        fail(at,
             "a length that is not in its shortest form: " + printable(bytes));
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

Peer::Peer(const SocketAddress& address, int receive_buffer, SourceLine at)
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

void Peer::send(std::string_view bytes, SourceLine at) {
    if (!send_if_possible(bytes, at))
        fail(at, std::string("send: ") + std::strerror(errno));
}

bool Peer::send_if_possible(std::string_view bytes, SourceLine at) {
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
    const linger immediately{1, 0};
    setsockopt(fd(), SOL_SOCKET, SO_LINGER, &immediately, sizeof immediately);
    close_socket();
}

bool Peer::has_input(int milliseconds) {
    pollfd entry{fd(), POLLIN, 0};
    return !unread().empty() || poll(&entry, 1, milliseconds) > 0;
}

// Receives bytes. Returns false at EOF, or at a reset, which sets reset_.
bool Peer::receive(SourceLine at) {
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

std::string Peer::take_bytes(size_t size) {
    std::string out(unread().substr(0, size));
    read_ += size;
    return out;
}

bool Peer::take_frame(Frame& frame, SourceLine at) {
    const std::string_view in = unread();
    if (in.size() < 2) return false;
    const FrameLayout layout = decode_layout(in, allows_deflated_, at);
    if (in.size() < layout.header || in.size() - layout.header < layout.payload)
        return false;
    frame.opcode = in[0] & 15;
    frame.deflated = in[0] & kRsv1;
    take_bytes(layout.header);
    frame.payload = take_bytes(layout.payload);
    if (frame.deflated) frame.payload = inflated(frame.payload);
    return true;
}

Frame Peer::next_frame(SourceLine at) {
    Frame frame;
    if (!queued_.empty()) {
        frame = std::move(queued_.front());
        queued_.pop_front();
        return frame;
    }
    while (!take_frame(frame, at))
        if (!receive(at))
            fail(at, std::string(reset_ ? "a reset" : "EOF") +
                         " instead of a frame, after " + printable(unread()));
    return frame;
}

std::string Peer::next_text(SourceLine at) {
    Frame frame = next_frame(at);
    if (frame.opcode != kText)
        fail(at, describe(frame) + " instead of a text message");
    return std::move(frame.payload);
}

void Peer::expect_message(std::string_view message, SourceLine at) {
    const Frame frame = next_frame(at);
    if (frame.opcode != kText || frame.payload != message)
        fail(at, describe(frame) + " instead of text " + printable(message));
}

void Peer::expect_pong(std::string_view payload, SourceLine at) {
    const Frame frame = next_frame(at);
    if (frame.opcode != kPong || frame.payload != payload)
        fail(at, describe(frame) + " instead of pong " + printable(payload));
}

void Peer::expect_notice(std::string_view part, SourceLine at) {
    const std::string text = next_text(at);
    const std::string start = R"({"type":"error","message":")";
    if (text.rfind(start, 0) != 0 || text.substr(text.size() - 2) != "\"}" ||
        text.find(part) == std::string::npos)
        fail(at,
             printable(text) + " instead of a notice with " + printable(part));
}

void Peer::expect_close_frame(int code, SourceLine at) {
    const Frame frame = next_frame(at);
    const bool is_expected =
        frame.opcode == kClose && frame.payload.size() >= 2 &&
        frame.payload.substr(0, 2) == close_payload(code, "");
    if (!is_expected)
        fail(at, describe(frame) + " instead of close " + std::to_string(code));
}

void Peer::expect_closed(int code, SourceLine at) {
    expect_close_frame(code, at);
    expect_eof(at);
}

void Peer::expect_eof(SourceLine at) {
    if (!queued_.empty())
        fail(at, describe(queued_.front()) + " instead of EOF");
    if (!unread().empty() || receive(at))
        fail(at, printable(unread()) + " instead of EOF");
    if (reset_) fail(at, "a reset instead of EOF");
}

void Peer::expect_gone(SourceLine at) {
    const TimeLimit deadline;
    while (receive(at)) {
        read_ = in_.size();
        if (deadline.is_over()) fail(at, "the connection is still open");
    }
}

std::string Peer::read_line(SourceLine at) {
    size_t end = 0;
    while ((end = unread().find('\n')) == std::string_view::npos)
        if (!receive(at))
            fail(at, "EOF instead of a line, after " + printable(unread()));
    std::string text = take_bytes(end + 1);
    text.pop_back();
    return text;
}

std::string Peer::read_response_head(SourceLine at) {
    size_t end = 0;
    while ((end = unread().find("\r\n\r\n")) == std::string_view::npos)
        if (!receive(at))
            fail(at, "EOF instead of a response, after " + printable(unread()));
    std::string head = take_bytes(end + 4);
    if (head.rfind("HTTP/1.1 ", 0) != 0)
        fail(at, printable(head) + " instead of a response");
    return head;
}

ReceivedResponse Peer::read_response(SourceLine at) {
    ReceivedResponse response;
    response.head = read_response_head(at);
    response.status = std::atoi(response.head.c_str() + 9);
    if (response.status == 101) return response;
    const std::string length = response.header("Content-Length");
    if (length.empty())
        fail(at, "no Content-Length: " + printable(response.head));
    const size_t size = std::stoul(length);
    while (unread().size() < size)
        if (!receive(at)) fail(at, "EOF instead of a body");
    response.body = take_bytes(size);
    return response;
}

void Peer::expect_refused(int status, SourceLine at) {
    const ReceivedResponse refusal = read_response(at);
    const std::string& head = refusal.head;
    if (refusal.status != status)
        fail(at, printable(head) + " instead of " + std::to_string(status));
    const std::string connection = status == 426 ? "close, Upgrade" : "close";
    if (refusal.header("Connection") != connection)
        fail(at, "no `Connection: " + connection + "` in " + printable(head));
    if (refusal.header("Content-Type").rfind("text/plain", 0) != 0)
        fail(at, "no `Content-Type: text/plain` in " + printable(head));
    if (count(refusal.body, "\n") != 1 || refusal.body.back() != '\n')
        fail(at, printable(refusal.body) + " instead of one line");
    if (status == 405 && refusal.header("Allow") != "GET, HEAD, POST")
        fail(at, "no `Allow: GET, HEAD, POST` in " + printable(head));
    if (status == 426 && refusal.header("Sec-WebSocket-Version") != "13")
        fail(at, "no `Sec-WebSocket-Version: 13` in " + printable(head));
    expect_eof(at);
}

void Peer::sync(SourceLine at) {
    const std::string payload = "sync " + std::to_string(++syncs_);
    send(ping_frame(payload), at);
    std::deque<Frame> earlier = std::exchange(queued_, {});
    for (;;) {
        Frame frame = next_frame(at);
        if (frame.opcode == kPong && frame.payload == payload) break;
        earlier.push_back(std::move(frame));
    }
    queued_ = std::move(earlier);
}

void Peer::discard(size_t size, SourceLine at) {
    while (unread().size() < size)
        if (!receive(at)) fail(at, "EOF instead of bytes");
    read_ += size;
}

void Peer::do_handshake(std::string_view target, std::string_view more,
                        SourceLine at) {
    send(handshake(target, more), at);
    const ReceivedResponse response = read_response(at);
    if (response.status != 101 ||
        response.header("Sec-WebSocket-Accept") != kAccept)
        fail(at, printable(response.head) + " instead of a handshake");
}

bool can_connect(const SocketAddress& address) {
    const Fd fd(socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
    return connect(fd.get(), address.get(), address.size()) == 0;
}

Peer join(const SocketAddress& address, int receive_buffer, SourceLine at) {
    Peer peer(address, receive_buffer, at);
    peer.do_handshake(at);
    return peer;
}

Peer join(const Daemon& daemon, SourceLine at) {
    return join(SocketAddress::v4(daemon.port()), 0, at);
}

std::vector<Peer> join(const Daemon& daemon, int clients, SourceLine at) {
    std::vector<Peer> peers;
    for (int i = 0; i < clients; ++i) peers.push_back(join(daemon, at));
    return peers;
}

void send_in_two(Peer& peer, std::string_view bytes, size_t cut,
                 Peer& observer) {
    peer.send(bytes.substr(0, cut));
    observer.sync();
    peer.send(bytes.substr(cut));
}

void send_one_by_one(Peer& peer, std::string_view bytes, Peer& observer) {
    for (char byte : bytes) {
        peer.send({&byte, 1});
        observer.sync();
    }
}

}  // namespace wschat::test
