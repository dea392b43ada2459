#include "net/signals.h"

#include <chrono>
#include <cstring>
#include <initializer_list>

namespace wschat {

namespace {

constexpr std::chrono::milliseconds kDeliveryInterval(10);

// Handlers only write these. Stops are counted because a second one ends the
// daemon at once.
volatile sig_atomic_t stop_signals = 0;
volatile sig_atomic_t reload_signals = 0;

extern "C" void on_stop_signal(int) { stop_signals = stop_signals + 1; }
extern "C" void on_reload_signal(int) { reload_signals = 1; }

}  // namespace

Signals::Signals() {
    for (int ignored : {SIGPIPE, SIGUSR1, SIGUSR2}) signal(ignored, SIG_IGN);
    sigset_t handled;
    sigemptyset(&handled);
    struct sigaction action;
    std::memset(&action, 0, sizeof action);
    for (int number : {SIGTERM, SIGINT, SIGHUP}) {
        action.sa_handler =
            number == SIGHUP ? on_reload_signal : on_stop_signal;
        sigaction(number, &action, nullptr);
        sigaddset(&handled, number);
    }
    sigprocmask(SIG_BLOCK, &handled, &wait_mask_);
    // The process may have been started with them blocked.
    for (int number : {SIGTERM, SIGINT, SIGHUP}) sigdelset(&wait_mask_, number);
}

/// ppoll() delivers a signal only if it has to wait. While a descriptor is
/// ready at each call, as under high load, the daemon could not be stopped. So
/// the signals are unblocked for a moment here, but not in each turn, because
/// that takes two system calls.
void Signals::deliver_pending(Time now) {
    if (now < next_delivery_) return;
    sigset_t blocked;
    sigprocmask(SIG_SETMASK, &wait_mask_, &blocked);
    sigprocmask(SIG_SETMASK, &blocked, nullptr);
    next_delivery_ = now + kDeliveryInterval;
}

int Signals::stop_count() const { return stop_signals; }

bool Signals::take_reload() {
    const bool delivered = reload_signals;
    reload_signals = 0;
    return delivered;
}

}  // namespace wschat
