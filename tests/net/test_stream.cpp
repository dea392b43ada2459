#include <cerrno>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <sys/socket.h>

#include "net/stream.h"

using namespace wschat;

namespace {

using State = IoResult::State;

/// A plain stream and the socket of its peer.
struct PlainStream {
    explicit PlainStream(int pair[2])
        : peer(pair[1]), stream(Fd(pair[0]), nullptr) {}

    static PlainStream make() {
        int pair[2];
        REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
        return PlainStream(pair);
    }

    IoResult read() { return stream.read(buffer.data(), buffer.size()); }

    Fd peer;
    Stream stream;
    std::vector<char> buffer = std::vector<char>(Stream::kMinRead);
};

IoVec pieces_of(const std::vector<std::string_view>& parts) {
    IoVec pieces;
    for (std::string_view part : parts) pieces.add(part);
    return pieces;
}

std::string received(const Fd& peer) {
    std::string bytes(1000, '\0');
    const ssize_t n = recv(peer.get(), bytes.data(), bytes.size(), 0);
    bytes.resize(n > 0 ? static_cast<size_t>(n) : 0);
    return bytes;
}

}  // namespace

TEST_CASE("system call results are done, blocked, ended or failed") {
    CHECK(to_io_result(5, 0).state == State::Done);
    CHECK(to_io_result(5, EAGAIN).size == 5);
    CHECK(to_io_result(0, EAGAIN).state == State::Eof);
    for (int error : {EAGAIN, EWOULDBLOCK, EINTR})
        CHECK(to_io_result(-1, error).state == State::Blocked);
    const IoResult failed = to_io_result(-1, ECONNRESET);
    CHECK(failed.state == State::Failed);
    CHECK(failed.size == 0);
    CHECK(failed.error == "Connection reset by peer");
}

TEST_CASE("a plain stream reads what its peer sends, and then its end") {
    PlainStream plain = PlainStream::make();
    CHECK(plain.read().state == State::Blocked);
    REQUIRE(send(plain.peer.get(), "hello", 5, 0) == 5);
    const IoResult result = plain.read();
    CHECK(result.state == State::Done);
    CHECK(std::string(plain.buffer.data(), result.size) == "hello");
    CHECK_FALSE(plain.stream.has_more());
    plain.peer = Fd();
    CHECK(plain.read().state == State::Eof);
}

TEST_CASE("without TLS any first byte is accepted") {
    PlainStream plain = PlainStream::make();
    CHECK(plain.stream.is_ready());
    REQUIRE(send(plain.peer.get(), "\x16tls", 4, 0) == 4);
    CHECK(plain.read().size == 4);
    CHECK(plain.buffer[0] == '\x16');
    CHECK_FALSE(plain.stream.is_plain_on_tls_port());
    CHECK_FALSE(plain.stream.read_waits_to_write());
}

TEST_CASE("a plain stream sends the pieces themselves") {
    PlainStream plain = PlainStream::make();
    const IoVec pieces = pieces_of({"one ", "two ", "three"});
    const IoVec next = plain.stream.next_bytes_to_send(pieces);
    REQUIRE(next.count == 3);
    CHECK(next.piece[2].data() == pieces.piece[2].data());
    const IoResult result = send_vec(plain.stream.fd(), next);
    CHECK(result.size == 13);
    CHECK(plain.stream.consume_sent(13) == 13);
    CHECK(received(plain.peer) == "one two three");
}

TEST_CASE("a stream can end its output and still receive") {
    PlainStream plain = PlainStream::make();
    CHECK(plain.stream.shut_down_writing());
    char byte;
    CHECK(recv(plain.peer.get(), &byte, 1, 0) == 0);
    REQUIRE(send(plain.peer.get(), "x", 1, 0) == 1);
    CHECK(plain.read().size == 1);
}

TEST_CASE("sending to a closed socket fails without SIGPIPE") {
    PlainStream plain = PlainStream::make();
    plain.peer = Fd();
    for (const IoVec& pieces :
         {pieces_of({"one"}), pieces_of({"one", "two"})}) {
        const IoResult result = send_vec(plain.stream.fd(), pieces);
        CHECK(result.state == State::Failed);
        CHECK(result.error == "Broken pipe");
    }
}
