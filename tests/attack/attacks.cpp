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

/// First bytes of frames with RSV1: their message is compressed (RFC 7692).
constexpr int kCompressedText = 0xC1;
constexpr int kCompressedFragment = 0x41;

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

std::string numbered(const std::string& text, size_t number) {
    return text + std::to_string(number);
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

// Input that never becomes complete.

void half_messages(Attacker& attacker) {
    const std::string greeting =
        join("/half") +
        test::frame(kCompressedFragment,
                    test::deflated(std::string(kMiB - 1000, ' ')));
    for (;;) {
        attacker.keep(attacker.strength().connections, greeting);
        attacker.wait(1s);
        // A sign of life, before it is asked for.
        attacker.send_all(test::pong_frame());
    }
}

void uploads(Attacker& attacker) {
    const std::string greeting =
        "POST /uploads HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer " +
        std::string(kPublishKey) + "\r\nContent-Length: 1048576\r\n\r\n";
    const std::string piece(16 << 10, ' ');
    // Half a body for each connection.
    for (size_t sent = 0;; sent += piece.size()) {
        attacker.keep(attacker.strength().connections, greeting);
        if (sent < kMiB / 2) attacker.send_all(piece);
        attacker.wait(10ms);
    }
}

/// Returns the first flight of a TLS client.
std::string client_hello() {
    const ClientTls context(SSL_CTX_new(TLS_client_method()));
    const TlsSession::Session session(SSL_new(context.get()));
    SSL_set_bio(session.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_connect(session.get());
    BIO* const out = SSL_get_wbio(session.get());
    std::string bytes(BIO_ctrl_pending(out), '\0');
    BIO_read(out, bytes.data(), static_cast<int>(bytes.size()));
    return bytes;
}

void tls_hellos(Attacker& attacker) {
    constexpr size_t kMaxOpen = 4000;
    const std::string hello = client_hello();
    attacker.speak_plain();
    for (;;) {
        for (int i = 0; i < 20; ++i) attacker.open(hello);
        attacker.wait(10ms);
        attacker.reset_all_but(kMaxOpen);
    }
}

// Connections that come and go.

void connects(Attacker& attacker) {
    for (;;) {
        for (int i = 0; i < 16; ++i) attacker.open();
        attacker.turn(0s);
        attacker.reset_all_but(64);
    }
}

/// Opens connections with this greeting, and ends each when it is answered.
void come_and_go(Attacker& attacker, const std::string& greeting) {
    for (;;) {
        attacker.keep(100, greeting);
        attacker.turn(10ms);
        attacker.reset_answered();
    }
}

void handshakes(Attacker& attacker) {
    come_and_go(attacker, join("/handshakes"));
}

void joins(Attacker& attacker) {
    come_and_go(attacker, join(kHonestRoom));
}

void log_lines(Attacker& attacker) {
    // The log shows each byte of this header in four.
    const std::string bad_origin =
        handshake("/", "Origin: " + repeat("\x80\xFF", 3000) + "\r\n");
    const std::string bad_path = handshake(repeat("/%01%1b%5b31m", 400));
    for (;;) {
        attacker.keep(50, bad_origin);
        attacker.keep(100, bad_path);
        attacker.turn(10ms);
        attacker.reset_answered();
    }
}

void rooms(Attacker& attacker) {
    const std::string retained = bomb(64 << 10);
    for (size_t number = 0;; ++number) {
        attacker.open(join(numbered("/room-", number)) + retained);
        if (number % 16 == 0) attacker.turn(10ms);
        attacker.reset_all_but(100);
    }
}

// Control frames and records that must be answered.

void send_pings(Attacker& attacker) {
    const std::string many =
        repeat(test::ping_frame(std::string(125, '.')), 400);
    for (;;) {
        attacker.keep(10, join("/pings"));
        attacker.send_all(many);
        attacker.turn(10ms);
    }
}

void pings(Attacker& attacker) {
    send_pings(attacker);
}

void pings_unread(Attacker& attacker) {
    attacker.set_reading(false);
    send_pings(attacker);
}

void key_updates(Attacker& attacker) {
    for (;;) {
        attacker.keep(10, join("/keys"));
        attacker.for_each([](Connection& connection) {
            for (int i = 0; i < 100; ++i) {
                if (!SSL_is_init_finished(connection.tls())) return;
                SSL_key_update(connection.tls(), SSL_KEY_UPDATE_REQUESTED);
                if (SSL_do_handshake(connection.tls()) != 1) return;
            }
        });
        attacker.turn(1ms);
    }
}

// Readers that do not read, each in a room of its own with a sender.

struct Pair {
    uint64_t reader = 0;
    uint64_t sender = 0;
    size_t sent = 0;  // messages
};

/// Opens what is missing of the pairs. Only the reader receives uncompressed
/// messages.
void keep_pairs(Attacker& attacker, std::vector<Pair>& pairs) {
    for (size_t i = 0; i < pairs.size(); ++i) {
        const std::string room = numbered("/pair-", i);
        attacker.set_reading(false);
        attacker.keep_one(pairs[i].reader, handshake(room));
        attacker.set_reading(true);
        attacker.keep_one(pairs[i].sender, join(room));
    }
}

void dead_readers(Attacker& attacker) {
    const std::string message = bomb();
    std::vector<Pair> pairs(attacker.strength().connections / 10);
    for (;;) {
        keep_pairs(attacker, pairs);
        for (const Pair& pair : pairs) {
            attacker.send_on(pair.sender, message);
            attacker.wait(5ms);
        }
    }
}

void crumbs(Attacker& attacker) {
    // Less than the default of --max-backlog.
    constexpr size_t kMessages = 3;
    const std::string message = bomb();
    std::vector<Pair> pairs(attacker.strength().connections / 10);
    std::vector<char> byte(1);
    for (;;) {
        keep_pairs(attacker, pairs);
        for (Pair& pair : pairs) {
            if (pair.sent++ < kMessages) attacker.send_on(pair.sender, message);
            if (Connection* reader = attacker.find(pair.reader))
                reader->receive(byte);
            attacker.wait(2ms);
        }
    }
}

// Messages that push others out of the history.

void history(Attacker& attacker) {
    attacker.open(join(kHonestRoom) + bomb(kMiB - 100));
    for (size_t joined = 0; joined < 520; joined += 20) {
        for (int i = 0; i < 20; ++i) attacker.open(join(kHonestRoom));
        attacker.wait(20ms);
    }
    for (;;) attacker.wait(1s);
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
         "5 MiB of messages at once, every second, 5 kB compressed", {}, false,
         false, 10},
        {"bombs", 256, bombs,
         "10 clients send 200 kB/s that inflate to 200 MB/s"},
        {"bombs-many", 256, bombs_many, "the same from 200 clients"},
        {"bombs-in-room", 256, bombs_in_room,
         "bombs in the room of the honest clients", {}, false, false, 10},
        {"half-messages", 192, half_messages,
         "first fragments that inflate to 1 MiB each"},
        {"uploads", 192, uploads, "half bodies of 1 MiB, with a key",
         {"--publish-key={keys}"}},
        {"connects", 64, connects, "connections without a request"},
        {"handshakes", 64, handshakes, "handshakes, then the end"},
        {"tls-hellos", 256, tls_hellos,
         "2,000 TLS client hellos a second, then nothing", {}, true},
        {"joins", 128, joins, "joins and leaves, announced to all",
         {"--announce=address"}},
        {"rooms", 128, rooms,
         "a new room for each connection, with a message"},
        {"pings", 64, pings, "pings of 125 bytes, whose pongs are read"},
        {"pings-unread", 64, pings_unread,
         "pings of 125 bytes, whose pongs are not read"},
        {"key-updates", 64, key_updates,
         "TLS key updates that must be answered", {}, true},
        {"log-lines", 64, log_lines,
         "requests that are refused with a line of the log"},
        {"dead-readers", 256, dead_readers,
         "rooms with a reader that does not read"},
        {"crumbs", 256, crumbs,
         "rooms with a reader that reads one byte now and then"},
        {"history", 128, history,
         "a long message and 520 joins push others out of the history",
         {"--announce=address"}, false, true, 10},
    };
    return attacks;
}

}  // namespace wschat::attack
