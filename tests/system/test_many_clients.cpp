// Many clients at once: all of them get the same messages in the same order.
#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "daemon.h"
#include "peer.h"

using namespace wschat::test;

namespace {

using Texts = std::vector<std::string>;

std::string line_of(size_t client, int number) {
    return "[" + std::to_string(client) + "," + std::to_string(number) + "]";
}

Texts receive_texts(Peer& peer, size_t messages) {
    Texts texts;
    for (size_t i = 0; i < messages; ++i) texts.push_back(peer.next_text());
    return texts;
}

// Checks that each message of each client is there once, in the order in which
// that client sent them.
void check_complete(const Texts& texts, size_t clients, int each) {
    std::vector<int> next(clients);
    for (const std::string& line : texts) {
        const size_t client = std::stoul(line.substr(1));
        REQUIRE(client < clients);
        CHECK(line == line_of(client, next[client]));
        ++next[client];
    }
    CHECK(next == std::vector<int>(clients, each));
}

// Sends the message of this number from each peer.
void send_from_all(std::vector<Peer>& peers, int number) {
    for (size_t i = 0; i < peers.size(); ++i)
        peers[i].send_message(line_of(i, number));
}

Texts receive_until(Peer& peer, const std::string& last) {
    Texts texts{peer.next_text()};
    while (texts.back() != last) texts.push_back(peer.next_text());
    return texts;
}

// Returns random bytes of a client: legal frames, and many illegal ones.
std::string random_bytes(std::mt19937& random) {
    const std::string message = json_string(3 + random() % 3000);
    switch (random() % 12) {
        case 0:
            return first_fragment(message);
        case 1:
            return next_fragment("");
        case 2:
            return last_fragment("");
        case 3:
            return ping_frame(message.substr(0, random() % 126));
        case 4:
            return close_frame(static_cast<int>(random() % 5000));
        case 5:
            return text_frame(message).substr(0, random() % 2000);
        case 6:
            return "{\"a\":" + message + "}";
        case 7:
            return "{\"a\":";
        case 8:
            return bytes({static_cast<int>(random() % 256)});
        case 9:
            return text_frame("nonsense");
        case 10:
            return binary_frame("\xff");
        default:
            return text_frame(message);
    }
}

// Lets a random client connect, disconnect or send random bytes.
void random_step(std::vector<Peer>& others, const Daemon& daemon,
                 std::mt19937& random) {
    const size_t i = random() % 60;
    const size_t action = random() % 20;
    if (i >= others.size()) {
        others.emplace_back(daemon);
        if (action > 0) others.back().send(handshake());
        return;
    }
    if (action == 0)
        others[i].half_close();
    else if (action == 1)
        others[i].reset();
    else if (action == 2)
        others[i].close_socket();
    else
        others[i].send_if_possible(random_bytes(random));
    if (action > 2) return;
    std::swap(others[i], others.back());
    others.pop_back();
}

}  // namespace

TEST_CASE("200 clients that all send get the same messages in one order") {
    constexpr int kEach = 10;
    Daemon daemon;
    std::vector<Peer> peers = join(daemon, 200);
    for (int number = 0; number < kEach; ++number) send_from_all(peers, number);
    const Texts first = receive_texts(peers[0], 200 * kEach);
    check_complete(first, 200, kEach);
    for (size_t i = 1; i < peers.size(); ++i) {
        CAPTURE(i);
        CHECK((receive_texts(peers[i], first.size()) == first));
    }
    peers[0].send_message("\"end\"");
    for (Peer& peer : peers) peer.expect_message("\"end\"");
}

TEST_CASE("a client that joins while others send gets all later messages") {
    constexpr int kEach = 20;
    Daemon daemon;
    std::vector<Peer> peers = join(daemon, 50);
    std::vector<Peer> late;
    for (int number = 0; number < kEach; ++number) {
        send_from_all(peers, number);
        late.push_back(join(daemon));
    }
    for (Peer& peer : peers) peer.sync();
    peers[0].send_message("\"end\"");
    const Texts all = receive_texts(peers[0], 50 * kEach + 1);
    REQUIRE(all.back() == "\"end\"");
    for (Peer& peer : late) {
        Texts received{peer.next_text()};
        while (received.back() != "\"end\"")
            received.push_back(peer.next_text());
        REQUIRE(received.size() <= all.size());
        CHECK(std::equal(received.rbegin(), received.rend(), all.rbegin()));
    }
}

TEST_CASE("clients that join and leave all the time affect no other client") {
    Daemon daemon;
    std::vector<Peer> peers = join(daemon, 20);
    for (int number = 0; number < 50; ++number) {
        Peer leaving = join(daemon);
        Peer closing = join(daemon);
        Peer failing = join(daemon);
        send_from_all(peers, number);
        leaving.close_socket();
        closing.send(close_frame(1000));
        failing.send(bytes({0x83}) + text_frame("[0]"));
    }
    const Texts first = receive_texts(peers[0], 20 * 50);
    check_complete(first, 20, 50);
    for (size_t i = 1; i < peers.size(); ++i)
        CHECK((receive_texts(peers[i], first.size()) == first));
}

TEST_CASE("large and small messages of many clients keep one order") {
    Daemon daemon;
    std::vector<Peer> peers = join(daemon, 10);
    Texts sent;
    for (size_t i = 0; i < 100; ++i) {
        sent.push_back(json_string(3 + i * i * 7, 'a'));
        peers[i % 10].send_message(sent.back());
        peers[i % 10].sync();
    }
    for (Peer& peer : peers) CHECK((receive_texts(peer, sent.size()) == sent));
}

TEST_CASE(
    "whatever some clients do at random, the others get the same messages") {
    Daemon daemon({"--announce=address"});
    Peer sender = join(daemon);
    Peer observer = join(daemon);
    std::mt19937 random(4711);
    std::vector<Peer> others;
    for (int step = 1; step <= 3000; ++step) {
        random_step(others, daemon, random);
        if (step % 50 > 0) continue;
        const std::string marker = "\"marker " + std::to_string(step) + "\"";
        sender.send_message(marker);
        Texts received = receive_until(sender, marker);
        // The sender joined first, and has received the observer's join too.
        if (step == 50) received.erase(received.begin());
        CHECK((receive_until(observer, marker) == received));
    }
}
