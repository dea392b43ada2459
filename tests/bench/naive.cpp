// The naive server for comparison: it relays a message with one send() to each
// client in the room. It decodes requests and frames with the daemon's units,
// so only the relaying differs. It checks no texts and has no queues: a client
// whose socket does not accept a whole message is dropped.
//
//   naive    on a free port of 127.0.0.1; rooms are named by the path

#include <algorithm>
#include <array>
#include <cstdio>
#include <exception>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <sys/epoll.h>
#include <sys/socket.h>

#include "ws/frame.h"
#include "http/handshake.h"
#include "net/socket.h"

using namespace wschat;

namespace {

struct Client {
    Fd fd;
    std::string input{};  // incomplete frames or head
    std::vector<Client*>* room = nullptr;
};

void relay(const std::vector<Client*>& room, std::string_view text) {
    const std::string frame = encode_frame(Opcode::Text, text);
    for (Client* client : room) {
        const int fd = client->fd.get();
        const ssize_t n = send(fd, frame.data(), frame.size(), MSG_NOSIGNAL);
        // epoll reports the end of the connection.
        if (n != static_cast<ssize_t>(frame.size())) shutdown(fd, SHUT_RDWR);
    }
}

/// Relays the complete frames. Returns false if the client has sent a close
/// frame or malformed bytes.
bool relay_frames(Client& client) {
    size_t at = 0;
    for (;;) {
        const std::string_view rest = std::string_view(client.input).substr(at);
        const DecodedHeader decoded = decode_header(rest);
        const size_t length = decoded.header.length;
        if (decoded.error || decoded.header.opcode == Opcode::Close)
            return false;
        if (decoded.size == 0 || rest.size() - decoded.size < length) break;
        char* text = &client.input[at + decoded.size];
        unmask(text, length, decoded.header.mask, 0);
        relay(*client.room, {text, length});
        at += decoded.size + length;
    }
    client.input.erase(0, at);
    return true;
}

class Naive {
public:
    Naive() : listener_(any_port()), epoll_(epoll_create1(EPOLL_CLOEXEC)) {
        std::fprintf(stderr, "naive: listening on %s\n",
                     listener_.endpoint().to_string().c_str());
        watch(listener_.fd());
    }

    void turn() {
        std::array<epoll_event, 512> events;
        const int n = epoll_wait(epoll_.get(), events.data(),
                                 static_cast<int>(events.size()), -1);
        for (int i = 0; i < n; ++i) {
            const int fd = events[static_cast<size_t>(i)].data.fd;
            if (fd == listener_.fd())
                accept_new();
            else if (!serve(clients_.at(fd)))
                remove(clients_.at(fd));
        }
    }

private:
    static Endpoint any_port() {
        Endpoint endpoint;
        endpoint.address = "127.0.0.1";
        return endpoint;
    }

    void watch(int fd) {
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.fd = fd;
        epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event);
    }

    void accept_new() {
        for (;;) {
            Accepted peer = accept_from(listener_);
            if (peer.state != Accepted::State::Peer) return;
            const int fd = peer.fd.get();
            watch(fd);
            clients_.emplace(fd, Client{std::move(peer.fd)});
        }
    }

    /// Reads from a client. Returns false at EOF or on an error.
    bool serve(Client& client) {
        const ssize_t n =
            recv(client.fd.get(), buffer_.data(), buffer_.size(), 0);
        if (n <= 0) return false;
        client.input.append(buffer_.data(), static_cast<size_t>(n));
        if (!client.room) do_handshake(client);
        return !client.room || relay_frames(client);
    }

    void do_handshake(Client& client) {
        const size_t end = client.input.find("\r\n\r\n");
        if (end == client.input.npos) return;
        const Request request =
            parse_request(std::string_view(client.input).substr(0, end + 4));
        const std::string response =
            handshake_response(request, {"localhost", "ws://localhost/"}, {});
        send(client.fd.get(), response.data(), response.size(), MSG_NOSIGNAL);
        client.room = &rooms_[std::string(request.path)];
        client.room->push_back(&client);
        client.input.erase(0, end + 4);
    }

    void remove(Client& client) {
        if (client.room) {
            std::vector<Client*>& room = *client.room;
            room.erase(std::find(room.begin(), room.end(), &client));
        }
        clients_.erase(client.fd.get());
    }

    Listener listener_;
    Fd epoll_;
    std::unordered_map<int, Client> clients_;  // by descriptor
    std::map<std::string, std::vector<Client*>> rooms_;
    std::array<char, 64 << 10> buffer_;
};

}  // namespace

int main() {
    try {
        for (Naive naive;;) naive.turn();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "naive: %s\n", error.what());
        return 1;
    }
}
