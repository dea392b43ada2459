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
#include "fixtures/routed.h"
#include "fixtures/server_frames.h"
#include "fixtures/standalone_room.h"

using namespace wschat;
using namespace wschat::test;

using State = Client::State;

namespace {

/// What a client made of its bytes.
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

/// A client, its room, and its peer at the other end of a socket pair.
class Connection {
public:
    explicit Connection(const std::string& address = "127.0.0.1",
                        bool raw_json = true)
        : Connection(socket_pair(), address, raw_json) {}

    /// One that is Open and in the room, and whose peer has read the response.
    static Connection open() {
        Connection connection;
        connection.shake_hands(kRequest);
        connection.join();
        connection.flush();
        connection.hear();
        return connection;
    }

    /// One that is Open and in a room that retains `retained` messages and has
    /// `messages`, named by their numbers, and that begins with this one.
    static Connection open_at(uint64_t first, size_t retained, int messages,
                              const std::string& request = kRequest) {
        Connection connection;
        connection.room = std::make_unique<StandaloneRoom>(retained);
        for (int i = 1; i <= messages; ++i)
            connection.room->append(std::to_string(i));
        connection.shake_hands(request);
        connection.flush();
        connection.hear();
        connection.join(first);
        return connection;
    }

    /// One that is Receiving a body of this size.
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

    /// One that sends raw JSON without a handshake.
    static Connection raw() {
        Connection connection;
        connection.shake_hands("{");
        return connection;
    }

    /// Gives the client bytes of a request, and does what the router says.
    /// Returns how many bytes it left.
    size_t shake_hands(std::string bytes) {
        Bytes input{bytes.data(), bytes.size()};
        const ClientInput next = client.next(input);
        if (const auto* head = std::get_if<input::RequestHead>(&next)) {
            const Routed to = routed(*head->head, head->peer, kConfig);
            response = to.response;
            deflates = to.upgrade.agreement.compression.server_may_deflate;
            if (to.response.status == 101)
                client.upgrade(to.upgrade, "");
            else
                client.close(to.response.bytes);
        }
        return input.size;
    }

    /// Joins the room, beginning with the next message.
    void join() { join(room->room.history().newest() + 1); }
    void join(uint64_t first) { join(*room, first); }
    void join(StandaloneRoom& other, uint64_t first) {
        client.outbox().cursor().start(other.room, first, deflates);
    }

    /// Gives the client bytes. Returns the kinds of what it made of them.
    std::vector<Kind> receive(std::string bytes) {
        Bytes input{bytes.data(), bytes.size()};
        std::vector<Kind> kinds;
        for (;;) {
            const ClientInput next = client.next(input);
            if (std::get_if<input::NeedMore>(&next)) return kinds;
            kinds.push_back(kind_of(next));
        }
    }

    /// Gives the client bytes of a body. Returns the request when it is
    /// complete, and the bytes that the client left.
    std::optional<PublishRequest> receive_body(std::string bytes) {
        Bytes input{bytes.data(), bytes.size()};
        const ClientInput next = client.next(input);
        left = input.view();
        const auto* body = std::get_if<input::RequestBody>(&next);
        if (!body) return std::nullopt;
        return body->request;
    }

    /// Sends what waits, as the daemon does.
    IoResult flush() {
        SendBatch batch(false);
        std::vector<Client::Flush> flushes{client.begin_flush()};
        complete_flushes(batch, flushes);
        return flushes[0].result;
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

    /// What arrives when the client sends all that waits.
    std::string hear_all() {
        std::string heard = hear();
        while (client.state() != State::Gone &&
               client.state() != State::Draining) {
            const IoResult result = flush();
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

    /// Appends messages, which the peer does not read, until the client is
    /// blocked.
    void block() {
        narrow();
        while (flush().state == IoResult::State::Done)
            room->append(std::string(1000, 'x'));
    }

    // The client refers to these, wherever the connection is moved.
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
    bool at_end = false;  // the peer was told that nothing more comes

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
            CHECK_FALSE(connection.response);
            CHECK((connection.client.state() == State::Handshaking));
            CHECK(connection.client.is_listening());
            connection.shake_hands(kRequest.substr(cut));
        }
        REQUIRE(connection.response);
        CHECK(connection.response->status == 101);
        CHECK((connection.client.state() == State::Open));
        CHECK(connection.hear_all() == connection.response->bytes);
    }
}

TEST_CASE("frames behind the request are left for the reader") {
    Connection connection;
    const std::string frames = text_frame("{}") + ping_frame("p");
    CHECK(connection.shake_hands(kRequest + frames) == frames.size());
    CHECK((connection.client.state() == State::Open));
    CHECK((connection.receive(frames) ==
           std::vector<Kind>{Kind::Message, Kind::Control}));
    CHECK(connection.hear_all() ==
          connection.response->bytes + server_frame(0x8A, "p"));
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
        REQUIRE(connection.response);
        CHECK(connection.response->status == row.status);
        CHECK((connection.client.state() == State::Closing));
        CHECK_FALSE(connection.client.is_listening());
        CHECK(connection.hear_all() == connection.response->bytes);
        CHECK(connection.at_end);
        CHECK((connection.client.state() == State::Draining));
    }
}

TEST_CASE("nothing at all decides nothing") {
    Connection connection;
    CHECK(connection.shake_hands("") == 0);
    CHECK_FALSE(connection.response);
    CHECK((connection.client.state() == State::Handshaking));
    CHECK(connection.client.member().address.to_string() == "127.0.0.1");
}

TEST_CASE("a local peer that begins with a brace sends raw JSON") {
    Connection connection;
    CHECK(connection.shake_hands("{}") == 2);
    CHECK_FALSE(connection.response);
    CHECK((connection.client.state() == State::Raw));
    CHECK(connection.client.is_listening());
    CHECK_FALSE(connection.client.outbox().cursor().is_started());
    CHECK((connection.receive("{}\n{}\n") ==
           std::vector<Kind>{Kind::Message, Kind::Message}));
}

TEST_CASE("nobody else sends raw JSON without a handshake") {
    const auto begins_raw = [](const std::string& address, bool raw_json,
                               const std::string& start) {
        Connection connection(address, raw_json);
        for (char c : start)
            if (connection.client.state() == State::Handshaking)
                connection.shake_hands(std::string(1, c));
        return connection.client.state() == State::Raw;
    };
    CHECK(begins_raw("127.0.0.1", true, "{"));
    CHECK_FALSE(begins_raw("192.0.2.7", true, "{"));
    CHECK_FALSE(begins_raw("127.0.0.1", false, "{"));
    CHECK_FALSE(begins_raw("127.0.0.1", true, "G{"));
    CHECK_FALSE(begins_raw("127.0.0.1", true, " {"));
    CHECK_FALSE(begins_raw("127.0.0.1", true, "GET / HTTP/1.1\r\n{"));
}

// What it is owed

TEST_CASE("a client in a room gets its answer, then what is published") {
    Connection connection;
    connection.room->append("before");
    connection.shake_hands(kRequest);
    connection.join();
    connection.room->append("one");
    connection.room->append_ping();
    connection.room->append("two");
    CHECK(connection.client.outbox().cursor().is_started());
    CHECK(connection.hear_all() ==
          connection.response->bytes + server_frame(0x81, "one") +
              server_frame(0x89, "") + server_frame(0x81, "two"));
}

TEST_CASE("a flush tells what it did") {
    Connection connection = Connection::open();
    IoResult result = connection.flush();
    CHECK((result.state == IoResult::State::Done));
    CHECK(result.size == 0);
    connection.room->append("one");
    connection.client.tell("two");
    result = connection.flush();
    CHECK((result.state == IoResult::State::Done));
    CHECK(result.size == 10);

    connection.block();
    result = connection.flush();
    CHECK((result.state == IoResult::State::Blocked));
    CHECK(result.size == 0);
    connection.hear(5000);
    CHECK(connection.flush().size > 0);
}

TEST_CASE("writing to a peer that is gone fails, and no more than that") {
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
           std::vector<Kind>{Kind::Control, Kind::Control, Kind::Control, Kind::Control}));
    CHECK(connection.client.outbox().own_size() == 3 + 2 + 127);
    CHECK(connection.hear_all() == server_frame(0x8A, "1") +
                                       server_frame(0x8A, "") +
                                       server_frame(0x8A, longest));
    CHECK(connection.client.outbox().own_size() == 0);
}

TEST_CASE("a pong waits for the frame of the run that is on its way") {
    Connection connection = Connection::open();
    connection.narrow();
    const std::string large(100'000, 'x');
    connection.room->append(large);
    connection.flush();
    connection.receive(ping_frame("now"));
    connection.room->append("after");
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
    connection.flush();
    connection.room->append("one");
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
                connection.room->append(
                    run.next(random() % (large ? 20'000 : 300)));
            else if (dice == 2)
                connection.receive(ping_frame(own.next(random() % 100)));
            else if (dice == 3)
                connection.client.tell(
                    own.next(random() % (large ? 9000 : 200)));
            else if (dice < 7)
                connection.flush();
            else
                heard += connection.hear(random() % 3000);
        }
        run.mark();
        own.mark();
        connection.client.close(server_frame(0x88, "\x03\xE9"));
        connection.room->append("r: not for one who is closing");
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
    room.append("12345678");
    CHECK(client.backlog() == 0);
    room.end_turn();
    CHECK(client.backlog() == 10);
    client.tell("not counted");
    CHECK(client.backlog() == 10);
    connection.hear_all();
    CHECK(client.backlog() == 0);
    CHECK(Connection::raw().client.backlog() == 0);

    room.append("12345678");
    room.end_turn();
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
        connection.flush();
        heard += connection.hear(pong.size());
        most = std::max(most, heap_in_use());
    }
    CHECK(connection.client.outbox().own_size() < 64 << 10);
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
    connection.room->append("x");
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
        CHECK_FALSE(connection.client.is_inside_object());
        // But for its last words.
        CHECK(after - before < 200);
    }
}

// A room's history

TEST_CASE("a client gets the kept messages from where it begins") {
    for (uint64_t first = 1; first <= 6; ++first) {
        CAPTURE(first);
        Connection connection = Connection::open_at(first, 10, 5);
        connection.room->append("6");
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
        lobby.append(text);
        expected.push_back(server_frame(0x81, text));
    }
    REQUIRE(lobby.room.history().bytes() > 8 * Broadcast::kMaxChunk);
    for (uint64_t first : {1u, 2u, 65u, 66u, 300u, 599u, 600u}) {
        CAPTURE(first);
        Connection late;
        late.shake_hands(kRequest);
        late.narrow();
        late.join(lobby, first);
        const auto begin =
            expected.begin() + static_cast<std::ptrdiff_t>(first - 1);
        CHECK((late.hear_all() ==
               late.response->bytes + joined({begin, expected.end()})));
        late.client.drop();
        CHECK(lobby.room.log(false).cursors() == 1);
    }
}

TEST_CASE("what a client has still to get stays when the history forgets it") {
    Connection connection = Connection::open_at(1, 3, 3);
    for (int i = 4; i <= 9; ++i) connection.room->append(std::to_string(i));
    CHECK(connection.room->room.history().oldest() == 7);
    std::string heard;
    for (const ServerFrame& frame : frames_in(connection.hear_all()))
        heard += frame.payload;
    CHECK(heard == "123456789");
}

TEST_CASE("the answer to a handshake and a hello come before the history") {
    Connection connection;
    connection.room = std::make_unique<StandaloneRoom>(10);
    connection.room->append("kept");
    connection.shake_hands(kRequest);
    connection.client.tell("hello");
    connection.join(1);
    connection.room->append("new");
    CHECK(connection.hear_all() ==
          connection.response->bytes + server_frame(0x81, "hello") +
              server_frame(0x81, "kept") + server_frame(0x81, "new"));
}

TEST_CASE("what was there when a client joined is no backlog") {
    for (const std::string& request : {kRequest, kDeflating}) {
        Connection connection;
        connection.room = std::make_unique<StandaloneRoom>(1000);
        for (int i = 0; i < 500; ++i)
            connection.room->append(std::string(1000, 'x'));
        connection.room->end_turn();
        connection.shake_hands(request);
        connection.flush();
        connection.hear();
        connection.narrow();
        connection.join(1);
        CHECK(connection.client.backlog() == 0);
        connection.flush();
        CHECK((connection.client.awaited_events() & POLLOUT) != 0);
        connection.room->end_turn();
        CHECK(connection.client.backlog() == 0);
        connection.room->append("12345678");
        CHECK(connection.client.backlog() == 0);
        connection.room->end_turn();
        CHECK(connection.client.backlog() == 10);
        connection.hear_all();
        CHECK(connection.client.backlog() == 0);
    }
}

TEST_CASE("a client that deflates begins where everyone is, unless told else") {
    const std::string text(1000, 'a');
    Connection connection = Connection::open_at(3, 10, 2, kDeflating);
    connection.room->append(text);
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
    connection.room->append(text);
    CHECK((connection.hear_all() ==
           server_frame(0x81, "2") + server_frame(0x81, text)));
    CHECK(plain.cursors() == 1);
    CHECK(deflated.cursors() == 1);
    connection.room->append(text);
    connection.room->append("short");
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
    connection.room->append("after");
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
            lobby.append(run.next(random() % (large ? 20'000 : 400)));
        };
        connection.shake_hands(kDeflating);
        connection.flush();
        connection.hear();
        connection.narrow();
        for (auto i = random() % 100; i > 0; --i) publish();
        const History& history = lobby.room.history();
        const uint64_t first =
            history.oldest() + random() % (history.size() + 1);
        run.skip(first - 1);
        connection.join(first);

        std::string heard;
        for (int step = 0; step < 2000; ++step) {
            const auto dice = random() % 20;
            if (dice < 2)
                publish();
            else if (dice == 2)
                connection.receive(ping_frame(own.next(random() % 100)));
            else if (dice == 3)
                lobby.append_ping();
            else if (dice < 10)
                connection.flush();
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
        CHECK(connection.client.is_listening());
        std::optional<PublishRequest> request;
        for (size_t taken = 0; taken < body.size(); taken += size) {
            CHECK_FALSE(request);
            request = connection.receive_body(body.substr(taken, size));
            CHECK(connection.left.empty());
        }
        REQUIRE(request);
        CHECK(request->body == body);
        CHECK(request->is_lines);
        CHECK(request->room == "/x");
    }
}

TEST_CASE("what follows a body is left") {
    Connection connection = Connection::receiving(2);
    const auto request = connection.receive_body("{}GET / HTTP/1.1\r\n");
    REQUIRE(request);
    CHECK(request->body == "{}");
    CHECK(connection.left == "GET / HTTP/1.1\r\n");
}

TEST_CASE("a body of no bytes is whole at once") {
    Connection connection = Connection::receiving(0);
    const auto request = connection.receive_body("");
    REQUIRE(request);
    CHECK(request->body == "");
}

TEST_CASE("a body is believed when it is there, not when it is announced") {
    const size_t before = heap_in_use();
    Connection connection = Connection::receiving(uint64_t{1} << 40);
    CHECK_FALSE(connection.receive_body(std::string(1000, 'x')));
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
    REQUIRE(connection.receive_body("{}"));
    connection.client.close("HTTP/1.1 200 OK\r\n\r\n");
    CHECK(connection.hear_all() == "HTTP/1.1 200 OK\r\n\r\n");
    CHECK(connection.at_end);
    CHECK((connection.client.state() == State::Draining));
}

TEST_CASE("an input that ends in a body ends the client") {
    Connection connection = Connection::receiving(2);
    CHECK_FALSE(connection.receive_body("{"));
    CHECK(connection.client.backlog() == 0);
    connection.client.end_of_input();
    CHECK((connection.client.state() == State::Gone));
}

// Closing

TEST_CASE("a client that closes gets what was published before, then the end") {
    Connection connection = Connection::open();
    connection.room->append("before");
    connection.client.tell("own");
    connection.client.close(server_frame(0x88, "\x03\xE9"));
    connection.room->append("after");
    CHECK((connection.client.state() == State::Closing));
    CHECK(connection.client.outbox().cursor().is_started());
    const std::string heard = connection.hear_all();
    const std::string before = server_frame(0x81, "before");
    const std::string own = server_frame(0x81, "own");
    const std::string last = server_frame(0x88, "\x03\xE9");
    const bool all =
        heard == before + own + last || heard == own + before + last;
    CHECK(all);
    CHECK(connection.at_end);
    CHECK((connection.client.state() == State::Draining));
    CHECK_FALSE(connection.client.outbox().cursor().is_started());
    CHECK(connection.room->cursors() == 0);
}

TEST_CASE("a client that is far behind gets all of it before its last words") {
    Connection connection = Connection::open();
    connection.narrow();
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
    CHECK((connection.hear_all() == joined(expected)));
    CHECK(connection.at_end);
}

TEST_CASE("a close frame is echoed") {
    Connection connection = Connection::open();
    CHECK((connection.receive(close_frame(3000, "bye") + text_frame("{}")) ==
           std::vector<Kind>{Kind::Close}));
    CHECK((connection.client.state() == State::Closing));
    CHECK_FALSE(connection.client.is_listening());
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
           std::vector<Kind>{Kind::Message, Kind::Error}));
    CHECK(connection.hear_all() == "");
    CHECK(connection.at_end);
    CHECK((connection.client.state() == State::Draining));
}

TEST_CASE("an open client whose input ends gets what it is owed, and goes") {
    Connection connection = Connection::open();
    connection.receive(ping_frame("p"));
    connection.room->append("before");
    connection.client.end_of_input();
    CHECK((connection.client.state() == State::Closing));
    connection.room->append("after");
    const std::string heard = connection.hear_all();
    CHECK(heard.size() == 3 + 8);
    CHECK(heard.find("before") != std::string::npos);
    CHECK(connection.at_end);
    CHECK((connection.client.state() == State::Gone));
}

TEST_CASE("a raw peer whose input ends gets what it was told, and goes") {
    Connection connection = Connection::raw();
    connection.receive("{");
    CHECK(connection.client.is_inside_object());
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
    CHECK(refused.hear_all() == refused.response->bytes);
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
    CHECK_FALSE(connection.client.outbox().cursor().is_started());
    CHECK_FALSE(connection.client.is_listening());
    CHECK(connection.room->cursors() == 0);
    connection.client.drop();
    CHECK((connection.client.state() == State::Gone));
}

TEST_CASE("a client that was never in a room can be dropped") {
    Connection connection;
    connection.client.drop();
    CHECK((connection.client.state() == State::Gone));
}
