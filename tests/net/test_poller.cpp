#include "net/poller.h"

#include <algorithm>
#include <memory>
#include <vector>

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/socket.h"

using namespace wschat;

namespace {

using Time = Poller::Time;

/// A socket pair: the poller looks at one end, the test writes to the other.
struct Pair {
    Pair() {
        int fds[2] = {-1, -1};
        REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
        watched = Fd(fds[0]);
        other = Fd(fds[1]);
    }

    void wake() const { REQUIRE(write(other.get(), "x", 1) == 1); }

    void calm() const {
        char c;
        while (read(watched.get(), &c, 1) == 1) {
        }
    }

    Fd watched;
    Fd other;
};

/// Some pairs, and a poller that looks at them in their order.
class Crowd {
public:
    explicit Crowd(size_t size) : pairs(size) {
        for (const Pair& pair : pairs) poller.add(pair.watched.get(), POLLIN);
        sigprocmask(SIG_SETMASK, nullptr, &mask);
    }

    /// What is found ready, in order. Waits until something is.
    std::vector<size_t> wait() {
        std::vector<size_t> ready;
        while (ready.empty()) {
            poller.wait(Time::max(), mask);
            ready = poller.ready();
        }
        std::sort(ready.begin(), ready.end());
        return ready;
    }

    /// Nothing is ready, nor was anything while all were asked.
    void settle() {
        for (int i = 0; i < 3; ++i) look();
        CHECK(poller.ready().empty());
    }

    /// Asks without sleeping.
    void look() { poller.wait(Time::min(), mask); }

    std::vector<Pair> pairs;
    Poller poller;
    sigset_t mask;
};

const size_t kSizes[] = {1, 10, Poller::kFew, Poller::kFew + 1, 450};

}  // namespace

TEST_CASE("whoever has something is found, be they few or many") {
    for (size_t size : kSizes) {
        CAPTURE(size);
        Crowd crowd(size);
        crowd.settle();
        for (size_t i : {size_t{0}, size / 2, size - 1}) {
            crowd.pairs[i].wake();
            CHECK(crowd.wait() == std::vector<size_t>{i});
            CHECK(crowd.poller.happened(i) == POLLIN);
            crowd.pairs[i].calm();
        }
    }
}

TEST_CASE("a busy descriptor does not hide one that wakes up") {
    for (size_t size : kSizes) {
        if (size < 2) continue;
        CAPTURE(size);
        Crowd crowd(size);
        crowd.settle();
        crowd.pairs[0].wake();  // and it stays so
        CHECK(crowd.wait() == std::vector<size_t>{0});
        crowd.pairs[size - 1].wake();
        std::vector<size_t> ready;
        while (ready.size() < 2) ready = crowd.wait();
        CHECK(ready == std::vector<size_t>{0, size - 1});
    }
}

TEST_CASE("what happened is forgotten at the next look") {
    for (size_t size : kSizes) {
        Crowd crowd(size);
        crowd.pairs[0].wake();
        crowd.wait();
        crowd.pairs[0].calm();
        crowd.settle();
        CHECK(crowd.poller.happened(0) == 0);
    }
}

TEST_CASE("the last entry takes the place of one that is removed") {
    for (size_t size : kSizes) {
        if (size < 3) continue;
        CAPTURE(size);
        Crowd crowd(size);
        crowd.pairs[size - 1].wake();
        crowd.wait();
        crowd.poller.remove(1);
        CHECK(crowd.poller.size() == size - 1);
        CHECK(crowd.wait() == std::vector<size_t>{1});
        crowd.pairs[size - 1].calm();
        crowd.pairs[1].wake();  // is not looked at any more
        crowd.settle();
        crowd.pairs[0].wake();
        CHECK(crowd.wait() == std::vector<size_t>{0});
    }
}

TEST_CASE("all can be removed, busy ones too") {
    Crowd crowd(400);
    for (const Pair& pair : crowd.pairs) pair.wake();
    CHECK(crowd.wait().size() == 400);
    while (crowd.poller.size() > 0)
        crowd.poller.remove(crowd.poller.size() / 2);
    crowd.look();
    CHECK(crowd.poller.ready().empty());
}

TEST_CASE("what to wait for can be changed, for busy ones as for others") {
    for (size_t size : kSizes) {
        CAPTURE(size);
        Crowd crowd(size);
        crowd.pairs[0].wake();
        crowd.wait();
        crowd.poller.watch(0, 0);
        crowd.settle();
        crowd.poller.watch(0, POLLIN | POLLOUT);
        CHECK(crowd.wait() == std::vector<size_t>{0});
        CHECK(crowd.poller.happened(0) == (POLLIN | POLLOUT));
    }
}

TEST_CASE("who is at rest is found all the same") {
    for (size_t size : kSizes) {
        CAPTURE(size);
        Crowd crowd(size);
        crowd.pairs[0].wake();
        crowd.wait();
        crowd.poller.rest(0);         // it was busy
        crowd.poller.rest(size - 1);  // it was not
        CHECK(crowd.poller.happened(0) == POLLIN);
        CHECK(crowd.wait() == std::vector<size_t>{0});
        crowd.pairs[0].calm();
        crowd.pairs[size - 1].wake();
        CHECK(crowd.wait() == std::vector<size_t>{size - 1});
        crowd.poller.rest(size - 1);
        crowd.poller.remove(size - 1);
        crowd.settle();
    }
}

TEST_CASE("a muted entry is silent") {
    for (size_t size : kSizes) {
        Crowd crowd(size);
        crowd.pairs[0].wake();
        crowd.wait();
        crowd.poller.mute(0);
        crowd.settle();
        CHECK(crowd.poller.size() == size);
    }
}

TEST_CASE("a time long past does not sleep") {
    Crowd crowd(1);
    crowd.poller.wait(Time::min(), crowd.mask);
    crowd.poller.wait(Time(), crowd.mask);
    CHECK(crowd.poller.ready().empty());
}

TEST_CASE("the time to wait until is kept") {
    for (size_t size : kSizes) {
        Crowd crowd(size);
        const Time until = Poller::Clock::now() + std::chrono::milliseconds(5);
        while (Poller::Clock::now() < until)
            crowd.poller.wait(until, crowd.mask);
        CHECK(crowd.poller.ready().empty());
    }
}
