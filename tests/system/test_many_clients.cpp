// Many clients at once: all of them see the same messages in the same order.
#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "daemon.h"
#include "peer.h"

using namespace wschat::test;

namespace {

using Transcript = std::vector<std::string>;

std::string line_of(size_t client, int number) {
    return "[" + std::to_string(client) + "," + std::to_string(number) + "]";
}

Transcript hear_all(Peer& peer, size_t messages) {
    Transcript transcript;
    for (size_t i = 0; i < messages; ++i)
        transcript.push_back(peer.next_text());
    return transcript;
}

// Each message of each client once, and each client's in its own order.
void check_complete(const Transcript& transcript, size_t clients, int each) {
    std::vector<int> next(clients);
    for (const std::string& line : transcript) {
        const size_t client = std::stoul(line.substr(1));
        REQUIRE(client < clients);
        CHECK(line == line_of(client, next[client]));
        ++next[client];
    }
    CHECK(next == std::vector<int>(clients, each));
}

// Everyone says the message of this number.
void speak(std::vector<Peer>& peers, int number) {
    for (size_t i = 0; i < peers.size(); ++i) peers[i].say(line_of(i, number));
}

Transcript hear_until(Peer& peer, const std::string& last) {
    Transcript transcript{peer.next_text()};
    while (transcript.back() != last) transcript.push_back(peer.next_text());
    return transcript;
}

// Some of what a client may send, and much that it may not.
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

// One of a crowd comes, goes in some manner, or says something.
void misbehave(std::vector<Peer>& crowd, const Daemon& daemon,
               std::mt19937& random) {
    const size_t i = random() % 60;
    const size_t what = random() % 20;
    if (i >= crowd.size()) {
        crowd.emplace_back(daemon);
        if (what > 0) crowd.back().send(handshake());
        return;
    }
    if (what == 0)
        crowd[i].half_close();
    else if (what == 1)
        crowd[i].reset();
    else if (what == 2)
        crowd[i].hang_up();
    else
        crowd[i].send_if_possible(random_bytes(random));
    if (what > 2) return;
    std::swap(crowd[i], crowd.back());
    crowd.pop_back();
}

}  // namespace

TEST_CASE("200 clients that all talk see the same messages in one order") {
    constexpr int kEach = 10;
    Daemon daemon;
    std::vector<Peer> peers = join(daemon, 200);
    for (int number = 0; number < kEach; ++number) speak(peers, number);
    const Transcript first = hear_all(peers[0], 200 * kEach);
    check_complete(first, 200, kEach);
    for (size_t i = 1; i < peers.size(); ++i) {
        CAPTURE(i);
        CHECK((hear_all(peers[i], first.size()) == first));
    }
    peers[0].say("\"end\"");
    for (Peer& peer : peers) peer.hears("\"end\"");
}

TEST_CASE("who comes while others talk hears all from there on") {
    constexpr int kEach = 20;
    Daemon daemon;
    std::vector<Peer> peers = join(daemon, 50);
    std::vector<Peer> late;
    for (int number = 0; number < kEach; ++number) {
        speak(peers, number);
        late.push_back(join(daemon));
    }
    for (Peer& peer : peers) peer.sync();
    peers[0].say("\"end\"");
    const Transcript all = hear_all(peers[0], 50 * kEach + 1);
    REQUIRE(all.back() == "\"end\"");
    for (Peer& peer : late) {
        Transcript heard{peer.next_text()};
        while (heard.back() != "\"end\"") heard.push_back(peer.next_text());
        REQUIRE(heard.size() <= all.size());
        CHECK(std::equal(heard.rbegin(), heard.rend(), all.rbegin()));
    }
}

TEST_CASE("clients that come and go all the time disturb nobody") {
    Daemon daemon;
    std::vector<Peer> peers = join(daemon, 20);
    for (int number = 0; number < 50; ++number) {
        Peer leaves = join(daemon);
        Peer closes = join(daemon);
        Peer errs = join(daemon);
        speak(peers, number);
        leaves.hang_up();
        closes.send(close_frame(1000));
        errs.send(bytes({0x83}) + text_frame("[0]"));
    }
    const Transcript first = hear_all(peers[0], 20 * 50);
    check_complete(first, 20, 50);
    for (size_t i = 1; i < peers.size(); ++i)
        CHECK((hear_all(peers[i], first.size()) == first));
}

TEST_CASE("large and small messages from many keep one order") {
    Daemon daemon;
    std::vector<Peer> peers = join(daemon, 10);
    Transcript sent;
    for (size_t i = 0; i < 100; ++i) {
        sent.push_back(json_string(3 + i * i * 7, 'a'));
        peers[i % 10].say(sent.back());
        peers[i % 10].sync();
    }
    for (Peer& peer : peers) CHECK((hear_all(peer, sent.size()) == sent));
}

TEST_CASE("whatever clients do at random, the others hear the same") {
    Daemon daemon({"--announce=address"});
    Peer speaker = join(daemon);
    Peer witness = join(daemon);
    std::mt19937 random(4711);
    std::vector<Peer> crowd;
    for (int step = 1; step <= 3000; ++step) {
        misbehave(crowd, daemon, random);
        if (step % 50 > 0) continue;
        const std::string marker = "\"marker " + std::to_string(step) + "\"";
        speaker.say(marker);
        Transcript heard = hear_until(speaker, marker);
        // The speaker was there first and heard the witness join.
        if (step == 50) heard.erase(heard.begin());
        CHECK((hear_until(witness, marker) == heard));
    }
}
