// What clients may take: of the daemon, of each other, and of the machine.
#include <sys/resource.h>

#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "daemon.h"
#include "fixtures/deflated.h"
#include "peer.h"
#include "proc.h"
#include "room_clients.h"
#include "tls_tunnel.h"

using namespace wschat::test;

namespace {

std::string forwarded_for(const std::string& address) {
    return "X-Forwarded-For: " + address + "\r\n";
}

/// Connects and sends a handshake of the client with this address, behind a
/// proxy.
Peer connect_from(const Daemon& daemon, const std::string& address,
                  const std::string& target = "/") {
    Peer peer(daemon);
    peer.send(handshake(target, forwarded_for(address)));
    return peer;
}

int status_from(const Daemon& daemon, const std::string& address) {
    return connect_from(daemon, address).read_response().status;
}

Peer join_deflating(const Daemon& daemon, const std::string& target = "/") {
    Peer peer(daemon);
    peer.do_handshake(target, kDeflate);
    peer.allow_deflated();
    return peer;
}

/// A frame of about 1 KB that inflates to a JSON string of a megabyte.
std::string bomb() {
    return frame(0xC1, deflated(json_string(1'000'000)));
}

/// Sends messages at once: [0], [1] and so on.
void send_many(Peer& peer, int messages) {
    std::string frames;
    for (int i = 0; i < messages; ++i)
        frames += text_frame("[" + std::to_string(i) + "]");
    peer.send(frames);
}

}  // namespace

// Many unfinished messages at once

TEST_CASE("unfinished messages of many clients have a limit together") {
    Daemon daemon({"--max-message=64K", "--max-partial=1M"});
    std::vector<Peer> peers = join(daemon, 60);
    Peer honest = join(daemon);
    for (Peer& peer : peers)
        peer.send_if_possible(first_fragment(std::string(60'000, 'x')));
    daemon.wait_for_log("closed: 1009: too much unfinished (--max-partial)",
                        20);
    honest.send_message("[1]");
    honest.expect_message("[1]");
    if (is_instrumented(daemon.pid())) return;
    CHECK(peak_resident_kib(daemon.pid()) < 24 * 1024);
}

TEST_CASE("compressed messages count by what they inflate to") {
    Daemon daemon({"--max-partial=4M"});
    std::vector<Peer> peers;
    // A thousand bytes that hold a megabyte each.
    const std::string half =
        frame(0x41, deflated(json_string(1'000'000)) + std::string(1, '\0'));
    for (int i = 0; i < 20; ++i) {
        peers.push_back(join_deflating(daemon));
        peers.back().send_if_possible(half);
    }
    daemon.wait_for_log("closed: 1009: too much unfinished", 10);
    if (is_instrumented(daemon.pid())) return;
    CHECK(peak_resident_kib(daemon.pid()) < 32 * 1024);
}

TEST_CASE("unfinished bodies have the limit of unfinished messages") {
    KeyFile keys;
    Daemon daemon(
        {"--max-message=64K", "--max-partial=1M", keys.option(), "-v"});
    const std::string request = post(json_string(60'000));
    std::vector<Peer> peers;
    for (int i = 0; i < 40; ++i) {
        peers.emplace_back(daemon);
        peers.back().send_if_possible(request.substr(0, request.size() - 1));
    }
    daemon.wait_for_log("refused: 413 too much unfinished (--max-partial)",
                        10);
    publish(Peer(daemon), post("[1]"));
}

// Closing such a client left its input counted: the daemon closed it for ever.
TEST_CASE("input that waits to be handled counts as unfinished") {
    Daemon daemon({"--max-message=64K", "--max-partial=512K", "--exempt=none",
                   "--rate=1/1000"});
    std::string frames;
    while (frames.size() < 60'000) frames += text_frame("[1]");
    std::vector<Peer> peers = join(daemon, 30);
    for (Peer& peer : peers) peer.send_if_possible(frames);
    daemon.wait_for_log("closed: 1009: too much unfinished", 3);
    // What they publish is held, but not their requests.
    join(daemon);
}

TEST_CASE("a message that was relayed does not count as unfinished") {
    Daemon daemon({"--rooms", "--max-message=640K", "--max-partial=4M"});
    std::vector<Peer> senders;
    // One that takes the whole share of a client in a turn, and one that
    // doesn't.
    for (const size_t size : {size_t{300'000}, size_t{50'000}}) {
        const std::string half(size, '1');
        for (int i = 0; i < 40; ++i) {
            senders.push_back(join_room(daemon, "/" + std::to_string(i)));
            senders.back().send(first_fragment(half) + last_fragment(half));
            senders.back().expect_message(half + half);
        }
    }
    CHECK(count(daemon.log(), "too much unfinished") == 0);
}

TEST_CASE("a message has the time of --message-timeout") {
    Daemon daemon({timed("--message-timeout", 0.5)});
    Peer quick = join(daemon);
    for (const std::string& part :
         {first_fragment("[1"), frame(0x81, "[1]").substr(0, 4),
          std::string("{\"a\":")}) {
        CAPTURE(part);
        Peer slow = join(daemon);
        slow.send(part);
        slow.expect_closed(1008);
    }
    daemon.wait_for_log("closed: 1008: message not complete in time", 3);
    quick.send_message("[1]");
    quick.expect_message("[1]");
}

// Control frames and bytes of the message do not renew it.
TEST_CASE("the time of a message is not renewed") {
    Daemon daemon({timed("--message-timeout", 0.5)});
    Peer slow = join(daemon);
    slow.send(first_fragment("["));
    while (slow.send_if_possible(next_fragment("1,") + ping_frame()))
        if (slow.next_frame().opcode == kClose) break;
    daemon.wait_for_log("closed: 1008: message not complete in time");
}

TEST_CASE("the time of a message stands still while its client is held") {
    Daemon daemon({"--exempt=none", "--rate=2/0.4",
                   timed("--message-timeout", 1)});
    Timer timer;
    // Each time it is held for a moment.
    Peer slow = join(daemon);
    slow.send(first_fragment("["));
    for (int i = 0; i < 6; ++i) {
        if (!slow.send_if_possible(ping_frame() + ping_frame() + ping_frame()))
            break;
        timer.wait();
    }
    daemon.wait_for_log("closed: 1008: message not complete in time");
}

TEST_CASE("a control frame is no message that is not complete") {
    Timer timer;
    Daemon daemon({timed("--message-timeout", 0.2)});
    Peer ann = join(daemon);
    Peer observer = join(daemon);
    send_in_two(ann, ping_frame("abcd"), 8, observer);
    ann.expect_pong("abcd");
    timer.wait();
    ann.send_message("[1]");
    ann.expect_message("[1]");
}

TEST_CASE("--message-timeout=0 is no limit") {
    Timer timer;
    Daemon daemon({"--message-timeout=0", timed("--handshake-timeout", 0.2)});
    Peer slow = join(daemon);
    slow.send(first_fragment("[1"));
    timer.wait();
    slow.send(last_fragment("]"));
    slow.expect_message("[1]");
}

// Much work in few bytes in one turn

TEST_CASE("a client with much work in few bytes does not keep others waiting") {
    Daemon daemon;
    Peer sender = join_deflating(daemon);
    Peer honest = join(daemon);
    std::string bombs;
    for (int i = 0; i < 20; ++i) bombs += bomb();
    // All of it waits when the daemon looks.
    daemon.signal(SIGSTOP);
    sender.send(bombs);
    honest.send_message("[1]");
    daemon.signal(SIGCONT);
    int before = 0;
    while (honest.next_text() != "[1]") ++before;
    CHECK(before <= 4);
    for (int i = before; i < 20; ++i)
        honest.expect_message(json_string(1'000'000));
}

TEST_CASE("what is left of a client's input is handled before its end") {
    Daemon daemon;
    Peer reader = join(daemon);
    Peer sender = join_deflating(daemon);
    std::string bombs;
    for (int i = 0; i < 5; ++i) bombs += bomb();
    sender.send(bombs + text_frame("[1]"));
    sender.half_close();
    for (int i = 0; i < 5; ++i) reader.expect_message(json_string(1'000'000));
    reader.expect_message("[1]");
}

// One address takes all descriptors, rooms or history

TEST_CASE("one address has at most --max-per-address connections") {
    Daemon daemon({"--trust-proxy=loopback", "--max-per-address=3"});
    std::vector<Peer> peers;
    for (int i = 0; i < 3; ++i) {
        peers.push_back(connect_from(daemon, "203.0.113.7"));
        CHECK(peers.back().read_response().status == 101);
    }
    Peer refused = connect_from(daemon, "203.0.113.7");
    const ReceivedResponse response = refused.read_response();
    CHECK(response.status == 429);
    CHECK(response.header("Retry-After") == "10");
    CHECK(response.body ==
          "too many connections from this address (--max-per-address)\n");
    daemon.wait_for_log(
        "203.0.113.7 refused: 429 too many connections from this address "
        "(--max-per-address); a proxy or CDN in front? see --trust-proxy");
    refused.expect_eof();
    CHECK(status_from(daemon, "203.0.113.8") == 101);
    // It is given back.
    peers.back().send(close_frame(1000));
    peers.back().expect_closed(1000);
    peers.back().close_socket();
    daemon.wait_for_log("203.0.113.7 left");
    refused.close_socket();
    peers.back() = connect_from(daemon, "203.0.113.7");
    CHECK(peers.back().read_response().status == 101);
}

TEST_CASE("IPv6 clients of one network of 64 bits count as one address") {
    Daemon daemon({"--trust-proxy=loopback", "--max-per-address=1"});
    Peer first = connect_from(daemon, "2001:db8::1");
    CHECK(first.read_response().status == 101);
    CHECK(status_from(daemon, "2001:db8::2:3") == 429);
    CHECK(status_from(daemon, "2001:db8:0:1::1") == 101);
}

TEST_CASE("local clients are exempt, unless --exempt=none") {
    Daemon daemon({"--max-per-address=1"});
    join(daemon, 5);
    Daemon strict({"--max-per-address=1", "--exempt=none"});
    Peer first = join(strict);
    Peer second(strict);
    second.send(handshake());
    second.expect_refused(429);
    // Nor are those that a proxy forwards, if it is not trusted: without its
    // word all of them have one address.
    Peer forwarded = connect_from(daemon, "203.0.113.7");
    CHECK(forwarded.read_response().status == 101);
    CHECK(status_from(daemon, "203.0.113.8") == 429);
}

TEST_CASE("clients of --exempt are not limited, and proxies are not counted") {
    Daemon daemon({"--trust-proxy=loopback", "--max-per-address=1",
                   "--exempt=203.0.113.0/24"});
    std::vector<Peer> peers;
    for (const char* address :
         {"203.0.113.7", "203.0.113.7", "127.0.0.1", "127.0.0.1"}) {
        peers.push_back(connect_from(daemon, address));
        CHECK(peers.back().read_response().status == 101);
    }
    peers.push_back(connect_from(daemon, "203.0.114.7"));
    CHECK(peers.back().read_response().status == 101);
    CHECK(status_from(daemon, "203.0.114.7") == 429);
}

TEST_CASE("over --max-clients even local clients get a 503") {
    Daemon daemon({"--max-clients=3"});
    std::vector<Peer> peers = join(daemon, 3);
    Peer refused(daemon);
    refused.send(handshake());
    const ReceivedResponse response = refused.read_response();
    CHECK(response.status == 503);
    CHECK(response.header("Retry-After") == "10");
    refused.close_socket();
    peers.pop_back();
    daemon.wait_for_log("left");
    Peer last = join(daemon);
}

TEST_CASE("far over --max-clients connections are closed at once") {
    Daemon daemon({"--max-clients=3"});
    std::vector<Peer> peers = join(daemon, 3);
    for (int i = 0; i < 32; ++i) peers.emplace_back(daemon);
    Peer beyond(daemon);
    beyond.expect_gone();
    peers[0].send_message("[1]");
    peers[1].expect_message("[1]");
}

TEST_CASE("one address has at most --max-rooms-per-address rooms") {
    Daemon daemon({"--rooms", "--trust-proxy=loopback",
                   "--max-rooms-per-address=2"});
    Peer a = connect_from(daemon, "203.0.113.7", "/a");
    CHECK(a.read_response().status == 101);
    Peer b = connect_from(daemon, "203.0.113.7", "/b");
    CHECK(b.read_response().status == 101);
    // Not a new one.
    Peer again = connect_from(daemon, "203.0.113.7", "/a");
    CHECK(again.read_response().status == 101);
    Peer c = connect_from(daemon, "203.0.113.7", "/c");
    CHECK(c.read_response().status == 503);
    // With a member of another address /b does not count.
    Peer other = connect_from(daemon, "203.0.113.8", "/b");
    CHECK(other.read_response().status == 101);
    c = connect_from(daemon, "203.0.113.7", "/c");
    CHECK(c.read_response().status == 101);
}

TEST_CASE("one address has the handshakes of --rate-connect") {
    Daemon daemon({"--trust-proxy=loopback", "--rate-connect=3/1000"});
    for (int i = 0; i < 3; ++i)
        CHECK(status_from(daemon, "203.0.113.7") == 101);
    CHECK(status_from(daemon, "203.0.113.7") == 429);
    CHECK(status_from(daemon, "203.0.113.8") == 101);
    // Pages are no handshakes.
    Peer page(daemon);
    page.send("GET / HTTP/1.1\r\nHost: x\r\n" + forwarded_for("203.0.113.7") +
              "\r\n");
    CHECK(page.read_response().status == 200);
}

TEST_CASE("over --rate-connect a TLS port closes before the TLS handshake") {
    CertificateFiles files;
    Daemon daemon(files.options(
        {"--exempt=none", "--rate-connect=3/1000", "--announce=none"}));
    for (int i = 0; i < 3; ++i) {
        Peer hello(daemon);
        hello.send("\x16\x03\x01");
    }
    Peer refused(daemon);
    refused.expect_gone();
    daemon.wait_for_log("refused: 429 too many handshakes");
}

TEST_CASE("a reload that failed for want of a descriptor is tried again") {
    KeyFile keys;
    Launch launch = command({"--announce=none", "--max-clients=0",
                             keys.option(), "127.0.0.1", "0"});
    launch.soft_descriptors = launch.hard_descriptors = 40;
    Daemon daemon(launch);
    // The sanitizers need a descriptor to look at an exception.
    if (is_instrumented(daemon.pid())) return;
    std::vector<Peer> peers;
    for (int i = 0; i < 60; ++i) peers.emplace_back(daemon);
    daemon.wait_for_log("out of descriptors");
    daemon.signal(SIGHUP);
    daemon.wait_for_log("; keeping the former keys");
    peers.clear();
    daemon.wait_for_log("SIGHUP: reloaded the keys");
}

// Amplification

TEST_CASE("a client over --rate is held back, and others are not") {
    Daemon daemon({"--exempt=none", "--rate=10/1000"});
    Peer fast = join(daemon);
    Peer other = join(daemon);
    send_many(fast, 15);
    for (int i = 0; i < 10; ++i)
        other.expect_message("[" + std::to_string(i) + "]");
    other.send_message("[\"other\"]");
    other.expect_message("[\"other\"]");
    other.sync();
    CHECK(!other.has_input(0));
}

TEST_CASE("nothing is lost of a client that is held back") {
    Daemon daemon({"--exempt=none", "--rate=10/1"});
    Peer fast = join(daemon);
    send_many(fast, 20);
    for (int i = 0; i < 20; ++i)
        fast.expect_message("[" + std::to_string(i) + "]");
    // Not even if it sends no more.
    Peer reader = join(daemon);
    Peer gone = join(daemon);
    send_many(gone, 15);
    gone.half_close();
    for (int i = 0; i < 15; ++i)
        reader.expect_message("[" + std::to_string(i) + "]");
}

TEST_CASE("control frames count for --rate") {
    Daemon daemon({"--exempt=none", "--rate=5/1000"});
    Peer pinging = join(daemon);
    std::string pings;
    for (int i = 0; i < 8; ++i) pings += ping_frame(std::to_string(i));
    pinging.send(pings);
    for (int i = 0; i < 5; ++i) pinging.expect_pong(std::to_string(i));
    Peer other = join(daemon);
    other.sync();
    CHECK(!pinging.has_input(0));
}

TEST_CASE("a client over --rate-bytes is held back by what inflates") {
    Daemon daemon({"--exempt=none", "--rate-bytes=1M/1000", "--rate=0"});
    Peer sender = join_deflating(daemon);
    Peer reader = join(daemon);
    sender.send(bomb() + bomb() + text_frame("[1]"));
    reader.expect_message(json_string(1'000'000));
    reader.sync();
    CHECK(!reader.has_input(0));
}

TEST_CASE("clients of one address together have ten times the rate") {
    Daemon daemon({"--exempt=none", "--rate=2/1000", "--rate-bytes=0"});
    std::vector<Peer> peers = join(daemon, 15);
    Peer reader = join(daemon);
    for (Peer& peer : peers) send_many(peer, 2);
    int received = 0;
    for (; received < 20; ++received) (void)reader.next_text();
    CHECK(!reader.has_input(100));
}

TEST_CASE("publishers with a key are exempt from rates") {
    KeyFile keys;
    Daemon daemon({"--exempt=none", "--rate=1/1000", "--rate-bytes=1K/1000",
                   keys.option()});
    for (int i = 0; i < 5; ++i) publish(Peer(daemon), post(json_string(2000)));
}

TEST_CASE("a client that is held back can close, and be closed") {
    Daemon daemon({"--exempt=none", "--rate=1/1000"});
    Peer held = join(daemon);
    send_many(held, 3);
    held.expect_message("[0]");
    daemon.signal(SIGTERM);
    held.expect_close_frame(1001);
    held.send(close_frame(1001));
    held.expect_eof();
    CHECK(daemon.wait_for_exit() == 0);
}

// By a unix socket: that of TCP takes the bytes of a client that is gone, to
// fail.
TEST_CASE("a client that is held back and gone costs nothing") {
    KeyFile keys;
    ScratchDirectory scratch;
    const SocketAddress address =
        SocketAddress::unix_socket(scratch / "chat");
    Daemon daemon({"--exempt=none", "--rate=1/1000", keys.option(),
                   "--bind=unix:" + scratch / "chat"});
    Timer timer;
    Peer held = join(address);
    send_many(held, 2);
    // More than its socket takes.
    for (int i = 0; i < 10; ++i)
        publish(Peer(address), post(json_string(100'000)));
    shutdown(held.fd(), SHUT_RDWR);
    const double before = cpu_seconds(daemon.pid());
    timer.wait();
    CHECK(cpu_seconds(daemon.pid()) - before < 0.1 * slowdown());
}

// 520 joins in 0.2 s pushed out all that a room retained.
TEST_CASE("announcements do not push messages out of the history") {
    Daemon daemon({"--announce=address", "--keep=5", "--history=5"});
    Member ann = join_v1(daemon);
    ann.peer.expect_message(kConnected);
    for (uint64_t i = 0; i < 5; ++i) {
        ann.peer.send_message(numbered_message(i));
        ann.peer.expect_message(numbered_message(i));
    }
    for (int i = 0; i < 8; ++i) {
        join(daemon).close_socket();
        ann.peer.expect_message(kConnected);
        ann.peer.expect_message(kDisconnected);
    }
    const std::string target = resume_target(ann.hello, ann.hello.last);
    CHECK(join_v1(daemon, target).hello.recovered);
    Peer newcomer = join(daemon);
    newcomer.expect_message(numbered_message(0));
}

// The sum of backlogs

TEST_CASE("the logs of all rooms together have the limit --max-logs") {
    Daemon daemon({"--rooms", "--max-logs=4M", "--keep=0",
                   timed("--stall-timeout", 600)});
    std::vector<Peer> stalled;
    const std::string message = json_string(200'000);
    for (int room = 0; room < 20; ++room) {
        const std::string name = "/" + std::to_string(room);
        stalled.emplace_back(SocketAddress::v4(daemon.port()), 4096);
        stalled.back().do_handshake(name, {});
        Peer sender(daemon);
        sender.do_handshake(name, {});
        for (int i = 0; i < 18; ++i) {
            sender.send_message(message);
            sender.expect_message(message);
        }
    }
    daemon.wait_for_log("bytes behind, over --max-logs");
    CHECK(count(daemon.log(), "dropped: backlog") == 0);
    if (is_instrumented(daemon.pid())) return;
    CHECK(peak_resident_kib(daemon.pid()) < 32 * 1024);
}

TEST_CASE("a reader of crumbs is dropped after two stall timeouts") {
    ScratchDirectory scratch;
    const std::string path = scratch / "chat";
    Daemon daemon({"--bind=unix:" + path, timed("--stall-timeout", 1.5)});
    Peer sender = join(SocketAddress::unix_socket(path));
    Peer crumbs = join(SocketAddress::unix_socket(path));
    const std::string message = json_string(100'000);
    for (int i = 0; i < 38; ++i) {
        sender.send_message(message);
        sender.expect_message(message);
    }
    // So much that its socket takes more each time.
    while (count(daemon.log(), "dropped") == 0) {
        Timer timer;
        timer.wait();
        crumbs.discard(200'000);
    }
    daemon.wait_for_log("dropped: too slow for its backlog");
}
