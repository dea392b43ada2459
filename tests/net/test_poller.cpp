#include "net/poller.h"

#include <algorithm>
#include <memory>
#include <set>
#include <vector>

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/socket.h"

using namespace wschat;

namespace {

constexpr uint32_t kOwner = 7;

/// A socket pair: the poller waits for one end, the test writes to the other.
struct Pair {
    Pair() {
        int fds[2] = {-1, -1};
        REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
        polled = Fd(fds[0]);
        other = Fd(fds[1]);
    }

    void make_readable() const { REQUIRE(write(other.get(), "x", 1) == 1); }

    void drain() const {
        char c;
        while (read(polled.get(), &c, 1) == 1) {
        }
    }

    Fd polled;
    Fd other;
};

/// Some pairs, and a poller that waits for all of them.
class PolledPairs {
public:
    explicit PolledPairs(size_t size) : pairs(size) {
        for (size_t i = 0; i < size; ++i) add(i);
        sigprocmask(SIG_SETMASK, nullptr, &mask);
    }

    void add(size_t i) {
        handles.resize(pairs.size());
        handles[i] = poller.add(pairs[i].polled.get(), POLLIN,
                                {kOwner, static_cast<uint32_t>(i)});
    }

    void remove(size_t i) { poller.remove(handles[i]); }

    /// Waits until a pair is ready. Returns the ready pairs, in order.
    std::vector<size_t> wait() {
        do poller.wait(Time::max(), mask);
        while (poller.events().empty());
        std::vector<size_t> ready;
        for (const Poller::Event& event : poller.events()) {
            CHECK(event.token.owner() == kOwner);
            CHECK(event.events != 0);
            ready.push_back(event.token.id());
        }
        std::sort(ready.begin(), ready.end());
        return ready;
    }

    /// Returns the events of a pair in the last wait; 0 if none.
    short events_of(size_t i) const {
        for (const Poller::Event& event : poller.events())
            if (event.token.id() == i) return event.events;
        return 0;
    }

    /// Checks that no pair is ready, polled or parked.
    void check_idle() {
        for (int i = 0; i < 3; ++i) {
            poll_now();
            CHECK(poller.events().empty());
        }
    }

    void poll_now() { poller.wait(Time::min(), mask); }

    /// Waits until all are parked.
    void park_all() {
        for (int i = 0; i < 2 * Poller::kPatience; ++i) poll_now();
        REQUIRE(poller.polled() == 0);
    }

    std::vector<Pair> pairs;
    std::vector<Poller::Handle> handles;
    Poller poller;
    sigset_t mask;
};

const size_t kSizes[] = {1, 10, 450};

}  // namespace

TEST_CASE("a descriptor that becomes readable is reported, among few or many") {
    for (size_t size : kSizes) {
        CAPTURE(size);
        PolledPairs polled(size);
        polled.check_idle();
        for (size_t i : {size_t{0}, size / 2, size - 1}) {
            polled.pairs[i].make_readable();
            CHECK(polled.wait() == std::vector<size_t>{i});
            CHECK(polled.events_of(i) == POLLIN);
            polled.pairs[i].drain();
        }
    }
}

TEST_CASE("a busy descriptor does not hide a parked one that becomes ready") {
    for (size_t size : {size_t{2}, size_t{450}}) {
        CAPTURE(size);
        PolledPairs polled(size);
        polled.park_all();
        polled.pairs[0].make_readable();  // and it stays readable
        CHECK(polled.wait() == std::vector<size_t>{0});
        polled.pairs[size - 1].make_readable();
        CHECK(polled.wait() == std::vector<size_t>{0, size - 1});
    }
}

TEST_CASE("only the descriptors where something happens stay polled") {
    PolledPairs polled(450);
    CHECK(polled.poller.polled() == 450);
    polled.pairs[7].make_readable();
    for (int i = 0; i < 2 * Poller::kPatience; ++i) polled.wait();
    CHECK(polled.poller.polled() == 1);
    polled.pairs[7].drain();
    polled.park_all();
}

TEST_CASE("a parked descriptor that is ready is reported at once and polled") {
    PolledPairs polled(450);
    for (int round = 0; round < 3; ++round) {
        polled.park_all();
        polled.pairs[449].make_readable();
        polled.poll_now();
        CHECK(polled.poller.events().size() == 1);
        CHECK(polled.events_of(449) == POLLIN);
        CHECK(polled.poller.polled() == 1);
        polled.poll_now();
        CHECK(polled.events_of(449) == POLLIN);
        polled.pairs[449].drain();
        polled.poll_now();
        CHECK(polled.poller.events().empty());
    }
}

TEST_CASE("a descriptor that is ready when it is parked is not missed") {
    PolledPairs polled(2);
    for (int i = 1; i < 2 * Poller::kPatience; ++i) {
        if (polled.poller.polled() == 0) break;
        polled.poll_now();
    }
    polled.pairs[1].make_readable();
    CHECK(polled.wait() == std::vector<size_t>{1});
}

TEST_CASE("the end of a parked connection is reported") {
    PolledPairs polled(3);
    polled.park_all();
    polled.pairs[1].other = Fd();
    CHECK(polled.wait() == std::vector<size_t>{1});
    CHECK(polled.events_of(1) == (POLLIN | POLLHUP));
}

TEST_CASE("more parked descriptors than one call reports all arrive") {
    PolledPairs polled(1500);
    polled.park_all();
    for (const Pair& pair : polled.pairs) pair.make_readable();
    std::set<size_t> found;
    for (int i = 0; i < 3; ++i)
        for (size_t at : polled.wait()) found.insert(at);
    CHECK(found.size() == 1500);
}

TEST_CASE("a parked descriptor that is removed is not taken for the next one") {
    for (bool is_copied : {false, true}) {
        CAPTURE(is_copied);
        PolledPairs polled(2);
        polled.park_all();
        // A copy, which a child process may hold, keeps the old one open.
        const Fd copy(is_copied ? dup(polled.pairs[0].polled.get()) : -1);
        const Poller::Handle handle = polled.handles[0];
        const int number = polled.pairs[0].polled.get();
        polled.remove(0);
        Pair old = std::move(polled.pairs[0]);
        old.polled = Fd();
        polled.pairs[0] = Pair();
        CHECK(polled.pairs[0].polled.get() == number);
        polled.add(0);
        CHECK(polled.handles[0] == handle);
        polled.park_all();
        if (is_copied) old.make_readable();
        polled.check_idle();
        polled.pairs[0].make_readable();
        CHECK(polled.wait() == std::vector<size_t>{0});
    }
}

TEST_CASE("events are forgotten at the next wait") {
    for (size_t size : kSizes) {
        PolledPairs polled(size);
        polled.pairs[0].make_readable();
        polled.wait();
        polled.pairs[0].drain();
        polled.check_idle();
        CHECK(polled.events_of(0) == 0);
    }
}

TEST_CASE("a removed descriptor is not polled, and the others keep their ids") {
    for (size_t size : kSizes) {
        if (size < 3) continue;
        CAPTURE(size);
        PolledPairs polled(size);
        polled.pairs[size - 1].make_readable();
        polled.wait();
        polled.remove(1);
        CHECK(polled.wait() == std::vector<size_t>{size - 1});
        polled.pairs[size - 1].drain();
        polled.pairs[1].make_readable();
        polled.check_idle();
        polled.pairs[0].make_readable();
        CHECK(polled.wait() == std::vector<size_t>{0});
    }
}

TEST_CASE("all descriptors can be removed, ready ones too, and added again") {
    PolledPairs polled(400);
    for (const Pair& pair : polled.pairs) pair.make_readable();
    CHECK(polled.wait().size() == 400);
    for (size_t i = 0; i < 400; i += 2) polled.remove(i);
    for (size_t i = 399; i < 400; i -= 2) polled.remove(i);
    polled.poll_now();
    CHECK(polled.poller.events().empty());
    for (size_t i = 0; i < 400; ++i) polled.add(i);
    std::set<size_t> found;
    while (found.size() < 400)
        for (size_t i : polled.wait()) found.insert(i);
}

TEST_CASE("a handle that is used again belongs to the new descriptor alone") {
    for (size_t size : kSizes) {
        if (size < 2) continue;
        PolledPairs polled(size);
        polled.pairs[0].make_readable();
        polled.wait();
        const Poller::Handle handle = polled.handles[0];
        polled.remove(0);
        polled.pairs[0].drain();
        polled.add(0);
        CHECK(polled.handles[0] == handle);
        polled.check_idle();
        polled.poller.watch(polled.handles[0], POLLOUT);
        CHECK(polled.wait() == std::vector<size_t>{0});
        CHECK(polled.events_of(0) == POLLOUT);
    }
}

TEST_CASE("the events to wait for can be changed") {
    for (size_t size : kSizes) {
        CAPTURE(size);
        PolledPairs polled(size);
        polled.pairs[0].make_readable();
        polled.wait();
        polled.poller.watch(polled.handles[0], 0);
        polled.check_idle();
        polled.poller.watch(polled.handles[0], POLLIN | POLLOUT);
        CHECK(polled.wait() == std::vector<size_t>{0});
        CHECK(polled.events_of(0) == (POLLIN | POLLOUT));
    }
}

TEST_CASE("a descriptor watched for nothing reports no hang-up either") {
    for (size_t size : kSizes) {
        for (bool is_parked : {true, false}) {
            CAPTURE(size);
            CAPTURE(is_parked);
            PolledPairs polled(size);
            Pair& pair = polled.pairs[size / 2];
            if (is_parked) polled.park_all();
            polled.poller.watch(polled.handles[size / 2], 0);
            pair.make_readable();
            pair.other = Fd();
            polled.check_idle();
            // Twice is the same as once.
            polled.poller.watch(polled.handles[size / 2], 0);
            polled.check_idle();
            polled.poller.watch(polled.handles[size / 2], POLLIN);
            CHECK(polled.wait() == std::vector<size_t>{size / 2});
            CHECK(polled.events_of(size / 2) == (POLLIN | POLLHUP));
        }
    }
}

TEST_CASE("the events to wait for can be changed for a parked descriptor") {
    PolledPairs polled(3);
    polled.park_all();
    polled.poller.watch(polled.handles[1], POLLIN | POLLOUT);
    CHECK(polled.wait() == std::vector<size_t>{1});
    CHECK(polled.events_of(1) == POLLOUT);
    polled.poller.watch(polled.handles[1], POLLIN);
    polled.park_all();
    polled.pairs[1].make_readable();
    CHECK(polled.wait() == std::vector<size_t>{1});
    CHECK(polled.events_of(1) == POLLIN);
}

TEST_CASE("a descriptor watched for nothing can be removed") {
    for (size_t size : kSizes) {
        CAPTURE(size);
        PolledPairs polled(size);
        polled.poller.watch(polled.handles[0], 0);
        polled.remove(0);
        polled.pairs[0].make_readable();
        polled.check_idle();
        // Its handle is watched for what the new one asks.
        polled.add(0);
        CHECK(polled.wait() == std::vector<size_t>{0});
    }
}

TEST_CASE("a wait until a past time returns at once") {
    PolledPairs polled(1);
    polled.poller.wait(Time::min(), polled.mask);
    polled.poller.wait(Time(), polled.mask);
    CHECK(polled.poller.events().empty());
}

TEST_CASE("a wait lasts until the given time") {
    for (size_t size : kSizes) {
        PolledPairs polled(size);
        const Time until = Clock::now() + std::chrono::milliseconds(5);
        while (Clock::now() < until) polled.poller.wait(until, polled.mask);
        CHECK(polled.poller.events().empty());
    }
}
