#include "net/signals.h"

#include <cstring>
#include <initializer_list>

namespace wschat {

namespace {

constexpr std::chrono::milliseconds kLookInterval(10);

volatile sig_atomic_t stop_signals = 0;
volatile sig_atomic_t reload_signals = 0;

extern "C" void on_stop_signal(int) { stop_signals = stop_signals + 1; }
extern "C" void on_reload_signal(int) { reload_signals = 1; }

}  // namespace

Signals::Signals() {
    for (int ignored : {SIGPIPE, SIGUSR1, SIGUSR2}) signal(ignored, SIG_IGN);
    sigset_t heeded;
    sigemptyset(&heeded);
    struct sigaction action;
    std::memset(&action, 0, sizeof action);
    for (int number : {SIGTERM, SIGINT, SIGHUP}) {
        action.sa_handler =
            number == SIGHUP ? on_reload_signal : on_stop_signal;
        sigaction(number, &action, nullptr);
        sigaddset(&heeded, number);
    }
    sigprocmask(SIG_BLOCK, &heeded, &while_asleep_);
    for (int number : {SIGTERM, SIGINT, SIGHUP})
        sigdelset(&while_asleep_, number);
}

// ppoll() lets no signal through while it always finds something ready.
void Signals::look(Time now) {
    if (now < next_look_) return;
    sigset_t blocked;
    sigprocmask(SIG_SETMASK, &while_asleep_, &blocked);
    sigprocmask(SIG_SETMASK, &blocked, nullptr);
    next_look_ = now + kLookInterval;
}

int Signals::stops() const { return stop_signals; }

bool Signals::take_reload() {
    const bool came = reload_signals;
    reload_signals = 0;
    return came;
}

}  // namespace wschat
