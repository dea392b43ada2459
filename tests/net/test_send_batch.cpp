#include <cerrno>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/send_batch.h"

#ifdef WSCHAT_URING
#include <liburing.h>
#endif

using namespace wschat;

namespace {

/// Connected sockets, each with its peer.
class Sockets {
public:
    explicit Sockets(size_t count) {
        for (size_t i = 0; i < count; ++i) add();
    }

    void add() {
        int pair[2];
        REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
        sockets_.emplace_back(pair[0]);
        peers_.emplace_back(pair[1]);
    }

    int operator[](size_t i) const { return sockets_[i].get(); }

    /// Returns all bytes that have arrived at the peer.
    std::string received(size_t i) {
        std::string all;
        std::string piece(1 << 16, '\0');
        ssize_t n;
        while ((n = recv(peers_[i].get(), piece.data(), piece.size(), 0)) > 0)
            all.append(piece, 0, static_cast<size_t>(n));
        return all;
    }

    void close_peer(size_t i) { peers_[i] = Fd(); }

    /// Sends until the socket accepts no more.
    void fill(size_t i) {
        const std::string much(1 << 16, 'x');
        while (send_vec((*this)[i], IoVec(much)).state ==
               IoResult::State::Done) {
        }
    }

private:
    std::vector<Fd> sockets_;
    std::vector<Fd> peers_;
};

IoVec pieces_of(const std::vector<std::string_view>& parts) {
    IoVec pieces;
    for (std::string_view part : parts) pieces.add(part);
    return pieces;
}

/// Runs the test case once for each method, with a SendBatch of this name.
#define WITH_EITHER_METHOD(batch) \
    bool uring_##batch = false; \
    SUBCASE("by send()") { uring_##batch = false; } \
    SUBCASE("by io_uring, where it is permitted") { uring_##batch = true; } \
    SendBatch batch(uring_##batch)

#ifdef WSCHAT_URING

/// Puts another file in the place of the newest io_uring of this process, so
/// that the kernel refuses its next call.
void replace_ring() {
    int ring = -1;
    for (int fd = 0; fd < 256; ++fd) {
        char target[64] = {};
        const std::string link = "/proc/self/fd/" + std::to_string(fd);
        if (readlink(link.c_str(), target, sizeof target - 1) > 0 &&
            std::string(target).find("io_uring") != std::string::npos)
            ring = fd;
    }
    REQUIRE(ring >= 0);
    const Fd null(open("/dev/null", O_RDWR));
    REQUIRE(dup2(null.get(), ring) == ring);
}

#endif

}  // namespace

TEST_CASE("each socket is sent its own bytes, however many sockets there are") {
    WITH_EITHER_METHOD(batch);
    for (size_t count : {size_t{1}, size_t{2}, size_t{7}, SendBatch::kBatch,
                         SendBatch::kBatch + 1, 2 * SendBatch::kBatch + 5}) {
        CAPTURE(count);
        Sockets sockets(count);
        std::vector<std::string> texts;
        std::vector<IoVec> pieces;
        std::vector<SendRequest> all;
        for (size_t i = 0; i < count; ++i)
            texts.push_back("for " + std::to_string(i));
        for (const std::string& text : texts) pieces.emplace_back(text);
        for (size_t i = 0; i < count; ++i)
            all.push_back({sockets[i], &pieces[i]});
        batch.write(all);
        for (size_t i = 0; i < count; ++i) {
            CHECK(all[i].result.state == IoResult::State::Done);
            CHECK(all[i].result.size == texts[i].size());
            CHECK(sockets.received(i) == texts[i]);
        }
    }
}

TEST_CASE("an empty batch sends nothing, and the next one is sent") {
    WITH_EITHER_METHOD(batch);
    Sockets sockets(1);
    std::vector<SendRequest> all;
    batch.write(all);
    CHECK(sockets.received(0) == "");
    const IoVec one(std::string_view("one"));
    all.push_back({sockets[0], &one});
    batch.write(all);
    CHECK(sockets.received(0) == "one");
}

TEST_CASE("bytes from several places arrive in their order") {
    WITH_EITHER_METHOD(batch);
    Sockets sockets(10);
    const IoVec pieces = pieces_of({"one ", "two ", "three"});
    std::vector<SendRequest> all;
    for (size_t i = 0; i < 10; ++i) all.push_back({sockets[i], &pieces});
    batch.write(all);
    for (size_t i = 0; i < 10; ++i) {
        CHECK(all[i].result.size == pieces.size);
        CHECK(sockets.received(i) == "one two three");
    }
}

TEST_CASE("a full socket does not delay the others") {
    WITH_EITHER_METHOD(batch);
    Sockets sockets(12);
    sockets.fill(3);
    const std::string much(8 << 20, 'm');
    const IoVec large(much);
    const IoVec small(std::string_view("small"));
    std::vector<SendRequest> all;
    for (size_t i = 0; i < 12; ++i)
        all.push_back({sockets[i], i == 5 ? &large : &small});
    batch.write(all);
    for (size_t i = 0; i < 12; ++i) {
        CAPTURE(i);
        const IoResult& result = all[i].result;
        if (i == 3) {
            CHECK(result.state == IoResult::State::Blocked);
            CHECK(result.size == 0);
        } else {
            CHECK(result.state == IoResult::State::Done);
            const std::string received = sockets.received(i);
            CHECK(result.size == received.size());
            if (i == 5)
                CHECK((received.size() > 0 && received.size() < much.size()));
            else
                CHECK(received == "small");
        }
    }
}

// The largest message and the header of its frame are more than one system call
// sends, and more than an int holds.
TEST_CASE("the largest frame is sent in parts") {
    WITH_EITHER_METHOD(batch);
    constexpr size_t kSize = (size_t{2} << 30) + 10;
    // Pages that are only read take no memory.
    constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void* const zeros = mmap(nullptr, kSize, PROT_READ, kFlags, -1, 0);
    REQUIRE(zeros != MAP_FAILED);
    const std::string_view bytes(static_cast<char*>(zeros), kSize);
    const IoVec frame(bytes);
    const IoVec frames = pieces_of({"one", bytes, bytes});
    Sockets sockets(4);
    std::vector<SendRequest> all;
    for (size_t i = 0; i < 4; ++i)
        all.push_back({sockets[i], i < 2 ? &frame : &frames});
    batch.write(all);
    for (size_t i = 0; i < 4; ++i) {
        CHECK(all[i].result.state == IoResult::State::Done);
        CHECK(all[i].result.size > 10);
        CHECK(all[i].result.size == sockets.received(i).size());
    }
    munmap(zeros, kSize);
}

TEST_CASE("a closed connection is reported without SIGPIPE") {
    WITH_EITHER_METHOD(batch);
    Sockets sockets(9);
    sockets.close_peer(2);
    sockets.close_peer(8);
    const IoVec one(std::string_view("Hello"));
    const IoVec three = pieces_of({"Hel", "l", "o"});
    std::vector<SendRequest> all;
    for (size_t i = 0; i < 9; ++i)
        all.push_back({sockets[i], i == 8 ? &three : &one});
    batch.write(all);
    for (size_t i = 0; i < 9; ++i) {
        CAPTURE(i);
        if (i == 2 || i == 8) {
            CHECK(all[i].result.state == IoResult::State::Failed);
            CHECK(all[i].result.error == "Broken pipe");
        } else {
            CHECK(sockets.received(i) == "Hello");
        }
    }
}

#ifdef WSCHAT_URING

// Regression: method() went on to say io_uring.
TEST_CASE("after io_uring has failed, the method is send() and its reason") {
    SendBatch batch(true);
    if (batch.method() != "io_uring") return;
    replace_ring();
    Sockets sockets(5);
    const IoVec one(std::string_view("one"));
    std::vector<SendRequest> all;
    for (size_t i = 0; i < 5; ++i) all.push_back({sockets[i], &one});
    batch.write(all);
    for (size_t i = 0; i < 5; ++i) CHECK(sockets.received(i) == "one");
    CHECK(batch.method().rfind("send(): io_uring: ", 0) == 0);
    CHECK(batch.method().size() > std::string("send(): io_uring: ").size());
}

#endif

TEST_CASE("the method in use has a name for the log") {
    CHECK(SendBatch(false).method() == "send()");
#ifdef WSCHAT_URING
    io_uring ring;
    const int refusal = io_uring_queue_init(1, &ring, 0);
    if (refusal == 0) {
        io_uring_queue_exit(&ring);
        CHECK(SendBatch(true).method() == "io_uring");
    } else {
        CHECK(SendBatch(true).method().rfind("send(): io_uring: ", 0) == 0);
    }
#else
    CHECK(SendBatch(true).method() == "send(): built without io_uring");
#endif
}
