// An echo server out of wschat's own units, for protocol suites made for such
// servers: every data message comes back as it was sent, to its sender alone.
//
//   echo port [max-message-bytes]
//
// It listens on 127.0.0.1; port 0 takes a free one. A client is read only
// while it is owed nothing.

#include <poll.h>
#include <signal.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <vector>

#include "client.h"

using namespace wschat;

namespace {

void echo(Client& client, const Event& event) {
    if (event.kind == Event::Kind::Text)
        client.send(encode_frame(Opcode::Text, event.payload));
    if (event.kind == Event::Kind::Binary)
        client.send(encode_frame(Opcode::Binary, event.payload));
}

void take(Client& client, Bytes input) {
    static const RouterConfig gate{
        {"localhost", "ws://localhost/"}, {"localhost", {"*"}}, {}, false};
    if (client.state() == Client::State::Handshaking)
        if (auto admission = client.shake_hands(input, gate))
            client.answer(*admission);
    while (client.listens() && client.state() != Client::State::Handshaking) {
        const Event event = client.next(input);
        if (event.kind == Event::Kind::NeedMore) return;
        echo(client, event);
    }
}

/// What poll() is to wait for next.
short serve(Client& client, short happened, std::vector<char>& buffer) {
    if (happened & ~POLLOUT) {
        const IoResult got = client.read(buffer.data(), buffer.size());
        if (got.state == IoResult::State::Done)
            take(client, {buffer.data(), got.size});
        else if (got.state == IoResult::State::Eof)
            client.end_of_input();
        else if (got.state == IoResult::State::Failed)
            client.drop();
    }
    if (client.state() == Client::State::Gone) return 0;
    const IoResult sent = client.flush();
    if (sent.state == IoResult::State::Failed) client.drop();
    return sent.state == IoResult::State::Done ? POLLIN : POLLOUT;
}

void run(const Endpoint& endpoint, const ReaderConfig& rules) {
    const Listener listener(endpoint);
    std::fprintf(stderr, "echo: listening on %s\n",
                 listener.endpoint().to_string().c_str());
    std::vector<Client> clients;
    std::vector<pollfd> polls{{listener.fd(), POLLIN, 0}};
    std::vector<char> buffer(64 << 10);
    for (;;) {
        poll(polls.data(), polls.size(), -1);
        for (size_t i = clients.size(); i-- > 0;) {
            pollfd& entry = polls[i + 1];
            if (entry.revents)
                entry.events = serve(clients[i], entry.revents, buffer);
            if (clients[i].state() != Client::State::Gone) continue;
            std::swap(clients[i], clients.back());
            clients.pop_back();
            entry = polls.back();
            polls.pop_back();
        }
        if (!polls[0].revents) continue;
        Accepted peer = accept_from(listener);
        if (peer.state != Accepted::State::Peer) continue;
        polls.push_back({peer.fd.get(), POLLIN, 0});
        clients.emplace_back(std::move(peer), rules, nullptr);
    }
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 2 || argc > 3) {
        std::fprintf(stderr, "usage: echo port [max-message-bytes]\n");
        return 2;
    }
    Endpoint endpoint;
    endpoint.address = "127.0.0.1";
    endpoint.port = std::atoi(argv[1]);
    ReaderConfig rules;
    rules.max_message =
        argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 64 << 20;
    rules.raw_json = false;
    try {
        run(endpoint, rules);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "echo: %s\n", error.what());
        return 1;
    }
}
