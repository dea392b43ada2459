// An echo server that is built from wschat's units, for protocol test suites:
// each data message is sent back unchanged to its sender.
//
//   echo port [max-message-bytes]
//
// It listens on 127.0.0.1; port 0 means a free port. The server reads from a
// client only while it has no unsent bytes for it.

#include <poll.h>
#include <signal.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <vector>

#include "client.h"

using namespace wschat;

namespace {

const RouterConfig& router() {
    static const RouterConfig config = [] {
        RouterConfig any;
        any.site = {"localhost", "ws://localhost/"};
        any.origins = {"localhost", {"*"}};
        any.page = false;
        return any;
    }();
    return config;
}

void handle(Client& client, const ClientInput& input) {
    if (const auto* message = std::get_if<input::Message>(&input)) {
        client.outbox().add(encode_frame(
            message->is_binary ? Opcode::Binary : Opcode::Text, message->text));
    } else if (const auto* head = std::get_if<input::RequestHead>(&input)) {
        const Route to = route(*head->head, head->peer, router());
        if (const auto* upgrade = std::get_if<Upgrade>(&to.action))
            client.upgrade(*upgrade, "");
        else
            client.close(std::get<Respond>(to.action).response.bytes);
    }
}

void read(Client& client, std::vector<char>& buffer) {
    const IoResult got = client.read(buffer.data(), buffer.size());
    if (got.state == IoResult::State::Eof) return client.end_of_input();
    if (got.state == IoResult::State::Failed) return client.drop();
    Bytes input{buffer.data(), got.size};
    while (input.size > 0) handle(client, client.next(input));
}

/// Reads and writes. Returns the events that poll() must wait for next.
short serve(Client& client, short events, std::vector<char>& buffer) {
    static SendBatch batch(false);
    if (events & ~POLLOUT) read(client, buffer);
    if (client.state() == Client::State::Gone) return 0;
    std::vector<Client::Flush> flushes{client.begin_flush(256 << 10)};
    complete_flushes(batch, flushes);
    const IoResult& sent = flushes[0].result;
    if (sent.state == IoResult::State::Failed) client.drop();
    return sent.state == IoResult::State::Done ? POLLIN : POLLOUT;
}

void run(const Endpoint& endpoint, const ReaderConfig& config) {
    const Listener listener(endpoint);
    std::fprintf(stderr, "echo: listening on %s\n",
                 listener.endpoint().to_string().c_str());
    std::vector<std::unique_ptr<Client>> clients;
    std::vector<pollfd> polls{{listener.fd(), POLLIN, 0}};
    std::vector<char> buffer(64 << 10);
    for (;;) {
        poll(polls.data(), polls.size(), -1);
        for (size_t i = clients.size(); i-- > 0;) {
            pollfd& entry = polls[i + 1];
            if (entry.revents)
                entry.events = serve(*clients[i], entry.revents, buffer);
            if (clients[i]->state() != Client::State::Gone) continue;
            std::swap(clients[i], clients.back());
            clients.pop_back();
            entry = polls.back();
            polls.pop_back();
        }
        if (!polls[0].revents) continue;
        Accepted accepted = accept_from(listener);
        if (accepted.state != Accepted::State::Peer) continue;
        polls.push_back({accepted.fd.get(), POLLIN, 0});
        clients.push_back(
            std::make_unique<Client>(std::move(accepted), config, nullptr));
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
    ReaderConfig config;
    config.max_message =
        argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 64 << 20;
    config.raw_json = false;
    try {
        run(endpoint, config);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "echo: %s\n", error.what());
        return 1;
    }
}
