// The signals that the daemon heeds: SIGTERM and SIGINT to stop, SIGHUP to load
// its files anew. SIGPIPE, SIGUSR1 and SIGUSR2 are ignored.
#pragma once

#include <signal.h>

#include <chrono>

namespace wschat {

/// They are blocked but for the time asleep in ppoll(), so that none comes
/// between a look and the sleep. One process has at most one of these.
class Signals {
public:
    using Time = std::chrono::steady_clock::time_point;

    Signals();

    /// The mask for ppoll().
    const sigset_t& while_asleep() const { return while_asleep_; }

    /// Lets through what came while the loop was too busy to sleep. To be
    /// called in each turn.
    void look(Time now);

    /// How many have asked to stop so far.
    int stops() const;

    /// Whether SIGHUP came since this was last called.
    bool take_reload();

private:
    sigset_t while_asleep_;
    Time next_look_{};
};

}  // namespace wschat
