#include <cerrno>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <sys/socket.h>

#include "net/send_batch.h"

#ifdef WSCHAT_URING
#include <liburing.h>
#endif

using namespace wschat;

namespace {

/// Sockets, each with the other end of its connection.
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

    /// All that has arrived at the other end.
    std::string heard(size_t i) {
        std::string all;
        std::string piece(1 << 16, '\0');
        ssize_t n;
        while ((n = recv(peers_[i].get(), piece.data(), piece.size(), 0)) > 0)
            all.append(piece, 0, static_cast<size_t>(n));
        return all;
    }

    void hang_up(size_t i) { peers_[i] = Fd(); }

    /// Until the socket takes no more.
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

/// Runs the rest of a test case for either way to write.
#define IN_EITHER_WAY(outflow) \
    bool uring_##outflow = false; \
    SUBCASE("by send()") { uring_##outflow = false; } \
    SUBCASE("by io_uring, where it is permitted") { uring_##outflow = true; } \
    SendBatch outflow(uring_##outflow)

}  // namespace

TEST_CASE("everyone gets what is meant for them, however many they are") {
    IN_EITHER_WAY(outflow);
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
        outflow.write(all);
        for (size_t i = 0; i < count; ++i) {
            CHECK(all[i].result.state == IoResult::State::Done);
            CHECK(all[i].result.size == texts[i].size());
            CHECK(sockets.heard(i) == texts[i]);
        }
    }
}

TEST_CASE("nothing to write is nothing to do") {
    IN_EITHER_WAY(outflow);
    std::vector<SendRequest> none;
    outflow.write(none);
    CHECK(none.empty());
}

TEST_CASE("bytes from several places arrive in their order") {
    IN_EITHER_WAY(outflow);
    Sockets sockets(10);
    const IoVec pieces = pieces_of({"one ", "two ", "three"});
    std::vector<SendRequest> all;
    for (size_t i = 0; i < 10; ++i) all.push_back({sockets[i], &pieces});
    outflow.write(all);
    for (size_t i = 0; i < 10; ++i) {
        CHECK(all[i].result.size == pieces.size);
        CHECK(sockets.heard(i) == "one two three");
    }
}

TEST_CASE("whoever takes only some, or nothing, holds nobody up") {
    IN_EITHER_WAY(outflow);
    Sockets sockets(12);
    sockets.fill(3);
    const std::string much(8 << 20, 'm');
    const IoVec large(much);
    const IoVec small(std::string_view("small"));
    std::vector<SendRequest> all;
    for (size_t i = 0; i < 12; ++i)
        all.push_back({sockets[i], i == 5 ? &large : &small});
    outflow.write(all);
    for (size_t i = 0; i < 12; ++i) {
        CAPTURE(i);
        const IoResult& result = all[i].result;
        if (i == 3) {
            CHECK(result.state == IoResult::State::Blocked);
            CHECK(result.size == 0);
        } else {
            CHECK(result.state == IoResult::State::Done);
            const std::string heard = sockets.heard(i);
            CHECK(result.size == heard.size());
            if (i == 5)
                CHECK((heard.size() > 0 && heard.size() < much.size()));
            else
                CHECK(heard == "small");
        }
    }
}

TEST_CASE("whoever is gone is told of, and no signal comes") {
    IN_EITHER_WAY(outflow);
    Sockets sockets(9);
    sockets.hang_up(2);
    sockets.hang_up(8);
    const IoVec one(std::string_view("anybody?"));
    const IoVec three = pieces_of({"any", "body", "?"});
    std::vector<SendRequest> all;
    for (size_t i = 0; i < 9; ++i)
        all.push_back({sockets[i], i == 8 ? &three : &one});
    outflow.write(all);
    for (size_t i = 0; i < 9; ++i) {
        CAPTURE(i);
        if (i == 2 || i == 8) {
            CHECK(all[i].result.state == IoResult::State::Failed);
            CHECK(all[i].result.error == "Broken pipe");
        } else {
            CHECK(sockets.heard(i) == "anybody?");
        }
    }
}

TEST_CASE("it says in which way it writes") {
    CHECK(SendBatch(false).way() == "send()");
#ifdef WSCHAT_URING
    io_uring ring;
    const int refusal = io_uring_queue_init(1, &ring, 0);
    if (refusal == 0) {
        io_uring_queue_exit(&ring);
        CHECK(SendBatch(true).way() == "io_uring");
    } else {
        CHECK(SendBatch(true).way().rfind("send(): io_uring: ", 0) == 0);
    }
#else
    CHECK(SendBatch(true).way() == "send(): built without io_uring");
#endif
}
