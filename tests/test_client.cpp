#include <algorithm>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <poll.h>
#include <sys/socket.h>

#include "client.h"
#include "fixtures/client_frames.h"
#include "fixtures/deflated.h"
#include "fixtures/heap.h"
#include "fixtures/route_fields.h"
#include "fixtures/server_frames.h"
#include "fixtures/standalone_room.h"

using namespace wschat;
using namespace wschat::test;

using State = Client::State;

namespace {

/// The kinds of ClientInput.
enum class Kind { Message, Binary, Control, Close, Error, Other };

Kind kind_of(const ClientInput& input) {
    if (const auto* message = std::get_if<input::Message>(&input))
        return message->is_binary ? Kind::Binary : Kind::Message;
    if (std::get_if<input::ControlFrame>(&input)) return Kind::Control;
    if (std::get_if<input::PeerClosed>(&input)) return Kind::Close;
    if (std::get_if<input::ProtocolError>(&input)) return Kind::Error;
    return Kind::Other;
}

const RouterConfig kConfig{
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

/// A client, its room, and its peer on the other end of a socket pair.
class Connection {
public:
    explicit Connection(const std::string& address = "127.0.0.1",
                        bool raw_json = true)
        : Connection(socket_pair(), address, raw_json) {}

    /// Returns a client that is Open and in the room; its response was read.
    static Connection open() {
        Connection connection;
        connection.feed_request(kRequest);
        connection.join();
        connection.flush();
        connection.read_at_peer();
        return connection;
    }

    /// Returns a client that is Open and begins with message `first` of a room
    /// that retains `retained` messages. The texts of the room's `messages` are
    /// their numbers.
    static Connection open_at(uint64_t first, size_t retained, int messages,
                              const std::string& request = kRequest) {
        Connection connection;
        connection.room = std::make_unique<StandaloneRoom>(retained);
        for (int i = 1; i <= messages; ++i)
            connection.room->append(std::to_string(i));
        connection.feed_request(request);
        connection.flush();
        connection.read_at_peer();
        connection.join(first);
        return connection;
    }

    /// Returns a client in state ReadingBody, whose body has this size.
    static Connection receiving(uint64_t size, const std::string& bytes = "") {
        Connection connection;
        ExpectBody expected;
        expected.request.size = size;
        expected.request.is_lines = true;
        expected.request.room = "/x";
        expected.interim_response = bytes;
        connection.client.expect_body(std::move(expected));
        return connection;
    }

    /// Returns a client that sends raw JSON without a handshake.
    static Connection raw() {
        Connection connection;
        connection.feed_request("{");
        return connection;
    }

    /// Feeds bytes of a request to the client, and does what the router
    /// decides. Returns how many bytes the client left.
    size_t feed_request(std::string bytes) {
        Bytes input{bytes.data(), bytes.size()};
        const ClientInput next = client.next(input);
        if (const auto* head = std::get_if<input::RequestHead>(&next)) {
            const RouteFields to =
                route_fields(*head->head, head->peer, kConfig);
            response = to.response;
            deflates = to.upgrade.agreement.compression.server_may_deflate;
            if (to.response.status == 101)
                client.upgrade(to.upgrade, "");
            else
                client.close(to.response.bytes);
        }
        return input.size;
    }

    /// Joins the room; the first message is the next one, or `first`.
    void join() { join(room->room.history().newest() + 1); }
    void join(uint64_t first) { join(*room, first); }
    void join(StandaloneRoom& other, uint64_t first) {
        client.outbox().cursor().start(other.room, first, deflates);
    }

    /// Feeds bytes to the client. Returns the kinds of its inputs.
    std::vector<Kind> feed(std::string bytes) {
        Bytes input{bytes.data(), bytes.size()};
        std::vector<Kind> kinds;
        for (;;) {
            const ClientInput next = client.next(input);
            if (std::get_if<input::NeedMore>(&next)) return kinds;
            kinds.push_back(kind_of(next));
        }
    }

    /// Feeds bytes of a body to the client. Returns the request when it is
    /// complete, and sets `left` to the bytes that the client left.
    std::optional<PublishRequest> feed_body(std::string bytes) {
        Bytes input{bytes.data(), bytes.size()};
        const ClientInput next = client.next(input);
        left = input.view();
        const auto* body = std::get_if<input::RequestBody>(&next);
        if (!body) return std::nullopt;
        return body->request;
    }

    /// Flushes the client as the daemon does.
    IoResult flush(size_t most = 256 << 10) {
        SendBatch batch(false);
        std::vector<Client::Flush> flushes{client.begin_flush(most)};
        complete_flushes(batch, flushes);
        return flushes[0].result;
    }

    /// Returns the bytes that have arrived at the peer, at most `most`.
    std::string read_at_peer(size_t most = ~size_t{0}) {
        std::string received;
        char buffer[4096];
        while (received.size() < most) {
            const ssize_t n = ::recv(
                peer.get(), buffer,
                std::min(sizeof buffer, most - received.size()), MSG_DONTWAIT);
            if (n <= 0) {
                at_end = n == 0;
                break;
            }
            received.append(buffer, static_cast<size_t>(n));
        }
        return received;
    }

    /// Flushes until the client has no unsent bytes. Returns what the peer got.
    std::string flush_and_read() {
        std::string received = read_at_peer();
        while (client.state() != State::Gone &&
               client.state() != State::Draining) {
            const IoResult result = flush();
            received += read_at_peer();
            if (result.state != IoResult::State::Blocked) return received;
        }
        return received + read_at_peer();
    }

    /// Makes the socket accept only a few kilobytes at a time.
    void shrink_send_buffer() {
        const int least = 1;
        setsockopt(client.fd(), SOL_SOCKET, SO_SNDBUF, &least, sizeof least);
    }

    /// Appends messages, which the peer does not read, until a flush is
    /// blocked.
    void fill_send_buffer() {
        shrink_send_buffer();
        while (flush().state == IoResult::State::Done)
            room->append(std::string(1000, 'x'));
    }

    // The client has pointers to these, which must stay valid after a move.
    std::unique_ptr<ReaderConfig> config = std::make_unique<ReaderConfig>();
    std::unique_ptr<StandaloneRoom> room = std::make_unique<StandaloneRoom>();
    Fd peer;

private:
    std::unique_ptr<Client> owned_;

public:
    Client& client;
    std::optional<Response> response;
    bool deflates = false;  // the client receives deflated messages
    std::string left;
    bool at_end = false;  // the peer has received EOF

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

    Connection(Ends ends, const std::string& address, bool raw_json)
        : peer(std::move(ends.peer)),
          owned_(std::make_unique<Client>(
              Accepted{Accepted::State::Peer, std::move(ends.server),
                       test::address(address)},
              *config, nullptr)),
          client(*owned_) {
        config->raw_json = raw_json;
    }
};

/// Makes numbered messages, and checks that they arrive in order and unchanged.
class Sequence {
public:
    explicit Sequence(char name) : name_(name) {}

    /// The first n messages will not arrive.
    void skip(uint64_t n) { received_ = static_cast<int>(n); }

    std::string next(size_t size) {
        std::string text = name_ + std::to_string(made_++) + ":";
        return text.append(size, name_);
    }

    bool matches_name(const std::string& payload) const {
        return payload[0] == name_;
    }

    void check(const std::string& payload) {
        const std::string start = name_ + std::to_string(received_++) + ":";
        const bool is_next =
            payload.compare(0, start.size(), start) == 0 &&
            payload.find_first_not_of(name_, start.size()) == payload.npos;
        if (!is_next) ++wrong_;
    }

    /// Exactly the messages made until now must arrive.
    void expect_all_made() { expected_ = made_; }
    bool complete() const { return wrong_ == 0 && received_ == expected_; }

private:
    char name_;
    int made_ = 0;
    int received_ = 0;
    int expected_ = 0;
    int wrong_ = 0;
};

std::string joined(const std::vector<std::string>& parts) {
    std::string whole;
    for (const std::string& part : parts) whole += part;
    return whole;
}

}  // namespace

// The handshake

TEST_CASE("a handshake is accepted however the request is cut") {
    for (size_t cut = 1; cut <= kRequest.size(); ++cut) {
        Connection connection;
        CHECK(connection.feed_request(kRequest.substr(0, cut)) == 0);
        if (cut < kRequest.size()) {
            CHECK_FALSE(connection.response);
            CHECK((connection.client.state() == State::ReadingHead));
            CHECK(connection.client.accepts_input());
            connection.feed_request(kRequest.substr(cut));
        }
        REQUIRE(connection.response);
        CHECK(connection.response->status == 101);
        CHECK((connection.client.state() == State::Open));
        CHECK(connection.flush_and_read() == connection.response->bytes);
    }
}

TEST_CASE("frames behind the request are left in the input") {
    Connection connection;
    const std::string frames = text_frame("{}") + ping_frame("p");
    CHECK(connection.feed_request(kRequest + frames) == frames.size());
    CHECK((connection.client.state() == State::Open));
    CHECK((connection.feed(frames) ==
           std::vector<Kind>{Kind::Message, Kind::Control}));
    CHECK(connection.flush_and_read() ==
          connection.response->bytes + server_frame(0x8A, "p"));
}

TEST_CASE("a refused client gets its response and then EOF") {
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
        connection.feed_request(row.request);
        REQUIRE(connection.response);
        CHECK(connection.response->status == row.status);
        CHECK((connection.client.state() == State::Closing));
        CHECK_FALSE(connection.client.accepts_input());
        CHECK(connection.flush_and_read() == connection.response->bytes);
        CHECK(connection.at_end);
        CHECK((connection.client.state() == State::Draining));
    }
}

TEST_CASE("an empty input changes nothing") {
    Connection connection;
    CHECK(connection.feed_request("") == 0);
    CHECK_FALSE(connection.response);
    CHECK((connection.client.state() == State::ReadingHead));
    CHECK(connection.client.member().address.to_string() == "127.0.0.1");
}

TEST_CASE("a local peer that begins with a brace sends raw JSON") {
    Connection connection;
    CHECK(connection.feed_request("{}") == 2);
    CHECK_FALSE(connection.response);
    CHECK((connection.client.state() == State::Raw));
    CHECK(connection.client.accepts_input());
    CHECK_FALSE(connection.client.outbox().cursor().is_started());
    CHECK((connection.feed("{}\n{}\n") ==
           std::vector<Kind>{Kind::Message, Kind::Message}));
}

TEST_CASE("a remote peer, or another first byte, is never raw JSON") {
    const auto begins_raw = [](const std::string& address, bool raw_json,
                               const std::string& start) {
        Connection connection(address, raw_json);
        for (char c : start)
            if (connection.client.state() == State::ReadingHead)
                connection.feed_request(std::string(1, c));
        return connection.client.state() == State::Raw;
    };
    CHECK(begins_raw("127.0.0.1", true, "{"));
    CHECK_FALSE(begins_raw("192.0.2.7", true, "{"));
    CHECK_FALSE(begins_raw("127.0.0.1", false, "{"));
    CHECK_FALSE(begins_raw("127.0.0.1", true, "G{"));
    CHECK_FALSE(begins_raw("127.0.0.1", true, " {"));
    CHECK_FALSE(begins_raw("127.0.0.1", true, "GET / HTTP/1.1\r\n{"));
}

// Sending

TEST_CASE("a client in a room gets its response, then the messages") {
    Connection connection;
    connection.room->append("before");
    connection.feed_request(kRequest);
    connection.join();
    connection.room->append("one");
    connection.room->append_ping();
    connection.room->append("two");
    CHECK(connection.client.outbox().cursor().is_started());
    CHECK(connection.flush_and_read() ==
          connection.response->bytes + server_frame(0x81, "one") +
              server_frame(0x89, "") + server_frame(0x81, "two"));
}

TEST_CASE("a flush returns its state and its bytes") {
    Connection connection = Connection::open();
    IoResult result = connection.flush();
    CHECK((result.state == IoResult::State::Done));
    CHECK(result.size == 0);
    connection.room->append("one");
    connection.client.tell("two");
    result = connection.flush();
    CHECK((result.state == IoResult::State::Done));
    CHECK(result.size == 10);

    connection.fill_send_buffer();
    result = connection.flush();
    CHECK((result.state == IoResult::State::Blocked));
    CHECK(result.size == 0);
    connection.read_at_peer(5000);
    CHECK(connection.flush().size > 0);
}

// The log and the client's own bytes are sent one after the other, each by a
// send of its own.
TEST_CASE("a flush stops after the most that it may send, and goes on later") {
    for (const size_t most : {size_t{1}, size_t{4}, size_t{5}}) {
        CAPTURE(most);
        Connection connection = Connection::open();
        connection.client.tell("one");
        connection.room->append("two");
        IoResult result = connection.flush(most);
        CHECK((result.state == IoResult::State::Blocked));
        CHECK(result.size == 5);
        CHECK(connection.read_at_peer() == server_frame(0x81, "one"));
        // Nothing has to happen in between, but poll() reports when it may.
        CHECK(connection.client.can_flush(0));
        CHECK(connection.client.awaited_events() == (POLLIN | POLLOUT));
        result = connection.flush(most);
        CHECK(result.size == 5);
        CHECK(connection.read_at_peer() == server_frame(0x81, "two"));
        CHECK((connection.flush(most).state == IoResult::State::Done));
        CHECK(connection.client.awaited_events() == POLLIN);
    }
}

TEST_CASE("a flush sends all that waits if that is less than the most") {
    Connection connection = Connection::open();
    connection.room->append("one");
    connection.client.tell("two");
    const IoResult result = connection.flush(11);
    CHECK((result.state == IoResult::State::Done));
    CHECK(result.size == 10);
    CHECK(connection.client.awaited_events() == POLLIN);
}

TEST_CASE("a client whose socket is full is not flushed without POLLOUT") {
    Connection connection = Connection::open();
    connection.fill_send_buffer();
    CHECK_FALSE(connection.client.can_flush(0));
    CHECK_FALSE(connection.client.can_flush(POLLIN));
    CHECK(connection.client.can_flush(POLLIN | POLLOUT));
    CHECK(connection.client.awaited_events() == (POLLIN | POLLOUT));
}

TEST_CASE("writing to a peer that has closed its socket fails") {
    Connection connection = Connection::open();
    connection.room->append("one");
    connection.peer = Fd();
    const IoResult result = connection.flush();
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

TEST_CASE("a message to one client is a frame, or a line for a raw peer") {
    Connection open = Connection::open();
    open.client.tell("{\"a\":1}");
    CHECK(open.flush_and_read() == server_frame(0x81, "{\"a\":1}"));
    Connection raw = Connection::raw();
    raw.client.tell("{\"a\":1}");
    CHECK(raw.flush_and_read() == "{\"a\":1}\n");
}

TEST_CASE("a message to a WebSocket client is a frame, even while it closes") {
    Connection connection = Connection::open();
    connection.client.close(server_frame(0x88, "\x03\xE9"));
    connection.client.tell("{}");
    CHECK(connection.flush_and_read() ==
          server_frame(0x81, "{}") + server_frame(0x88, "\x03\xE9"));
}

TEST_CASE("a message to a raw peer is a line, even while it closes") {
    Connection connection = Connection::raw();
    connection.feed("{} x");
    CHECK((connection.client.state() == State::Closing));
    connection.client.tell("{}");
    CHECK(connection.flush_and_read() == "{}\n");
    CHECK(connection.at_end);
}

TEST_CASE("pings are answered in their order, with their payloads") {
    Connection connection = Connection::open();
    const std::string longest(125, '\xFF');
    CHECK((connection.feed(ping_frame("1") + ping_frame() +
                           pong_frame("unasked") + ping_frame(longest)) ==
           std::vector<Kind>{Kind::Control, Kind::Control, Kind::Control,
                             Kind::Control}));
    CHECK(connection.client.outbox().own_size() == 3 + 2 + 127);
    CHECK(connection.flush_and_read() == server_frame(0x8A, "1") +
                                             server_frame(0x8A, "") +
                                             server_frame(0x8A, longest));
    CHECK(connection.client.outbox().own_size() == 0);
}

TEST_CASE("a pong is sent after the log's frame that is partly sent") {
    Connection connection = Connection::open();
    connection.shrink_send_buffer();
    const std::string large(100'000, 'x');
    connection.room->append(large);
    connection.flush();
    connection.feed(ping_frame("now"));
    connection.room->append("after");
    CHECK((connection.flush_and_read() == server_frame(0x81, large) +
                                              server_frame(0x8A, "now") +
                                              server_frame(0x81, "after")));
}

TEST_CASE("own bytes that are partly sent are finished, then the log is next") {
    Connection connection = Connection::open();
    connection.shrink_send_buffer();
    const std::string large(100'000, 'x');
    connection.client.tell(large);
    connection.flush();
    connection.room->append("one");
    connection.feed(ping_frame("two"));
    CHECK((connection.flush_and_read() == server_frame(0x81, large) +
                                              server_frame(0x81, "one") +
                                              server_frame(0x8A, "two")));
}

TEST_CASE("frames never mix, however many bytes the socket accepts") {
    for (unsigned seed = 1; seed <= 10; ++seed) {
        CAPTURE(seed);
        std::mt19937 random(seed);
        Connection connection = Connection::open();
        connection.shrink_send_buffer();
        Sequence log('r');
        Sequence own('o');
        std::string received;
        for (int step = 0; step < 3000; ++step) {
            const auto dice = random() % 10;
            const bool large = random() % 20 == 0;
            if (dice < 2)
                connection.room->append(
                    log.next(random() % (large ? 20'000 : 300)));
            else if (dice == 2)
                connection.feed(ping_frame(own.next(random() % 100)));
            else if (dice == 3)
                connection.client.tell(
                    own.next(random() % (large ? 9000 : 200)));
            else if (dice < 7)
                connection.flush();
            else
                received += connection.read_at_peer(random() % 3000);
        }
        log.expect_all_made();
        own.expect_all_made();
        connection.client.close(server_frame(0x88, "\x03\xE9"));
        connection.room->append("r: after the close");
        received += connection.flush_and_read();

        std::vector<ServerFrame> frames = frames_in(received);
        CHECK(frames.back().first == 0x88);
        frames.pop_back();
        for (const ServerFrame& frame : frames)
            (log.matches_name(frame.payload) ? log : own).check(frame.payload);
        CHECK(log.complete());
        CHECK(own.complete());
        CHECK(connection.at_end);
    }
}

TEST_CASE("the backlog is the unsent bytes that are older than a second") {
    Connection connection = Connection::open();
    Client& client = connection.client;
    StandaloneRoom& room = *connection.room;
    CHECK(client.backlog(room.now) == 0);
    room.append("12345678");
    CHECK(client.backlog(room.now) == 0);
    room.settle();
    CHECK(client.backlog(room.now) == 10);
    client.tell("not counted");
    CHECK(client.backlog(room.now) == 10);
    connection.flush_and_read();
    CHECK(client.backlog(room.now) == 0);
    CHECK(Connection::raw().client.backlog(room.now) == 0);

    room.append("12345678");
    room.settle();
    CHECK(client.backlog(room.now) == 10);
    // It holds the log while it closes, too.
    client.close("");
    CHECK(client.backlog(room.now) == 10);
    client.drop();
    CHECK(client.backlog(room.now) == 0);
}

TEST_CASE("a peer that pings faster than it reads needs bounded memory") {
    Connection connection = Connection::open();
    connection.shrink_send_buffer();
    const std::string ping = ping_frame(std::string(123, 'p'));
    const std::string pong = server_frame(0x8A, std::string(123, 'p'));
    // The peer is always behind by about 30 KB.
    for (int i = 0; i < 240; ++i) connection.feed(ping);
    std::string received;
    received.reserve(4000 * pong.size());
    const size_t before = heap_in_use();
    size_t most = before;
    for (int i = 0; i < 3000; ++i) {
        connection.feed(ping);
        connection.flush();
        received += connection.read_at_peer(pong.size());
        most = std::max(most, heap_in_use());
    }
    CHECK(connection.client.outbox().own_size() < 64 << 10);
    CHECK(most - before < 128 << 10);
    received += connection.flush_and_read();
    int wrong = 0;
    for (const ServerFrame& frame : frames_in(received))
        if (server_frame(frame.first, frame.payload) != pong) ++wrong;
    CHECK(wrong == 0);
    CHECK(received.size() == 3240 * pong.size());
}

TEST_CASE("a client without unsent bytes holds no buffers") {
    Connection connection = Connection::open();
    const size_t before = heap_in_use();
    connection.client.tell(std::string(10'000, 'x'));
    connection.feed(ping_frame(std::string(125, 'p')) +
                    binary_frame(std::string(5000, 'b')));
    connection.room->append("x");
    connection.flush_and_read();
    const size_t after = heap_in_use();
    CHECK(after == before);
}

TEST_CASE("a client that closes releases its input buffers") {
    for (std::string input :
         {first_fragment(std::string(9000, 'x')) + next_fragment("\xFF"),
          first_fragment(std::string(9000, 'x')) + close_frame(1000),
          "{" + std::string(2 << 20, ' ')}) {
        Connection connection = Connection::open();
        connection.fill_send_buffer();
        const size_t before = heap_in_use();
        connection.feed(input);
        const size_t after = heap_in_use();
        CHECK((connection.client.state() == State::Closing));
        CHECK_FALSE(connection.client.is_inside_object());
        // Only the close frame is left.
        CHECK(after - before < 200);
    }
}

// A room's history

TEST_CASE("a client gets the retained messages from its first number") {
    for (uint64_t first = 1; first <= 6; ++first) {
        CAPTURE(first);
        Connection connection = Connection::open_at(first, 10, 5);
        connection.room->append("6");
        std::vector<std::string> expected;
        for (uint64_t i = first; i <= 6; ++i)
            expected.push_back(server_frame(0x81, std::to_string(i)));
        CHECK(connection.flush_and_read() == joined(expected));
        CHECK(connection.room->room.history().size() == 6);
    }
}

TEST_CASE("retained messages are sent in order over many chunks") {
    StandaloneRoom test(1000);
    std::vector<std::string> expected;
    for (int i = 0; i < 600; ++i) {
        const std::string text = std::to_string(i) + std::string(1000, 'x');
        test.append(text);
        expected.push_back(server_frame(0x81, text));
    }
    REQUIRE(test.room.history().bytes() > 8 * Broadcast::kMaxChunk);
    for (uint64_t first : {1u, 2u, 65u, 66u, 300u, 599u, 600u}) {
        CAPTURE(first);
        Connection late;
        late.feed_request(kRequest);
        late.shrink_send_buffer();
        late.join(test, first);
        const auto begin =
            expected.begin() + static_cast<std::ptrdiff_t>(first - 1);
        CHECK((late.flush_and_read() ==
               late.response->bytes + joined({begin, expected.end()})));
        late.client.drop();
        CHECK(test.room.log(false).cursors() == 1);
    }
}

TEST_CASE("a message that is no longer retained is still sent to its clients") {
    Connection connection = Connection::open_at(1, 3, 3);
    for (int i = 4; i <= 9; ++i) connection.room->append(std::to_string(i));
    CHECK(connection.room->room.history().oldest() == 7);
    std::string received;
    for (const ServerFrame& frame : frames_in(connection.flush_and_read()))
        received += frame.payload;
    CHECK(received == "123456789");
}

TEST_CASE("the response and the hello are sent before the history") {
    Connection connection;
    connection.room = std::make_unique<StandaloneRoom>(10);
    connection.room->append("kept");
    connection.feed_request(kRequest);
    connection.client.tell("hello");
    connection.join(1);
    connection.room->append("new");
    CHECK(connection.flush_and_read() ==
          connection.response->bytes + server_frame(0x81, "hello") +
              server_frame(0x81, "kept") + server_frame(0x81, "new"));
}

TEST_CASE("messages before a client's join are no backlog") {
    for (const std::string& request : {kRequest, kDeflating}) {
        Connection connection;
        connection.room = std::make_unique<StandaloneRoom>(1000);
        for (int i = 0; i < 500; ++i)
            connection.room->append(std::string(1000, 'x'));
        connection.room->settle();
        connection.feed_request(request);
        connection.flush();
        connection.read_at_peer();
        connection.shrink_send_buffer();
        connection.join(1);
        CHECK(connection.client.backlog(connection.room->now) == 0);
        connection.flush();
        CHECK((connection.client.awaited_events() & POLLOUT) != 0);
        connection.room->settle();
        CHECK(connection.client.backlog(connection.room->now) == 0);
        connection.room->append("12345678");
        CHECK(connection.client.backlog(connection.room->now) == 0);
        connection.room->settle();
        CHECK(connection.client.backlog(connection.room->now) == 10);
        connection.flush_and_read();
        CHECK(connection.client.backlog(connection.room->now) == 0);
    }
}

TEST_CASE("a deflating client without history starts in the deflated log") {
    const std::string text(1000, 'a');
    Connection connection = Connection::open_at(3, 10, 2, kDeflating);
    connection.room->append(text);
    const std::vector<ServerFrame> frames =
        frames_in(connection.flush_and_read());
    REQUIRE(frames.size() == 1);
    CHECK(frames[0].first == 0xC1);
    CHECK(inflated(frames[0].payload) == text);
}

TEST_CASE("a deflating client changes to the deflated log after its history") {
    const std::string text(1000, 'a');
    Connection connection = Connection::open_at(2, 10, 2, kDeflating);
    Broadcast& plain = connection.room->room.log(false);
    Broadcast& deflated = connection.room->room.log(true);
    CHECK(plain.cursors() == 2);
    CHECK(deflated.cursors() == 0);
    connection.room->append(text);
    CHECK((connection.flush_and_read() ==
           server_frame(0x81, "2") + server_frame(0x81, text)));
    CHECK(plain.cursors() == 1);
    CHECK(deflated.cursors() == 1);
    connection.room->append(text);
    connection.room->append("short");
    const std::vector<ServerFrame> frames =
        frames_in(connection.flush_and_read());
    REQUIRE(frames.size() == 2);
    CHECK(frames[0].first == 0xC1);
    CHECK(inflated(frames[0].payload) == text);
    CHECK(frames[1].first == 0x81);
    CHECK(frames[1].payload == "short");
    connection.client.drop();
    CHECK(deflated.cursors() == 0);
    CHECK(plain.cursors() == 1);
}

TEST_CASE("a client that closes before that change gets all earlier messages") {
    Connection connection = Connection::open_at(1, 10, 3, kDeflating);
    connection.client.close(server_frame(0x88, "\x03\xE9"));
    connection.room->append("after");
    CHECK(connection.flush_and_read() ==
          server_frame(0x81, "1") + server_frame(0x81, "2") +
              server_frame(0x81, "3") + server_frame(0x88, "\x03\xE9"));
    CHECK(connection.room->room.log(true).cursors() == 0);
    CHECK(connection.room->room.log(false).cursors() == 1);
}

TEST_CASE("no message is lost or repeated by the change to the deflated log") {
    int changed = 0;
    for (unsigned seed = 1; seed <= 30; ++seed) {
        CAPTURE(seed);
        std::mt19937 random(seed);
        Connection connection;
        connection.room = std::make_unique<StandaloneRoom>(random() % 60 + 1);
        StandaloneRoom& test = *connection.room;
        Sequence log('r');
        Sequence own('o');
        const auto publish = [&] {
            const bool large = random() % 20 == 0;
            test.append(log.next(random() % (large ? 20'000 : 400)));
        };
        connection.feed_request(kDeflating);
        connection.flush();
        connection.read_at_peer();
        connection.shrink_send_buffer();
        for (auto i = random() % 100; i > 0; --i) publish();
        const History& history = test.room.history();
        const uint64_t first =
            history.oldest() + random() % (history.size() + 1);
        log.skip(first - 1);
        connection.join(first);

        std::string received;
        for (int step = 0; step < 2000; ++step) {
            const auto dice = random() % 20;
            if (dice < 2)
                publish();
            else if (dice == 2)
                connection.feed(ping_frame(own.next(random() % 100)));
            else if (dice == 3)
                test.append_ping();
            else if (dice < 10)
                connection.flush();
            else
                received += connection.read_at_peer(random() % 3000);
        }
        log.expect_all_made();
        own.expect_all_made();
        connection.client.close(server_frame(0x88, "\x03\xE9"));
        received += connection.flush_and_read();

        std::vector<ServerFrame> frames = frames_in(received);
        CHECK(frames.back().first == 0x88);
        frames.pop_back();
        bool is_deflated = false;
        for (const ServerFrame& frame : frames) {
            const std::string text =
                frame.first == 0xC1 ? inflated(frame.payload) : frame.payload;
            if (frame.first == 0xC1) is_deflated = true;
            if (frame.first == 0x89) continue;
            (log.matches_name(text) ? log : own).check(text);
        }
        if (is_deflated) ++changed;
        CHECK(log.complete());
        CHECK(own.complete());
        CHECK(test.room.log(true).cursors() == 0);
    }
    CHECK(changed > 20);
}

// A request with a body

TEST_CASE("a client receives a body in one piece or byte by byte") {
    const std::string body = "{\"a\":1}\n[2]";
    for (size_t size = 1; size <= body.size(); ++size) {
        CAPTURE(size);
        Connection connection = Connection::receiving(body.size());
        CHECK((connection.client.state() == State::ReadingBody));
        CHECK(connection.client.accepts_input());
        std::optional<PublishRequest> request;
        for (size_t taken = 0; taken < body.size(); taken += size) {
            CHECK_FALSE(request);
            request = connection.feed_body(body.substr(taken, size));
            CHECK(connection.left.empty());
        }
        REQUIRE(request);
        CHECK(request->body == body);
        CHECK(request->is_lines);
        CHECK(request->room == "/x");
    }
}

TEST_CASE("bytes behind a body are left in the input") {
    Connection connection = Connection::receiving(2);
    const auto request = connection.feed_body("{}GET / HTTP/1.1\r\n");
    REQUIRE(request);
    CHECK(request->body == "{}");
    CHECK(connection.left == "GET / HTTP/1.1\r\n");
}

TEST_CASE("a body of 0 bytes is complete at once") {
    Connection connection = Connection::receiving(0);
    const auto request = connection.feed_body("");
    REQUIRE(request);
    CHECK(request->body == "");
}

TEST_CASE("an announced body takes memory only for the bytes that arrive") {
    const size_t before = heap_in_use();
    Connection connection = Connection::receiving(uint64_t{1} << 40);
    CHECK_FALSE(connection.feed_body(std::string(1000, 'x')));
    CHECK(heap_in_use() - before < 20'000);
    connection.client.close("");
    CHECK(heap_in_use() - before < 18'000);
}

TEST_CASE("an incomplete body or message counts for what has arrived") {
    Connection body = Connection::receiving(100'000);
    CHECK(body.client.partial_size() < 64);
    CHECK_FALSE(body.feed_body(std::string(50'000, 'x')));
    CHECK(body.client.partial_size() >= 50'000);
    CHECK(body.client.partial_size() <= 100'000);
    REQUIRE(body.feed_body(std::string(50'000, 'x')));
    CHECK(body.client.partial_size() < 64);
    body.client.close("");
    CHECK(body.client.partial_size() == 0);

    Connection open = Connection::open();
    CHECK(open.client.partial_size() == 0);
    open.feed(first_fragment(std::string(50'000, 'x')));
    CHECK(open.client.is_inside_message());
    CHECK(open.client.partial_size() >= 50'000);
    open.client.close("");
    CHECK(open.client.partial_size() == 0);
}

TEST_CASE("what was dealt with is not incomplete") {
    Connection open = Connection::open();
    open.feed(first_fragment(std::string(50'000, 'x')) + last_fragment("x"));
    open.client.release_input();
    CHECK_FALSE(open.client.is_inside_message());
    CHECK(open.client.partial_size() == 0);
    const std::string ping = ping_frame("abcd");
    open.feed(ping.substr(0, 8));
    CHECK(open.client.is_inside_message());
    open.feed(ping.substr(8));
    open.client.release_input();
    CHECK_FALSE(open.client.is_inside_message());
}

TEST_CASE("a client that expects 100 Continue gets it") {
    const std::string interim = "HTTP/1.1 100 Continue\r\n\r\n";
    Connection connection = Connection::receiving(2, interim);
    CHECK(connection.flush_and_read() == interim);
    CHECK_FALSE(connection.at_end);
    CHECK((connection.client.state() == State::ReadingBody));
    REQUIRE(connection.feed_body("{}"));
    connection.client.close("HTTP/1.1 200 OK\r\n\r\n");
    CHECK(connection.flush_and_read() == "HTTP/1.1 200 OK\r\n\r\n");
    CHECK(connection.at_end);
    CHECK((connection.client.state() == State::Draining));
}

TEST_CASE("EOF inside a body ends the client") {
    Connection connection = Connection::receiving(2);
    CHECK_FALSE(connection.feed_body("{"));
    CHECK(connection.client.backlog(connection.room->now) == 0);
    connection.client.end_of_input();
    CHECK((connection.client.state() == State::Gone));
}

// Closing

TEST_CASE("a client that closes gets the earlier messages, then EOF") {
    Connection connection = Connection::open();
    connection.room->append("before");
    connection.client.tell("own");
    connection.client.close(server_frame(0x88, "\x03\xE9"));
    connection.room->append("after");
    CHECK((connection.client.state() == State::Closing));
    CHECK(connection.client.outbox().cursor().is_started());
    const std::string received = connection.flush_and_read();
    const std::string before = server_frame(0x81, "before");
    const std::string own = server_frame(0x81, "own");
    const std::string last = server_frame(0x88, "\x03\xE9");
    const bool all =
        received == before + own + last || received == own + before + last;
    CHECK(all);
    CHECK(connection.at_end);
    CHECK((connection.client.state() == State::Draining));
    CHECK_FALSE(connection.client.outbox().cursor().is_started());
    CHECK(connection.room->cursors() == 0);
}

TEST_CASE(
    "a client that is far behind gets all messages before its close frame") {
    Connection connection = Connection::open();
    connection.shrink_send_buffer();
    std::vector<std::string> expected;
    for (int i = 0; i < 1000; ++i) {
        const std::string text = std::to_string(i) + std::string(700, 'x');
        connection.room->append(text);
        expected.push_back(server_frame(0x81, text));
    }
    connection.flush();
    connection.client.close(server_frame(0x88, "\x03\xE9"));
    connection.room->append("after");
    expected.push_back(server_frame(0x88, "\x03\xE9"));
    CHECK((connection.flush_and_read() == joined(expected)));
    CHECK(connection.at_end);
}

// Regression: the client's own announcement was sent before the response.
TEST_CASE("the response comes first if the client closes in the same segment") {
    for (const std::string& end : {close_frame(1000), frame(0x83, "")}) {
        Connection connection;
        connection.feed_request(kRequest);
        connection.join();
        connection.room->append("announcement");
        connection.feed(end);
        CHECK((connection.client.state() == State::Closing));
        const std::string received = connection.flush_and_read();
        const std::string& response = connection.response->bytes;
        CHECK(received.substr(0, response.size()) == response);
        CHECK(received.find("announcement") != std::string::npos);
    }
}

TEST_CASE("a close frame is echoed") {
    Connection connection = Connection::open();
    CHECK((connection.feed(close_frame(3000, "bye") + text_frame("{}")) ==
           std::vector<Kind>{Kind::Close}));
    CHECK((connection.client.state() == State::Closing));
    CHECK_FALSE(connection.client.accepts_input());
    CHECK(connection.flush_and_read() ==
          server_frame(0x88, big_endian(3000, 2) + "bye"));
    CHECK(connection.at_end);
}

TEST_CASE("an empty close frame is echoed as an empty one") {
    Connection connection = Connection::open();
    connection.feed(frame(0x88, ""));
    CHECK(connection.flush_and_read() == server_frame(0x88, ""));
}

TEST_CASE("a protocol error is answered with its close code") {
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
        connection.feed(ping_frame("1"));
        CHECK((connection.feed(row.input + text_frame("{}")) ==
               std::vector<Kind>{Kind::Error}));
        CHECK((connection.client.state() == State::Closing));
        const std::vector<ServerFrame> frames =
            frames_in(connection.flush_and_read());
        REQUIRE(frames.size() == 2);
        CHECK(frames[0].payload == "1");
        CHECK(frames[1].first == 0x88);
        CHECK(number(frames[1].payload.substr(0, 2)) == row.code);
        CHECK(frames[1].payload.size() > 2);
        CHECK(connection.at_end);
    }
}

TEST_CASE("a raw peer with an error is closed without a frame") {
    Connection connection = Connection::raw();
    CHECK((connection.feed("{} x") ==
           std::vector<Kind>{Kind::Message, Kind::Error}));
    CHECK(connection.flush_and_read() == "");
    CHECK(connection.at_end);
    CHECK((connection.client.state() == State::Draining));
}

TEST_CASE("an open client gets its unsent messages after its EOF") {
    Connection connection = Connection::open();
    connection.feed(ping_frame("p"));
    connection.room->append("before");
    connection.client.end_of_input();
    CHECK((connection.client.state() == State::Closing));
    connection.room->append("after");
    const std::string received = connection.flush_and_read();
    CHECK(received.size() == 3 + 8);
    CHECK(received.find("before") != std::string::npos);
    CHECK(connection.at_end);
    CHECK((connection.client.state() == State::Gone));
}

TEST_CASE("a raw peer gets its unsent lines after its EOF") {
    Connection connection = Connection::raw();
    connection.feed("{");
    CHECK(connection.client.is_inside_object());
    connection.client.tell("{}");
    connection.client.end_of_input();
    CHECK(connection.flush_and_read() == "{}\n");
    CHECK(connection.at_end);
    CHECK((connection.client.state() == State::Gone));
}

TEST_CASE("a client may half-close before it has read the close frame") {
    Connection connection = Connection::open();
    connection.feed(close_frame(1000));
    connection.client.end_of_input();
    CHECK((connection.client.state() == State::Closing));
    CHECK(connection.flush_and_read() ==
          server_frame(0x88, big_endian(1000, 2)));
    CHECK((connection.client.state() == State::Gone));
}

TEST_CASE("a client that was sent all bytes is gone at its EOF") {
    Connection connection = Connection::open();
    connection.feed(close_frame(1000));
    connection.flush_and_read();
    CHECK((connection.client.state() == State::Draining));
    connection.client.end_of_input();
    CHECK((connection.client.state() == State::Gone));
}

TEST_CASE("EOF during the handshake ends the client") {
    Connection connection;
    connection.feed_request("GET / HTTP/1.1\r\n");
    connection.client.end_of_input();
    CHECK((connection.client.state() == State::Gone));

    Connection refused;
    refused.feed_request("GET / HTTP/1.1\r\n\r\n");
    refused.client.end_of_input();
    CHECK(refused.flush_and_read() == refused.response->bytes);
    CHECK((refused.client.state() == State::Gone));
}

TEST_CASE("a second EOF ends the connection") {
    Connection connection = Connection::open();
    connection.fill_send_buffer();
    connection.client.end_of_input();
    CHECK((connection.client.state() == State::Closing));
    connection.client.end_of_input();
    CHECK((connection.client.state() == State::Gone));
    CHECK(connection.room->cursors() == 0);
}

TEST_CASE("a client that is dropped leaves its room at once") {
    Connection connection = Connection::open();
    connection.fill_send_buffer();
    CHECK(connection.room->cursors() > 0);
    connection.client.drop();
    CHECK((connection.client.state() == State::Gone));
    CHECK_FALSE(connection.client.outbox().cursor().is_started());
    CHECK_FALSE(connection.client.accepts_input());
    CHECK(connection.room->cursors() == 0);
    connection.client.drop();
    CHECK((connection.client.state() == State::Gone));
}

TEST_CASE("a client that was never in a room can be dropped") {
    Connection connection;
    connection.client.drop();
    CHECK((connection.client.state() == State::Gone));
}
