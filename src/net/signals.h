// The signals that the daemon handles: SIGTERM and SIGINT stop it, SIGHUP
// reloads its files. SIGPIPE, SIGUSR1 and SIGUSR2 are ignored. Only notes which
// signals were delivered; the server acts on them.
#pragma once

#include <signal.h>

#include "util/clock.h"

namespace wschat {

/// Blocks the handled signals except while the loop sleeps in ppoll(), and for
/// a moment in deliver_pending(). Otherwise one could arrive after the loop has
/// asked for it and before it sleeps, and would be noticed only when something
/// else wakes the loop. SIGTERM and SIGINT are counted, SIGHUP sets a flag. A
/// process has at most one object of this class, because handlers belong to the
/// process.
class Signals {
public:
    /// Installs the handlers and blocks the handled signals.
    Signals();

    /// Returns the mask for ppoll(), in which they are not blocked.
    const sigset_t& wait_mask() const { return wait_mask_; }

    /// Delivers the signals that are pending, at most every 10 ms. The loop
    /// calls it in each turn.
    void deliver_pending(Time now);

    /// Returns the number of SIGTERM and SIGINT that were delivered.
    int stop_count() const;

    /// Returns true if SIGHUP was delivered since the last call.
    bool take_reload();

private:
    sigset_t wait_mask_;
    Time next_delivery_{};
};

}  // namespace wschat
