// The resources that the daemon uses: descriptors, memory, CPU time.
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
    Launch launch =
        command({"--announce=none", "--max-clients=0", "127.0.0.1", "0"});
    launch.soft_descriptors = soft;
    launch.hard_descriptors = hard;
    return launch;
}

// Connects this number of peers, which send their handshakes.
std::vector<Peer> connect_peers(const Daemon& daemon, int number) {
    std::vector<Peer> clients;
    for (int i = 0; i < number; ++i) {
        clients.emplace_back(daemon);
        clients.back().send(handshake());
    }
    return clients;
}

}  // namespace

TEST_CASE("without free descriptors clients are served and connections wait") {
    Daemon daemon(with_descriptors(64, 64));
    if (is_under_valgrind(daemon.pid())) return;
    Peer ann = join(daemon);
    Peer bob = join(daemon);
    const size_t before = open_descriptors(daemon.pid());
    std::vector<Peer> clients = connect_peers(daemon, 80);
    daemon.wait_for_log("wschat: out of descriptors at ");
    ann.send_message("[1]");
    bob.expect_message("[1]");
    const size_t in = open_descriptors(daemon.pid()) - before;
    REQUIRE(in > 20);
    REQUIRE(in < 64);
    for (size_t i = 0; i < in; ++i) {
        CHECK(clients[i].read_response().status == 101);
    }
    CHECK(count(daemon.log(), "out of descriptors") == 1);

    clients[0].close_socket();
    CHECK(clients[in].read_response().status == 101);
    clients[in].send_message("[2]");
    bob.expect_message("[2]");
    CHECK(!clients[in + 1].has_input(0));

    for (Peer& peer : clients) peer.close_socket();
    Peer last = join(daemon);
    last.send_message("[3]");
    bob.expect_message("[3]");
}

TEST_CASE("without free descriptors the daemon sleeps") {
    Timer timer;
    Daemon daemon(with_descriptors(64, 64));
    if (is_under_valgrind(daemon.pid())) return;
    Peer ann = join(daemon);
    std::vector<Peer> clients = connect_peers(daemon, 80);
    daemon.wait_for_log("out of descriptors");
    ann.sync();
    const double before = cpu_seconds(daemon.pid());
    timer.wait();
    CHECK(cpu_seconds(daemon.pid()) - before < 0.1 * slowdown());
}

TEST_CASE("a daemon without free descriptors stops on SIGTERM") {
    Daemon daemon(with_descriptors(64, 64));
    if (is_under_valgrind(daemon.pid())) return;
    std::vector<Peer> clients = connect_peers(daemon, 80);
    daemon.wait_for_log("out of descriptors");
    daemon.signal(SIGTERM);
    for (Peer& peer : clients) peer.close_socket();
    CHECK(daemon.wait_for_exit() == 0);
}

TEST_CASE("the soft limit of descriptors is raised to the hard one") {
    Daemon daemon(with_descriptors(32, 200));
    if (is_under_valgrind(daemon.pid())) return;
    std::vector<Peer> peers = join(daemon, 100);
    peers.front().send_message("[1]");
    peers.back().expect_message("[1]");
    if (is_instrumented(daemon.pid())) return;
    CHECK(descriptor_limit(daemon.pid()) == 200);
}

TEST_CASE("the daemon does not wake up for the deadline of a past handshake") {
    Timer timer;
    Daemon daemon({timed("--handshake-timeout", 0.4), "--ping-interval=0"});
    Peer ann = join(daemon);
    ann.send_message("[1]");
    ann.expect_message("[1]");
    ann.sync();
    const long before = count_sleeps(daemon.pid());
    timer.wait();
    CHECK(count_sleeps(daemon.pid()) == before);
}

TEST_CASE("an idle daemon does not wake up") {
    Timer timer;
    Daemon daemon({timed("--ping-interval", 0.1)});
    Peer ann = join(daemon);
    ann.send_message("[1]");
    ann.expect_message("[1]");
    ann.send(close_frame(1000));
    ann.expect_closed(1000);
    ann.close_socket();
    daemon.wait_for_log("left");
    timer.wait();
    const long before = count_sleeps(daemon.pid());
    timer.wait();
    CHECK(count_sleeps(daemon.pid()) == before);
}

TEST_CASE("idle clients do not wake the daemon up") {
    Timer timer;
    // -v: else it wakes up once to log how many more have joined.
    Daemon daemon({"--ping-interval=0", "--handshake-timeout=600", "-v"});
    std::vector<Peer> peers = join(daemon, 50);
    peers.front().send_message("[1]");
    for (Peer& peer : peers) peer.expect_message("[1]");
    timer.wait();
    const long before = count_sleeps(daemon.pid());
    timer.wait();
    CHECK(count_sleeps(daemon.pid()) == before);
}

TEST_CASE("idle clients are not polled and one that speaks is served at once") {
    Timer timer;
    Daemon daemon({"--ping-interval=0", "--handshake-timeout=600", "-v"});
    const int most = slowdown() > 1 ? 500 : 5000;
    std::vector<Peer> peers = join(daemon, std::min(most, spare_descriptors()));
    Peer ann = join(daemon);
    for (int i = 0; i < 50; ++i) ann.sync();
    // That of ann, and the one that stands for all that are idle.
    CHECK(polled_descriptors(daemon.pid()) == 2);
    const long before = count_sleeps(daemon.pid());
    timer.wait();
    CHECK(count_sleeps(daemon.pid()) == before);

    peers[1].send_message("[1]");
    ann.expect_message("[1]");
    CHECK(count_sleeps(daemon.pid()) < before + 10);
    CHECK(polled_descriptors(daemon.pid()) == 3);
    // Its connection ends, and another one gets its descriptor.
    peers[1].reset();
    Peer bob = join(daemon);
    bob.send_message("[2]");
    bob.expect_message("[2]");
    ann.expect_message("[2]");
    peers[0].send_message("[3]");
    bob.expect_message("[3]");
}

TEST_CASE("the length in a frame header reserves no memory") {
    Daemon daemon;
    if (is_instrumented(daemon.pid())) return;
    std::vector<Peer> peers = join(daemon, 200);
    const long before = resident_kib(daemon.pid());
    for (Peer& peer : peers)
        peer.send(frame_header(0x81, 1 << 20) + std::string(100, 'x'));
    Peer ann = join(daemon);
    ann.sync();
    CHECK(peak_resident_kib(daemon.pid()) - before < 16 * 1024);
}

TEST_CASE("memory is released when clients leave") {
    Daemon daemon;
    if (is_instrumented(daemon.pid())) return;
    Peer ann = join(daemon);
    ann.sync();
    const long before = resident_kib(daemon.pid());
    const size_t descriptors = open_descriptors(daemon.pid());
    std::vector<Peer> clients =
        join(daemon, std::min(1000, spare_descriptors()));
    for (Peer& peer : clients) peer.send(first_fragment(json_string(40000)));
    for (int i = 0; i < 3; ++i) {
        ann.send_message(json_string(1 << 20));
        ann.expect_message(json_string(1 << 20));
    }
    CHECK(peak_resident_kib(daemon.pid()) - before > 30 * 1024);
    clients.clear();
    wait_for_descriptors(daemon.pid(), descriptors);
    ann.sync();
    // The daemon keeps up to 4 MiB of free memory on purpose.
    CHECK(resident_kib(daemon.pid()) - before < 6 * 1024);
}

TEST_CASE("an idle client needs less than 1,000 bytes") {
    Daemon daemon;
    if (is_instrumented(daemon.pid())) return;
    const int number = std::min(2000, spare_descriptors());
    Peer ann = join(daemon);
    ann.sync();
    const long before = resident_kib(daemon.pid());
    const std::vector<Peer> peers = join(daemon, number);
    ann.send_message("[1]");
    ann.expect_message("[1]");
    const long each = (resident_kib(daemon.pid()) - before) * 1024 / number;
    CHECK(each < 1000);
}
