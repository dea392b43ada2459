// An attack in a process of its own, so that it does not delay the clients that
// measure.
#pragma once

#include <sys/types.h>

#include "attacks.h"

namespace wschat::attack {

/// The destructor kills the process.
class AttackProcess {
public:
    AttackProcess(const Attack& attack, const Target& target,
                  const Strength& strength);
    ~AttackProcess();
    AttackProcess(const AttackProcess&) = delete;
    AttackProcess& operator=(const AttackProcess&) = delete;

    const Counters& counters() const { return *counters_; }

    /// Kills the process. Returns false if it has ended before, by an error
    /// that it has printed.
    bool stop();

private:
    Counters* counters_;  // in memory that both processes share
    pid_t pid_ = -1;
};

}  // namespace wschat::attack
