#include "trial.h"

#include <algorithm>

#include "attack_process.h"
#include "certificate.h"
#include "daemon_process.h"
#include "fixtures/key_file.h"
#include "honest_clients.h"
#include "single_client.h"

namespace wschat::attack {

namespace {

/// MiB that end the attack, so that a daemon without limits does not take the
/// memory of the whole machine.
constexpr double kTooMuchMemory = 2048;
constexpr std::chrono::milliseconds kMemoryCheckInterval{50};

/// How long deliveries may take when the attack is over.
constexpr std::chrono::seconds kDrainTimeout{3};

/// The time before the attack, in parts of its own.
constexpr double kUndisturbedShare = 0.6;

/// When the newcomer joins, in parts of the attack.
constexpr double kNewcomerAt = 0.6;

Latency latency_between(const std::vector<Delivery>& deliveries, Time begin,
                        Time end) {
    std::vector<double> sorted;
    for (const Delivery& one : deliveries)
        if (one.sent >= begin && one.sent < end)
            sorted.push_back(one.milliseconds);
    if (sorted.empty()) return {};
    std::sort(sorted.begin(), sorted.end());
    return {sorted[sorted.size() / 2], sorted[sorted.size() * 99 / 100]};
}

class Trial {
public:
    Trial(const Attack& attack, const TrialConfig& config)
        : attack_(attack),
          config_(config),
          daemon_(options(), kHonestAddresses),
          target_{daemon_.port(), attack.tls ? context_.get() : nullptr},
          honest_(target_) {}

    Result run() {
        if (attack_.checks_resuming) returner_.emplace(target_);
        const Time begin = Clock::now();
        work_until(begin + to_duration(config_.duration * kUndisturbedShare));
        const Time middle = Clock::now();
        run_attack();
        const Time end = Clock::now();
        finish();
        result_.undisturbed =
            latency_between(honest_.deliveries(), begin, middle);
        result_.attacked = latency_between(honest_.deliveries(), middle, end);
        return result_;
    }

private:
    std::vector<std::string> options() const;
    void run_attack();
    void note_attack(const Counters& counters);
    void finish();
    void work_until(Time end);

    const Attack& attack_;
    const TrialConfig& config_;
    Certificate certificate_;
    test::KeyFile keys_{kPublishKey};
    ClientTls context_{SSL_CTX_new(TLS_client_method())};
    DaemonProcess daemon_;
    Target target_;
    HonestClients honest_;
    std::optional<Newcomer> newcomer_;
    std::optional<Returner> returner_;
    Result result_;
    Time next_memory_check_;
};

/// Every path is a room, so that attackers can have rooms of their own.
/// Options that are given later replace earlier ones.
std::vector<std::string> Trial::options() const {
    std::vector<std::string> all = {"--rooms", "--announce=none"};
    for (std::string option : attack_.options) {
        const size_t at = option.find("{keys}");
        if (at != option.npos) option.replace(at, 6, keys_.path());
        all.push_back(option);
    }
    if (attack_.tls)
        for (const std::string& option : certificate_.options())
            all.push_back(option);
    all.insert(all.end(), config_.daemon_options.begin(),
               config_.daemon_options.end());
    return all;
}

/// Lets the honest clients work until `end`, or until the daemon has ended or
/// uses too much memory.
void Trial::work_until(Time end) {
    while (Clock::now() < end && result_.failure.empty()) {
        honest_.turn(end);
        daemon_.read_log();
        if (newcomer_) result_.joined_after = newcomer_->joined_after();
        if (!daemon_.is_running()) result_.failure = "the daemon has ended";
        if (Clock::now() < next_memory_check_) continue;
        next_memory_check_ = Clock::now() + kMemoryCheckInterval;
        if (daemon_.memory_now() > kTooMuchMemory)
            result_.failure = "the daemon takes the memory of the machine";
    }
}

void Trial::run_attack() {
    const double cpu_before = daemon_.cpu_seconds();
    const Time begin = Clock::now();
    AttackProcess attacker(attack_, target_, config_.strength);
    work_until(begin + to_duration(config_.duration * kNewcomerAt));
    newcomer_.emplace(target_);
    work_until(begin + to_duration(config_.duration));
    const Seconds passed = Clock::now() - begin;
    result_.cpu_percent =
        100 * (daemon_.cpu_seconds() - cpu_before) / passed.count();
    result_.peak_memory = daemon_.peak_memory();
    note_attack(attacker.counters());
    if (!attacker.stop()) result_.failure = "the attack could not go on";
}

void Trial::note_attack(const Counters& counters) {
    result_.connections = counters.opened;
    result_.sent = static_cast<double>(counters.sent) / 1e3;
    result_.received = static_cast<double>(counters.received) / 1e3;
}

/// Waits for what is missing, and notes what is missing still.
void Trial::finish() {
    honest_.stop();
    const Time limit = Clock::now() + kDrainTimeout;
    while ((!honest_.has_received_all() || !result_.joined_after) &&
           Clock::now() < limit && result_.failure.empty())
        work_until(std::min(limit, Clock::now() + HonestClients::kInterval));
    result_.lost = honest_.lost();
    result_.dropped = honest_.dropped();
    result_.first_loss = daemon_.first_loss();
    if (result_.failure.empty()) result_.failure = honest_.error();
    if (returner_ && result_.failure.empty())
        result_.can_resume = returner_->can_resume();
}

}  // namespace

Result run_trial(const Attack& attack, const TrialConfig& config) {
    return Trial(attack, config).run();
}

}  // namespace wschat::attack
