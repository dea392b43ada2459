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
        while (send_pieces((*this)[i], Pieces(much)).state ==
               Transfer::State::Done) {
        }
    }

private:
    std::vector<Fd> sockets_;
    std::vector<Fd> peers_;
};

Pieces pieces_of(const std::vector<std::string_view>& parts) {
    Pieces pieces;
    for (std::string_view part : parts) pieces.add(part);
    return pieces;
}

/// Runs the rest of a test case for either way to write.
#define IN_EITHER_WAY(outflow) \
    bool uring_##outflow = false; \
    SUBCASE("by send()") { uring_##outflow = false; } \
    SUBCASE("by io_uring, where it is permitted") { uring_##outflow = true; } \
    Outflow outflow(uring_##outflow)

}  // namespace

TEST_CASE("everyone gets what is meant for them, however many they are") {
    IN_EITHER_WAY(outflow);
    for (size_t count : {size_t{1}, size_t{2}, size_t{7}, Outflow::kBatch,
                         Outflow::kBatch + 1, 2 * Outflow::kBatch + 5}) {
        CAPTURE(count);
        Sockets sockets(count);
        std::vector<std::string> texts;
        std::vector<Pieces> pieces;
        std::vector<Outgoing> all;
        for (size_t i = 0; i < count; ++i)
            texts.push_back("for " + std::to_string(i));
        for (const std::string& text : texts) pieces.emplace_back(text);
        for (size_t i = 0; i < count; ++i)
            all.push_back({sockets[i], &pieces[i]});
        outflow.write(all);
        for (size_t i = 0; i < count; ++i) {
            CHECK(all[i].result.state == Transfer::State::Done);
            CHECK(all[i].result.size == texts[i].size());
            CHECK(sockets.heard(i) == texts[i]);
        }
    }
}

TEST_CASE("nothing to write is nothing to do") {
    IN_EITHER_WAY(outflow);
    std::vector<Outgoing> none;
    outflow.write(none);
    CHECK(none.empty());
}

TEST_CASE("bytes from several places arrive in their order") {
    IN_EITHER_WAY(outflow);
    Sockets sockets(10);
    const Pieces pieces = pieces_of({"one ", "two ", "three"});
    std::vector<Outgoing> all;
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
    const Pieces large(much);
    const Pieces small(std::string_view("small"));
    std::vector<Outgoing> all;
    for (size_t i = 0; i < 12; ++i)
        all.push_back({sockets[i], i == 5 ? &large : &small});
    outflow.write(all);
    for (size_t i = 0; i < 12; ++i) {
        CAPTURE(i);
        const Transfer& result = all[i].result;
        if (i == 3) {
            CHECK(result.state == Transfer::State::Blocked);
            CHECK(result.size == 0);
        } else {
            CHECK(result.state == Transfer::State::Done);
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
    const Pieces one(std::string_view("anybody?"));
    const Pieces three = pieces_of({"any", "body", "?"});
    std::vector<Outgoing> all;
    for (size_t i = 0; i < 9; ++i)
        all.push_back({sockets[i], i == 8 ? &three : &one});
    outflow.write(all);
    for (size_t i = 0; i < 9; ++i) {
        CAPTURE(i);
        if (i == 2 || i == 8) {
            CHECK(all[i].result.state == Transfer::State::Failed);
            CHECK(all[i].result.error == "Broken pipe");
        } else {
            CHECK(sockets.heard(i) == "anybody?");
        }
    }
}

TEST_CASE("it says in which way it writes") {
    CHECK(Outflow(false).way() == "send()");
#ifdef WSCHAT_URING
    io_uring ring;
    const int refusal = io_uring_queue_init(1, &ring, 0);
    if (refusal == 0) {
        io_uring_queue_exit(&ring);
        CHECK(Outflow(true).way() == "io_uring");
    } else {
        CHECK(Outflow(true).way().rfind("send(): io_uring: ", 0) == 0);
    }
#else
    CHECK(Outflow(true).way() == "send(): built without io_uring");
#endif
}
