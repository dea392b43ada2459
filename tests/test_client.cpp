#include <algorithm>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <sys/socket.h>

#include "client.h"
#include "fixtures/client_frames.h"
#include "fixtures/deflated.h"
#include "fixtures/heap.h"
#include "fixtures/standalone_room.h"

using namespace wschat;
using namespace wschat::test;

using State = Client::State;
using Kind = Event::Kind;

namespace {

const RouterConfig kRules{
    {"localhost", "ws://localhost:9600/websocket.php"}, {"localhost"}, {}};

const std::string kRequest =
    "GET /chat HTTP/1.1\r\n"
    "Host: localhost:9600\r\n"
    "Upgrade: websocket\r\n"
    "Connection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    "Sec-WebSocket-Version: 13\r\n"
    "\r\n";

const std::string kDeflating =
    kRequest.substr(0, kRequest.size() - 2) +
    "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n";

/// A frame as the server sends it.
struct ServerFrame {
    int first = 0;  // FIN and opcode
    std::string payload;
};

uint64_t number(std::string_view bytes) {
    uint64_t value = 0;
    for (char c : bytes) value = value << 8 | static_cast<uint8_t>(c);
    return value;
}

std::string server_frame(int first, std::string_view payload) {
    std::string frame = frame_header(first, payload.size(), "");
    frame[1] = static_cast<char>(frame[1] & 0x7F);
    return frame.append(payload);
}

/// Takes a whole frame off the front of the bytes. REQUIRES: there is one.
ServerFrame take_frame(std::string_view& bytes) {
    REQUIRE(bytes.size() >= 2);
    ServerFrame frame;
    frame.first = static_cast<uint8_t>(bytes[0]);
    size_t length = static_cast<uint8_t>(bytes[1]);
    const size_t extended = length < 126 ? 0 : length == 126 ? 2 : 8;
    if (extended) length = number(bytes.substr(2, extended));
    REQUIRE(bytes.size() >= 2 + extended + length);
    frame.payload = bytes.substr(2 + extended, length);
    bytes.remove_prefix(2 + extended + length);
    return frame;
}

std::vector<ServerFrame> frames_in(std::string_view bytes) {
    std::vector<ServerFrame> frames;
    while (!bytes.empty()) frames.push_back(take_frame(bytes));
    return frames;
}

/// A client, its room, and its peer at the other end of a socket pair.
class Connection {
public:
    explicit Connection(bool local = true, bool raw_json = true)
        : Connection(socket_pair(), local, raw_json) {}

    /// One that is Open and in the room, its handshake done and heard.
    static Connection open() {
        Connection connection;
        connection.shake_hands(kRequest);
        connection.join();
        connection.client.flush();
        connection.hear();
        return connection;
    }

    /// One that is Open and in a room that keeps so many messages and has so
    /// many, named by their numbers, from this one on.
    static Connection open_at(uint64_t first, size_t keep, int messages,
                              const std::string& request = kRequest) {
        Connection connection;
        connection.room = std::make_unique<StandaloneRoom>(keep);
        for (int i = 1; i <= messages; ++i)
            connection.room->publish(std::to_string(i));
        connection.shake_hands(request);
        connection.client.flush();
        connection.hear();
        connection.client.join(connection.room->room, first);
        return connection;
    }

    /// One that is Receiving a body of this size.
    static Connection receiving(uint64_t size, const std::string& bytes = "") {
        Connection connection;
        Admission admission;
        admission.answer = {100, bytes};
        admission.upload.size = size;
        admission.upload.lines = true;
        admission.upload.room = "/x";
        connection.client.answer(admission);
        return connection;
    }

    /// One that sends raw JSON without a handshake.
    static Connection raw() {
        Connection connection;
        connection.shake_hands("{");
        return connection;
    }

    /// The client is told of bytes that came. Returns how many it left.
    size_t shake_hands(std::string bytes) {
        Bytes input{bytes.data(), bytes.size()};
        const auto admission = client.shake_hands(input, kRules);
        if (admission) client.answer(*admission);
        if (admission) answer = admission->answer;
        return input.size;
    }

    /// Beginning with the next message.
    void join() { client.join(room->room, room->room.history().newest() + 1); }

    /// The kinds of what it came upon.
    std::vector<Kind> receive(std::string bytes) {
        Bytes input{bytes.data(), bytes.size()};
        std::vector<Kind> kinds;
        for (;;) {
            const Event event = client.next(input);
            if (event.kind == Kind::NeedMore) return kinds;
            kinds.push_back(event.kind);
        }
    }

    /// What has arrived at the peer, or so many bytes of it.
    std::string hear(size_t most = ~size_t{0}) {
        std::string heard;
        char buffer[4096];
        while (heard.size() < most) {
            const ssize_t n = ::recv(
                peer.get(), buffer,
                std::min(sizeof buffer, most - heard.size()), MSG_DONTWAIT);
            if (n <= 0) {
                at_end = n == 0;
                break;
            }
            heard.append(buffer, static_cast<size_t>(n));
        }
        return heard;
    }

    /// What arrives when the client writes all that it owes.
    std::string hear_all() {
        std::string heard = hear();
        while (client.state() != State::Gone &&
               client.state() != State::Draining) {
            const IoResult result = client.flush();
            heard += hear();
            if (result.state != IoResult::State::Blocked) return heard;
        }
        return heard + hear();
    }

    /// The socket takes a few kilobytes at a time.
    void narrow() {
        const int least = 1;
        setsockopt(client.fd(), SOL_SOCKET, SO_SNDBUF, &least, sizeof least);
    }

    /// What the peer has not read keeps the client from writing more.
    void block() {
        narrow();
        while (client.flush().state == IoResult::State::Done)
            room->publish(std::string(1000, 'x'));
    }

    // The client refers to both, wherever the connection is moved.
    std::unique_ptr<ReaderConfig> rules = std::make_unique<ReaderConfig>();
    std::unique_ptr<StandaloneRoom> room = std::make_unique<StandaloneRoom>();
    Fd peer;
    Client client;
    std::optional<Response> answer;
    bool at_end = false;  // the peer has heard that nothing more comes

private:
    struct Ends {
        Fd server;
        Fd peer;
    };

    static Ends socket_pair() {
        int fds[2];
        REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
        return {Fd(fds[0]), Fd(fds[1])};
    }

    Connection(Ends ends, bool local, bool raw_json)
        : peer(std::move(ends.peer)),
          client({Accepted::State::Peer,
                  std::move(ends.server),
                  {"192.0.2.7", local}},
                 *rules, nullptr) {
        rules->raw_json = raw_json;
    }
};

/// Numbered messages, and the check that they come in order and whole.
class Sequence {
public:
    explicit Sequence(char name) : name_(name) {}

    /// So many at the front are not to be heard.
    void skip(uint64_t n) { heard_ = static_cast<int>(n); }

    std::string next(size_t size) {
        std::string text = name_ + std::to_string(sent_++) + ":";
        return text.append(size, name_);
    }

    bool is_mine(const std::string& payload) const {
        return payload[0] == name_;
    }

    void heard(const std::string& payload) {
        const std::string start = name_ + std::to_string(heard_++) + ":";
        const bool right =
            payload.compare(0, start.size(), start) == 0 &&
            payload.find_first_not_of(name_, start.size()) == payload.npos;
        if (!right) ++wrong_;
    }

    /// Heard all that was sent until then.
    void mark() { marked_ = sent_; }
    bool complete() const { return wrong_ == 0 && heard_ == marked_; }

private:
    char name_;
    int sent_ = 0;
    int heard_ = 0;
    int marked_ = 0;
    int wrong_ = 0;
};

std::string joined(const std::vector<std::string>& parts) {
    std::string whole;
    for (const std::string& part : parts) whole += part;
    return whole;
}

}  // namespace

// The handshake

TEST_CASE("a client shakes hands however its request is cut") {
    for (size_t cut = 1; cut <= kRequest.size(); ++cut) {
        Connection connection;
        CHECK(connection.shake_hands(kRequest.substr(0, cut)) == 0);
        if (cut < kRequest.size()) {
            CHECK_FALSE(connection.answer);
            CHECK((connection.client.state() == State::Handshaking));
            CHECK(connection.client.listens());
            connection.shake_hands(kRequest.substr(cut));
        }
        REQUIRE(connection.answer);
        CHECK(connection.answer->status == 101);
        CHECK((connection.client.state() == State::Open));
        CHECK(connection.hear_all() == connection.answer->bytes);
    }
}

TEST_CASE("frames behind the request are left for the reader") {
    Connection connection;
    const std::string frames = text_frame("{}") + ping_frame("p");
    CHECK(connection.shake_hands(kRequest + frames) == frames.size());
    CHECK((connection.client.state() == State::Open));
    CHECK((connection.receive(frames) ==
           std::vector<Kind>{Kind::Text, Kind::Ping}));
    CHECK(connection.hear_all() ==
          connection.answer->bytes + server_frame(0x8A, "p"));
}

TEST_CASE("a refused client gets its answer and then the end") {
    struct {
        std::string request;
        int status;
    } const requests[] = {
        {"GET /x HTTP/1.1\r\nHost: a\r\n\r\n", 404},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}", 403},
        {"nonsense\r\n\r\n", 400},
        {"GET / HTTP/1.1\nHost: a\n\n", 400},
        {std::string("\0", 1), 400},
        {std::string(9000, 'x'), 431},
    };
    for (const auto& row : requests) {
        CAPTURE(row.status);
        Connection connection;
        connection.shake_hands(row.request);
        REQUIRE(connection.answer);
        CHECK(connection.answer->status == row.status);
        CHECK((connection.client.state() == State::Closing));
        CHECK_FALSE(connection.client.listens());
        CHECK(connection.hear_all() == connection.answer->bytes);
        CHECK(connection.at_end);
        CHECK((connection.client.state() == State::Draining));
    }
}

TEST_CASE("nothing at all decides nothing") {
    Connection connection;
    CHECK(connection.shake_hands("") == 0);
    CHECK_FALSE(connection.answer);
    CHECK((connection.client.state() == State::Handshaking));
    CHECK(connection.client.address() == "192.0.2.7");
}

TEST_CASE("a local peer that begins with a brace sends raw JSON") {
    Connection connection;
    CHECK(connection.shake_hands("{}") == 2);
    CHECK_FALSE(connection.answer);
    CHECK((connection.client.state() == State::Raw));
    CHECK(connection.client.listens());
    CHECK_FALSE(connection.client.in_room());
    CHECK((connection.receive("{}\n{}\n") ==
           std::vector<Kind>{Kind::Raw, Kind::Raw}));
}

TEST_CASE("nobody else sends raw JSON without a handshake") {
    const auto begins_raw = [](bool local, bool raw_json,
                               const std::string& start) {
        Connection connection(local, raw_json);
        for (char c : start)
            if (connection.client.state() == State::Handshaking)
                connection.shake_hands(std::string(1, c));
        return connection.client.state() == State::Raw;
    };
    CHECK(begins_raw(true, true, "{"));
    CHECK_FALSE(begins_raw(false, true, "{"));
    CHECK_FALSE(begins_raw(true, false, "{"));
    CHECK_FALSE(begins_raw(true, true, "G{"));
    CHECK_FALSE(begins_raw(true, true, " {"));
    CHECK_FALSE(begins_raw(true, true, "GET / HTTP/1.1\r\n{"));
}

// What it is owed

TEST_CASE("a client in a room gets its answer, then what is published") {
    Connection connection;
    connection.room->publish("before");
    connection.shake_hands(kRequest);
    connection.join();
    connection.room->publish("one");
    connection.room->ping();
    connection.room->publish("two");
    CHECK(connection.client.in_room());
    CHECK(connection.hear_all() ==
          connection.answer->bytes + server_frame(0x81, "one") +
              server_frame(0x89, "") + server_frame(0x81, "two"));
}

TEST_CASE("a flush tells what it did") {
    Connection connection = Connection::open();
    IoResult result = connection.client.flush();
    CHECK((result.state == IoResult::State::Done));
    CHECK(result.size == 0);
    connection.room->publish("one");
    connection.client.tell("two");
    result = connection.client.flush();
    CHECK((result.state == IoResult::State::Done));
    CHECK(result.size == 10);

    connection.block();
    result = connection.client.flush();
    CHECK((result.state == IoResult::State::Blocked));
    CHECK(result.size == 0);
    connection.hear(5000);
    CHECK(connection.client.flush().size > 0);
}

TEST_CASE("writing to a peer that is gone fails, and no more than that") {
    Connection connection = Connection::open();
    connection.room->publish("one");
    connection.peer = Fd();
    const IoResult result = connection.client.flush();
    CHECK((result.state == IoResult::State::Failed));
    CHECK(result.error != "");
}

TEST_CASE("a client reads what its peer sends until the end") {
    Connection connection = Connection::open();
    char buffer[64];
    CHECK((connection.client.read(buffer, sizeof buffer).state ==
           IoResult::State::Blocked));
    REQUIRE(::send(connection.peer.get(), "Hello", 5, 0) == 5);
    IoResult result = connection.client.read(buffer, 3);
    CHECK((result.state == IoResult::State::Done));
    CHECK(std::string(buffer, result.size) == "Hel");
    result = connection.client.read(buffer, sizeof buffer);
    CHECK(std::string(buffer, result.size) == "lo");
    ::shutdown(connection.peer.get(), SHUT_WR);
    CHECK((connection.client.read(buffer, sizeof buffer).state ==
           IoResult::State::Eof));
}

TEST_CASE("a message to one client alone is a frame, or a line") {
    Connection open = Connection::open();
    open.client.tell("{\"a\":1}");
    CHECK(open.hear_all() == server_frame(0x81, "{\"a\":1}"));
    Connection raw = Connection::raw();
    raw.client.tell("{\"a\":1}");
    CHECK(raw.hear_all() == "{\"a\":1}\n");
}

TEST_CASE("what is told to a WebSocket is framed, even while it closes") {
    Connection connection = Connection::open();
    connection.client.close(server_frame(0x88, "\x03\xE9"));
    connection.client.tell("{}");
    CHECK(connection.hear_all() ==
          server_frame(0x81, "{}") + server_frame(0x88, "\x03\xE9"));
}

TEST_CASE("what is told to a raw peer is a line, even while it closes") {
    Connection connection = Connection::raw();
    connection.receive("{} x");
    CHECK((connection.client.state() == State::Closing));
    connection.client.tell("{}");
    CHECK(connection.hear_all() == "{}\n");
    CHECK(connection.at_end);
}

TEST_CASE("pings are answered in their order, with what was in them") {
    Connection connection = Connection::open();
    const std::string longest(125, '\xFF');
    CHECK((connection.receive(ping_frame("1") + ping_frame() +
                              pong_frame("unasked") + ping_frame(longest)) ==
           std::vector<Kind>{Kind::Ping, Kind::Ping, Kind::Pong, Kind::Ping}));
    CHECK(connection.client.own_size() == 3 + 2 + 127);
    CHECK(connection.hear_all() == server_frame(0x8A, "1") +
                                       server_frame(0x8A, "") +
                                       server_frame(0x8A, longest));
    CHECK(connection.client.own_size() == 0);
}

TEST_CASE("a pong waits for the frame of the run that is on its way") {
    Connection connection = Connection::open();
    connection.narrow();
    const std::string large(100'000, 'x');
    connection.room->publish(large);
    connection.client.flush();
    connection.receive(ping_frame("now"));
    connection.room->publish("after");
    CHECK((connection.hear_all() == server_frame(0x81, large) +
                                        server_frame(0x8A, "now") +
                                        server_frame(0x81, "after")));
}

TEST_CASE(
    "own bytes that are on their way go first, then the run's turn comes") {
    Connection connection = Connection::open();
    connection.narrow();
    const std::string large(100'000, 'x');
    connection.client.tell(large);
    connection.client.flush();
    connection.room->publish("one");
    connection.receive(ping_frame("two"));
    CHECK((connection.hear_all() == server_frame(0x81, large) +
                                        server_frame(0x81, "one") +
                                        server_frame(0x8A, "two")));
}

TEST_CASE("no frame gets into another, whatever the socket takes") {
    for (unsigned seed = 1; seed <= 10; ++seed) {
        CAPTURE(seed);
        std::mt19937 random(seed);
        Connection connection = Connection::open();
        connection.narrow();
        Sequence run('r');
        Sequence own('o');
        std::string heard;
        for (int step = 0; step < 3000; ++step) {
            const auto dice = random() % 10;
            const bool large = random() % 20 == 0;
            if (dice < 2)
                connection.room->publish(
                    run.next(random() % (large ? 20'000 : 300)));
            else if (dice == 2)
                connection.receive(ping_frame(own.next(random() % 100)));
            else if (dice == 3)
                connection.client.tell(
                    own.next(random() % (large ? 9000 : 200)));
            else if (dice < 7)
                connection.client.flush();
            else
                heard += connection.hear(random() % 3000);
        }
        run.mark();
        own.mark();
        connection.client.close(server_frame(0x88, "\x03\xE9"));
        connection.room->publish("r: not for one who is closing");
        heard += connection.hear_all();

        std::vector<ServerFrame> frames = frames_in(heard);
        CHECK(frames.back().first == 0x88);
        frames.pop_back();
        for (const ServerFrame& frame : frames)
            (run.is_mine(frame.payload) ? run : own).heard(frame.payload);
        CHECK(run.complete());
        CHECK(own.complete());
        CHECK(connection.at_end);
    }
}

TEST_CASE("the backlog is what is old and was not sent") {
    Connection connection = Connection::open();
    Client& client = connection.client;
    StandaloneRoom& room = *connection.room;
    CHECK(client.backlog() == 0);
    room.publish("12345678");
    CHECK(client.backlog() == 0);
    room.mark();
    CHECK(client.backlog() == 10);
    client.tell("not counted");
    CHECK(client.backlog() == 10);
    connection.hear_all();
    CHECK(client.backlog() == 0);
    CHECK(Connection::raw().client.backlog() == 0);

    room.publish("12345678");
    room.mark();
    CHECK(client.backlog() == 10);
    client.close("");
    CHECK(client.backlog() == 0);
}

TEST_CASE("a peer that pings and reads too little costs what it is owed") {
    Connection connection = Connection::open();
    connection.narrow();
    const std::string ping = ping_frame(std::string(123, 'p'));
    const std::string pong = server_frame(0x8A, std::string(123, 'p'));
    // It is always behind by some 30 KB.
    for (int i = 0; i < 240; ++i) connection.receive(ping);
    std::string heard;
    heard.reserve(4000 * pong.size());
    const size_t before = heap_in_use();
    size_t most = before;
    for (int i = 0; i < 3000; ++i) {
        connection.receive(ping);
        connection.client.flush();
        heard += connection.hear(pong.size());
        most = std::max(most, heap_in_use());
    }
    CHECK(connection.client.own_size() < 64 << 10);
    CHECK(most - before < 128 << 10);
    heard += connection.hear_all();
    int wrong = 0;
    for (const ServerFrame& frame : frames_in(heard))
        if (server_frame(frame.first, frame.payload) != pong) ++wrong;
    CHECK(wrong == 0);
    CHECK(heard.size() == 3240 * pong.size());
}

TEST_CASE("a client that is owed nothing holds no buffers") {
    Connection connection = Connection::open();
    const size_t before = heap_in_use();
    connection.client.tell(std::string(10'000, 'x'));
    connection.receive(ping_frame(std::string(125, 'p')) +
                       binary_frame(std::string(5000, 'b')));
    connection.room->publish("x");
    connection.hear_all();
    const size_t after = heap_in_use();
    CHECK(after == before);
}

TEST_CASE("a client that closes keeps nothing of what it was sent") {
    for (std::string input :
         {first_fragment(std::string(9000, 'x')) + next_fragment("\xFF"),
          first_fragment(std::string(9000, 'x')) + close_frame(1000),
          "{" + std::string(2 << 20, ' ')}) {
        Connection connection = Connection::open();
        connection.block();
        const size_t before = heap_in_use();
        connection.receive(input);
        const size_t after = heap_in_use();
        CHECK((connection.client.state() == State::Closing));
        CHECK_FALSE(connection.client.reader().inside_raw());
        // But for its last words.
        CHECK(after - before < 200);
    }
}

// A room's history

TEST_CASE("a client gets the kept messages from where it begins") {
    for (uint64_t first = 1; first <= 6; ++first) {
        CAPTURE(first);
        Connection connection = Connection::open_at(first, 10, 5);
        connection.room->publish("6");
        std::vector<std::string> expected;
        for (uint64_t i = first; i <= 6; ++i)
            expected.push_back(server_frame(0x81, std::to_string(i)));
        CHECK(connection.hear_all() == joined(expected));
        CHECK(connection.room->room.history().size() == 6);
    }
}

TEST_CASE("kept messages come in order over as many chunks as they take") {
    StandaloneRoom lobby(1000);
    std::vector<std::string> expected;
    for (int i = 0; i < 600; ++i) {
        const std::string text = std::to_string(i) + std::string(1000, 'x');
        lobby.publish(text);
        expected.push_back(server_frame(0x81, text));
    }
    REQUIRE(lobby.room.history().bytes() > 8 * Broadcast::kMaxChunk);
    for (uint64_t first : {1u, 2u, 65u, 66u, 300u, 599u, 600u}) {
        CAPTURE(first);
        Connection late;
        late.shake_hands(kRequest);
        late.narrow();
        late.client.join(lobby.room, first);
        const auto begin =
            expected.begin() + static_cast<std::ptrdiff_t>(first - 1);
        CHECK((late.hear_all() ==
               late.answer->bytes + joined({begin, expected.end()})));
        late.client.drop();
        CHECK(lobby.room.log(false).cursors() == 1);
    }
}

TEST_CASE("what a client has still to get stays when the history forgets it") {
    Connection connection = Connection::open_at(1, 3, 3);
    for (int i = 4; i <= 9; ++i) connection.room->publish(std::to_string(i));
    CHECK(connection.room->room.history().oldest() == 7);
    std::string heard;
    for (const ServerFrame& frame : frames_in(connection.hear_all()))
        heard += frame.payload;
    CHECK(heard == "123456789");
}

TEST_CASE("the answer to a handshake and a hello come before the history") {
    Connection connection;
    connection.room = std::make_unique<StandaloneRoom>(10);
    connection.room->publish("kept");
    connection.shake_hands(kRequest);
    connection.client.tell("hello");
    connection.client.join(connection.room->room, 1);
    connection.room->publish("new");
    CHECK(connection.hear_all() ==
          connection.answer->bytes + server_frame(0x81, "hello") +
              server_frame(0x81, "kept") + server_frame(0x81, "new"));
}

TEST_CASE("what was there when a client joined is no backlog") {
    for (const std::string& request : {kRequest, kDeflating}) {
        Connection connection;
        connection.room = std::make_unique<StandaloneRoom>(1000);
        for (int i = 0; i < 500; ++i)
            connection.room->publish(std::string(1000, 'x'));
        connection.room->mark();
        connection.shake_hands(request);
        connection.client.flush();
        connection.hear();
        connection.narrow();
        connection.client.join(connection.room->room, 1);
        CHECK(connection.client.backlog() == 0);
        connection.client.flush();
        CHECK(connection.client.blocked());
        connection.room->mark();
        CHECK(connection.client.backlog() == 0);
        connection.room->publish("12345678");
        CHECK(connection.client.backlog() == 0);
        connection.room->mark();
        CHECK(connection.client.backlog() == 10);
        connection.hear_all();
        CHECK(connection.client.backlog() == 0);
    }
}

TEST_CASE("a client that deflates begins where everyone is, unless told else") {
    const std::string text(1000, 'a');
    Connection connection = Connection::open_at(3, 10, 2, kDeflating);
    connection.room->publish(text);
    const std::vector<ServerFrame> frames = frames_in(connection.hear_all());
    REQUIRE(frames.size() == 1);
    CHECK(frames[0].first == 0xC1);
    CHECK(inflated(frames[0].payload) == text);
}

TEST_CASE("a client that deflates moves over when it was sent what was kept") {
    const std::string text(1000, 'a');
    Connection connection = Connection::open_at(2, 10, 2, kDeflating);
    Broadcast& plain = connection.room->room.log(false);
    Broadcast& deflated = connection.room->room.log(true);
    CHECK(plain.cursors() == 2);
    CHECK(deflated.cursors() == 0);
    connection.room->publish(text);
    CHECK((connection.hear_all() ==
           server_frame(0x81, "2") + server_frame(0x81, text)));
    CHECK(plain.cursors() == 1);
    CHECK(deflated.cursors() == 1);
    connection.room->publish(text);
    connection.room->publish("short");
    const std::vector<ServerFrame> frames = frames_in(connection.hear_all());
    REQUIRE(frames.size() == 2);
    CHECK(frames[0].first == 0xC1);
    CHECK(inflated(frames[0].payload) == text);
    CHECK(frames[1].first == 0x81);
    CHECK(frames[1].payload == "short");
    connection.client.drop();
    CHECK(deflated.cursors() == 0);
    CHECK(plain.cursors() == 1);
}

TEST_CASE("who closes before it has moved over gets what was before") {
    Connection connection = Connection::open_at(1, 10, 3, kDeflating);
    connection.client.close(server_frame(0x88, "\x03\xE9"));
    connection.room->publish("after");
    CHECK(connection.hear_all() ==
          server_frame(0x81, "1") + server_frame(0x81, "2") +
              server_frame(0x81, "3") + server_frame(0x88, "\x03\xE9"));
    CHECK(connection.room->room.log(true).cursors() == 0);
    CHECK(connection.room->room.log(false).cursors() == 1);
}

TEST_CASE("no message is lost or doubled by moving over to the deflated run") {
    int moved = 0;
    for (unsigned seed = 1; seed <= 30; ++seed) {
        CAPTURE(seed);
        std::mt19937 random(seed);
        Connection connection;
        connection.room = std::make_unique<StandaloneRoom>(random() % 60 + 1);
        StandaloneRoom& lobby = *connection.room;
        Sequence run('r');
        Sequence own('o');
        const auto publish = [&] {
            const bool large = random() % 20 == 0;
            lobby.publish(run.next(random() % (large ? 20'000 : 400)));
        };
        connection.shake_hands(kDeflating);
        connection.client.flush();
        connection.hear();
        connection.narrow();
        for (auto i = random() % 100; i > 0; --i) publish();
        const History& history = lobby.room.history();
        const uint64_t first =
            history.oldest() + random() % (history.size() + 1);
        run.skip(first - 1);
        connection.client.join(lobby.room, first);

        std::string heard;
        for (int step = 0; step < 2000; ++step) {
            const auto dice = random() % 20;
            if (dice < 2)
                publish();
            else if (dice == 2)
                connection.receive(ping_frame(own.next(random() % 100)));
            else if (dice == 3)
                lobby.ping();
            else if (dice < 10)
                connection.client.flush();
            else
                heard += connection.hear(random() % 3000);
        }
        run.mark();
        own.mark();
        connection.client.close(server_frame(0x88, "\x03\xE9"));
        heard += connection.hear_all();

        std::vector<ServerFrame> frames = frames_in(heard);
        CHECK(frames.back().first == 0x88);
        frames.pop_back();
        bool is_deflated = false;
        for (const ServerFrame& frame : frames) {
            const std::string text =
                frame.first == 0xC1 ? inflated(frame.payload) : frame.payload;
            if (frame.first == 0xC1) is_deflated = true;
            if (frame.first == 0x89) continue;
            (run.is_mine(text) ? run : own).heard(text);
        }
        if (is_deflated) ++moved;
        CHECK(run.complete());
        CHECK(own.complete());
        CHECK(lobby.room.log(true).cursors() == 0);
    }
    CHECK(moved > 20);
}

// A request with a body

TEST_CASE("a client receives a body in one piece or byte by byte") {
    const std::string body = "{\"a\":1}\n[2]";
    for (size_t size = 1; size <= body.size(); ++size) {
        CAPTURE(size);
        Connection connection = Connection::receiving(body.size());
        CHECK((connection.client.state() == State::Receiving));
        CHECK(connection.client.listens());
        std::optional<Upload> upload;
        for (size_t taken = 0; taken < body.size(); taken += size) {
            CHECK_FALSE(upload);
            std::string piece = body.substr(taken, size);
            Bytes input{piece.data(), piece.size()};
            upload = connection.client.receive(input);
            CHECK(input.size == 0);
        }
        REQUIRE(upload);
        CHECK(upload->body == body);
        CHECK(upload->lines);
        CHECK(upload->room == "/x");
    }
}

TEST_CASE("what follows a body is left") {
    Connection connection = Connection::receiving(2);
    std::string bytes = "{}GET / HTTP/1.1\r\n";
    Bytes input{bytes.data(), bytes.size()};
    const auto upload = connection.client.receive(input);
    REQUIRE(upload);
    CHECK(upload->body == "{}");
    CHECK(input.view() == "GET / HTTP/1.1\r\n");
}

TEST_CASE("a body of no bytes is whole at once") {
    Connection connection = Connection::receiving(0);
    Bytes nothing;
    const auto upload = connection.client.receive(nothing);
    REQUIRE(upload);
    CHECK(upload->body == "");
}

TEST_CASE("a body is believed when it is there, not when it is announced") {
    const size_t before = heap_in_use();
    Connection connection = Connection::receiving(uint64_t{1} << 40);
    std::string piece(1000, 'x');
    Bytes input{piece.data(), piece.size()};
    CHECK_FALSE(connection.client.receive(input));
    CHECK(heap_in_use() - before < 20'000);
    connection.client.close("");
    CHECK(heap_in_use() - before < 18'000);
}

TEST_CASE("a client that waits for it is told to send its body") {
    const std::string go_on = "HTTP/1.1 100 Continue\r\n\r\n";
    Connection connection = Connection::receiving(2, go_on);
    CHECK(connection.hear_all() == go_on);
    CHECK_FALSE(connection.at_end);
    CHECK((connection.client.state() == State::Receiving));
    std::string body = "{}";
    Bytes input{body.data(), body.size()};
    REQUIRE(connection.client.receive(input));
    connection.client.close("HTTP/1.1 200 OK\r\n\r\n");
    CHECK(connection.hear_all() == "HTTP/1.1 200 OK\r\n\r\n");
    CHECK(connection.at_end);
    CHECK((connection.client.state() == State::Draining));
}

TEST_CASE("an input that ends in a body ends the client") {
    Connection connection = Connection::receiving(2);
    std::string half = "{";
    Bytes input{half.data(), half.size()};
    CHECK_FALSE(connection.client.receive(input));
    CHECK(connection.client.backlog() == 0);
    connection.client.end_of_input();
    CHECK((connection.client.state() == State::Gone));
}

// Closing

TEST_CASE("a client that closes gets what was published before, then the end") {
    Connection connection = Connection::open();
    connection.room->publish("before");
    connection.client.tell("own");
    connection.client.close(server_frame(0x88, "\x03\xE9"));
    connection.room->publish("after");
    CHECK((connection.client.state() == State::Closing));
    CHECK(connection.client.in_room());
    const std::string heard = connection.hear_all();
    const std::string before = server_frame(0x81, "before");
    const std::string own = server_frame(0x81, "own");
    const std::string last = server_frame(0x88, "\x03\xE9");
    const bool all =
        heard == before + own + last || heard == own + before + last;
    CHECK(all);
    CHECK(connection.at_end);
    CHECK((connection.client.state() == State::Draining));
    CHECK_FALSE(connection.client.in_room());
    CHECK(connection.room->cursors() == 0);
}

TEST_CASE("a client that is far behind gets all of it before its last words") {
    Connection connection = Connection::open();
    connection.narrow();
    std::vector<std::string> expected;
    for (int i = 0; i < 1000; ++i) {
        const std::string text = std::to_string(i) + std::string(700, 'x');
        connection.room->publish(text);
        expected.push_back(server_frame(0x81, text));
    }
    connection.client.flush();
    connection.client.close(server_frame(0x88, "\x03\xE9"));
    connection.room->publish("after");
    expected.push_back(server_frame(0x88, "\x03\xE9"));
    CHECK((connection.hear_all() == joined(expected)));
    CHECK(connection.at_end);
}

TEST_CASE("a close frame is echoed") {
    Connection connection = Connection::open();
    CHECK((connection.receive(close_frame(3000, "bye") + text_frame("{}")) ==
           std::vector<Kind>{Kind::Close}));
    CHECK((connection.client.state() == State::Closing));
    CHECK_FALSE(connection.client.listens());
    CHECK(connection.hear_all() ==
          server_frame(0x88, big_endian(3000, 2) + "bye"));
    CHECK(connection.at_end);
}

TEST_CASE("an empty close frame is echoed as one") {
    Connection connection = Connection::open();
    connection.receive(frame(0x88, ""));
    CHECK(connection.hear_all() == server_frame(0x88, ""));
}

TEST_CASE("a broken rule is answered with its close code") {
    struct {
        std::string input;
        uint64_t code;
    } const inputs[] = {
        {next_fragment("x"), 1002},
        {close_frame(1005), 1002},
        {text_frame("\xFF"), 1007},
        {frame_header(0x82, 1 << 21), 1009},
    };
    for (const auto& row : inputs) {
        CAPTURE(row.code);
        Connection connection = Connection::open();
        connection.receive(ping_frame("1"));
        CHECK((connection.receive(row.input + text_frame("{}")) ==
               std::vector<Kind>{Kind::Error}));
        CHECK((connection.client.state() == State::Closing));
        const std::vector<ServerFrame> frames =
            frames_in(connection.hear_all());
        REQUIRE(frames.size() == 2);
        CHECK(frames[0].payload == "1");
        CHECK(frames[1].first == 0x88);
        CHECK(number(frames[1].payload.substr(0, 2)) == row.code);
        CHECK(frames[1].payload.size() > 2);
        CHECK(connection.at_end);
    }
}

TEST_CASE("a raw peer that breaks a rule is closed without a frame") {
    Connection connection = Connection::raw();
    CHECK((connection.receive("{} x") ==
           std::vector<Kind>{Kind::Raw, Kind::Error}));
    CHECK(connection.hear_all() == "");
    CHECK(connection.at_end);
    CHECK((connection.client.state() == State::Draining));
}

TEST_CASE("an open client whose input ends gets what it is owed, and goes") {
    Connection connection = Connection::open();
    connection.receive(ping_frame("p"));
    connection.room->publish("before");
    connection.client.end_of_input();
    CHECK((connection.client.state() == State::Closing));
    connection.room->publish("after");
    const std::string heard = connection.hear_all();
    CHECK(heard.size() == 3 + 8);
    CHECK(heard.find("before") != std::string::npos);
    CHECK(connection.at_end);
    CHECK((connection.client.state() == State::Gone));
}

TEST_CASE("a raw peer whose input ends gets what it was told, and goes") {
    Connection connection = Connection::raw();
    connection.receive("{");
    CHECK(connection.client.reader().inside_raw());
    connection.client.tell("{}");
    connection.client.end_of_input();
    CHECK(connection.hear_all() == "{}\n");
    CHECK(connection.at_end);
    CHECK((connection.client.state() == State::Gone));
}

TEST_CASE("a client that closes may end its input before it has heard all") {
    Connection connection = Connection::open();
    connection.receive(close_frame(1000));
    connection.client.end_of_input();
    CHECK((connection.client.state() == State::Closing));
    CHECK(connection.hear_all() == server_frame(0x88, big_endian(1000, 2)));
    CHECK((connection.client.state() == State::Gone));
}

TEST_CASE("a client that was told all is gone when its input ends") {
    Connection connection = Connection::open();
    connection.receive(close_frame(1000));
    connection.hear_all();
    CHECK((connection.client.state() == State::Draining));
    connection.client.end_of_input();
    CHECK((connection.client.state() == State::Gone));
}

TEST_CASE("an input that ends in the handshake ends the client") {
    Connection connection;
    connection.shake_hands("GET / HTTP/1.1\r\n");
    connection.client.end_of_input();
    CHECK((connection.client.state() == State::Gone));

    Connection refused;
    refused.shake_hands("GET / HTTP/1.1\r\n\r\n");
    refused.client.end_of_input();
    CHECK(refused.hear_all() == refused.answer->bytes);
    CHECK((refused.client.state() == State::Gone));
}

TEST_CASE("an input that ends twice has ended the connection") {
    Connection connection = Connection::open();
    connection.block();
    connection.client.end_of_input();
    CHECK((connection.client.state() == State::Closing));
    connection.client.end_of_input();
    CHECK((connection.client.state() == State::Gone));
    CHECK(connection.room->cursors() == 0);
}

TEST_CASE("a client that is dropped leaves its room at once") {
    Connection connection = Connection::open();
    connection.block();
    CHECK(connection.room->cursors() > 0);
    connection.client.drop();
    CHECK((connection.client.state() == State::Gone));
    CHECK_FALSE(connection.client.in_room());
    CHECK_FALSE(connection.client.listens());
    CHECK(connection.room->cursors() == 0);
    connection.client.drop();
    CHECK((connection.client.state() == State::Gone));
}

TEST_CASE("a client that was never in a room can be dropped") {
    Connection connection;
    connection.client.drop();
    CHECK((connection.client.state() == State::Gone));
}
