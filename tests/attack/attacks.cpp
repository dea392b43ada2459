#include "attacks.h"

#include <chrono>
#include <memory>

#include "fixtures/client_frames.h"
#include "fixtures/deflated.h"
#include "honest_clients.h"

namespace wschat::attack {

namespace {

using namespace std::chrono_literals;

constexpr size_t kMiB = 1 << 20;

/// Bytes a second that send_bombs() sends. They inflate to a thousand times as
/// many.
constexpr double kBombsPerSecond = 200'000;

/// First byte of a frame with RSV1: its message is compressed (RFC 7692).
constexpr int kCompressedText = 0xC1;

std::string repeat(const std::string& bytes, size_t times) {
    std::string all;
    while (times-- > 0) all += bytes;
    return all;
}

/// Returns a JSON string of this size, which deflates to a thousandth.
std::string blank_text(size_t size) {
    return '"' + std::string(size - 2, ' ') + '"';
}

std::string bomb(size_t size = kMiB) {
    return test::frame(kCompressedText, test::deflated(blank_text(size)));
}

std::string join(const std::string& room) {
    return handshake(room, kDeflate);
}

/// The control: shows what the measurement itself finds, and that a client can
/// resume.
void nothing(Attacker& attacker) {
    for (;;) attacker.wait(1s);
}

// Messages that are small on the wire and large when they are inflated.

void burst(Attacker& attacker) {
    const std::string five = repeat(bomb(), 5);
    for (;;) {
        attacker.keep(1, join(kHonestRoom));
        attacker.send_all(five);
        attacker.wait(1s);
    }
}

/// Sends bombs in this room, 60 of them in one write.
void send_bombs(Attacker& attacker, const std::string& room, size_t clients) {
    const std::string packed = repeat(bomb(), 60);
    const Duration pause = to_duration(
        Seconds(static_cast<double>(packed.size()) / kBombsPerSecond));
    for (;;) {
        attacker.keep(clients, join(room));
        attacker.send_next(packed);
        attacker.wait(pause);
    }
}

void bombs(Attacker& attacker) {
    send_bombs(attacker, "/bombs", 10);
}

void bombs_many(Attacker& attacker) {
    send_bombs(attacker, "/bombs", 200);
}

void bombs_in_room(Attacker& attacker) {
    send_bombs(attacker, kHonestRoom, 10);
}

}  // namespace

// The numbers are MiB of memory: 32 for the process and the honest clients, 32
// for the connections of the attacker, and what the defaults of the daemon
// permit besides: 64 of retained messages (--keep-total), 64 of unfinished
// messages and bodies, and 128 of messages in all logs that were not sent yet.
const std::vector<Attack>& all_attacks() {
    static const std::vector<Attack> attacks = {
        {"nothing", 64, nothing, "no attack, for comparison", {}, false, true},
        {"burst", 256, burst,
         "5 MiB of messages at once, every second, 5 kB compressed"},
        {"bombs", 256, bombs,
         "10 clients send 200 kB/s that inflate to 200 MB/s"},
        {"bombs-many", 256, bombs_many, "the same from 200 clients"},
        {"bombs-in-room", 256, bombs_in_room,
         "bombs in the room of the honest clients"},
    };
    return attacks;
}

}  // namespace wschat::attack
