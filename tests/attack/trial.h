// Runs one attack: starts the daemon and the honest clients, lets them work
// undisturbed for a while, then together with the attacker, and measures both.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "attacks.h"

namespace wschat::attack {

struct TrialConfig {
    Seconds duration{5};  // of the attack; the time before it is shorter
    Strength strength;
    std::vector<std::string> daemon_options;
};

struct Latency {
    double p50 = 0;  // milliseconds
    double p99 = 0;
};

struct Result {
    Latency undisturbed;
    Latency attacked;
    size_t dropped = 0;        // honest clients
    size_t lost = 0;           // deliveries to the others
    double peak_memory = 0;    // MiB
    double cpu_percent = 0;    // of the daemon during the attack
    uint64_t connections = 0;  // of the attacker
    double sent = 0;           // by the attacker, in kB
    double received = 0;       // by the attacker, in kB

    /// Milliseconds until a client that came during the attack had joined, up
    /// to 20 ms too many; none if it had not at the end.
    std::optional<double> joined_after;
    std::optional<bool> can_resume;  // if the attack checks it

    std::string first_loss;  // line of the daemon's log about an honest client
    std::string failure;     // what else went wrong; empty if nothing did
};

/// Throws std::runtime_error if the daemon does not start, or if the honest
/// clients can't join before the attack.
Result run_trial(const Attack& attack, const TrialConfig& config);

}  // namespace wschat::attack
