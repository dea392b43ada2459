// What the daemon takes from its machine: descriptors, memory, time.
#include <algorithm>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <sys/resource.h>

#include "daemon.h"
#include "peer.h"
#include "proc.h"

using namespace wschat::test;

namespace {

Launch with_descriptors(rlim_t soft, rlim_t hard) {
    Launch launch = command({"--announce=none", "127.0.0.1", "0"});
    launch.soft_descriptors = soft;
    launch.hard_descriptors = hard;
    return launch;
}

// As many peers as the daemon is to have descriptors, all shaking hands.
std::vector<Peer> crowd_at(const Daemon& daemon, int number) {
    std::vector<Peer> crowd;
    for (int i = 0; i < number; ++i) {
        crowd.emplace_back(daemon);
        crowd.back().send(handshake());
    }
    return crowd;
}

// REQUIRES: the daemon has taken in all that it could.
size_t admitted(std::vector<Peer>& crowd) {
    size_t number = 0;
    while (number < crowd.size() && crowd[number].has_input(0)) {
        CHECK(crowd[number].answer().status == 101);
        ++number;
    }
    return number;
}

}  // namespace

TEST_CASE("when descriptors run out, clients go on and newcomers wait") {
    Daemon daemon(with_descriptors(64, 64));
    if (is_under_valgrind(daemon.pid())) return;
    Peer ann = join(daemon);
    Peer bob = join(daemon);
    std::vector<Peer> crowd = crowd_at(daemon, 80);
    daemon.wait_log("wschat: out of descriptors at ");
    ann.say("[1]");
    bob.hears("[1]");
    ann.sync();
    const size_t in = admitted(crowd);
    CHECK(in > 20);
    REQUIRE(in < 64);
    CHECK(count(daemon.log(), "out of descriptors") == 1);

    crowd[0].hang_up();
    CHECK(crowd[in].answer().status == 101);
    crowd[in].say("[2]");
    bob.hears("[2]");
    CHECK(!crowd[in + 1].has_input(0));

    for (Peer& peer : crowd) peer.hang_up();
    Peer last = join(daemon);
    last.say("[3]");
    bob.hears("[3]");
}

TEST_CASE("when descriptors run out, the daemon sleeps") {
    Ticker clock;
    Daemon daemon(with_descriptors(64, 64));
    if (is_under_valgrind(daemon.pid())) return;
    Peer ann = join(daemon);
    std::vector<Peer> crowd = crowd_at(daemon, 80);
    daemon.wait_log("out of descriptors");
    ann.sync();
    const double before = cpu_seconds(daemon.pid());
    clock.tick();
    CHECK(cpu_seconds(daemon.pid()) - before < 0.1 * slowness());
}

TEST_CASE("a daemon out of descriptors stops when it is told to") {
    Daemon daemon(with_descriptors(64, 64));
    if (is_under_valgrind(daemon.pid())) return;
    std::vector<Peer> crowd = crowd_at(daemon, 80);
    daemon.wait_log("out of descriptors");
    daemon.signal(SIGTERM);
    for (Peer& peer : crowd) peer.hang_up();
    CHECK(daemon.wait_exit() == 0);
}

TEST_CASE("the soft limit of descriptors is raised to the hard one") {
    Daemon daemon(with_descriptors(32, 200));
    if (is_under_valgrind(daemon.pid())) return;
    std::vector<Peer> peers = join(daemon, 100);
    peers.front().say("[1]");
    peers.back().hears("[1]");
    if (is_instrumented(daemon.pid())) return;
    CHECK(descriptor_limit(daemon.pid()) == 200);
}

TEST_CASE("a handshake in time leaves nothing to wake up for") {
    Ticker clock;
    Daemon daemon({timed("--handshake-timeout", 0.4), "--ping-interval=0"});
    Peer ann = join(daemon);
    ann.say("[1]");
    ann.hears("[1]");
    ann.sync();
    const long before = sleeps(daemon.pid());
    clock.tick();
    CHECK(sleeps(daemon.pid()) == before);
}

TEST_CASE("an idle daemon does not wake up") {
    Ticker clock;
    Daemon daemon({timed("--ping-interval", 0.1)});
    Peer ann = join(daemon);
    ann.say("[1]");
    ann.hears("[1]");
    ann.send(close_frame(1000));
    ann.is_closed(1000);
    ann.hang_up();
    daemon.wait_log("left");
    clock.tick();
    const long before = sleeps(daemon.pid());
    clock.tick();
    CHECK(sleeps(daemon.pid()) == before);
}

TEST_CASE("idle clients do not wake the daemon up") {
    Ticker clock;
    Daemon daemon({"--ping-interval=0", "--handshake-timeout=600"});
    std::vector<Peer> peers = join(daemon, 50);
    peers.front().say("[1]");
    for (Peer& peer : peers) peer.hears("[1]");
    clock.tick();
    const long before = sleeps(daemon.pid());
    clock.tick();
    CHECK(sleeps(daemon.pid()) == before);
}

TEST_CASE("memory is not reserved because a peer announces a message") {
    Daemon daemon;
    if (is_instrumented(daemon.pid())) return;
    std::vector<Peer> peers = join(daemon, 200);
    const long before = memory(daemon.pid());
    for (Peer& peer : peers)
        peer.send(frame_header(0x81, 1 << 20) + std::string(100, 'x'));
    Peer ann = join(daemon);
    ann.sync();
    CHECK(peak_memory(daemon.pid()) - before < 16 * 1024);
}

TEST_CASE("memory is given back when clients leave") {
    Daemon daemon;
    if (is_instrumented(daemon.pid())) return;
    Peer ann = join(daemon);
    ann.sync();
    const long before = memory(daemon.pid());
    const size_t descriptors = open_descriptors(daemon.pid());
    std::vector<Peer> crowd = join(daemon, std::min(1000, spare_descriptors()));
    for (Peer& peer : crowd) peer.send(first_fragment(json_string(40000)));
    for (int i = 0; i < 3; ++i) {
        ann.say(json_string(1 << 20));
        ann.hears(json_string(1 << 20));
    }
    CHECK(peak_memory(daemon.pid()) - before > 30 * 1024);
    crowd.clear();
    wait_descriptors(daemon.pid(), descriptors);
    ann.sync();
    // Up to 4 MiB of free memory stay with the daemon on purpose.
    CHECK(memory(daemon.pid()) - before < 6 * 1024);
}

TEST_CASE("an idle client costs little memory") {
    Daemon daemon;
    if (is_instrumented(daemon.pid())) return;
    const int number = std::min(2000, spare_descriptors());
    Peer ann = join(daemon);
    ann.sync();
    const long before = memory(daemon.pid());
    const std::vector<Peer> peers = join(daemon, number);
    ann.say("[1]");
    ann.hears("[1]");
    const long each = (memory(daemon.pid()) - before) * 1024 / number;
    CHECK(each < 1000);
}
