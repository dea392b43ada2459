#include "attack_process.h"

#include <climits>
#include <csignal>
#include <cstdio>
#include <exception>
#include <new>
#include <stdexcept>

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace wschat::attack {

namespace {

/// On a small machine the attacker must not take the processor from the clients
/// that measure.
constexpr int kNice = 5;

[[noreturn]] void run_attack(const Attack& attack, Target target,
                             const Strength& strength, Counters& counters) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + kNice);
    // The connections of the honest clients must end with the parent's.
    close_range(3, UINT_MAX, 0);
    try {
        const ClientTls context(SSL_CTX_new(TLS_client_method()));
        if (target.tls) target.tls = context.get();
        Attacker attacker(target, strength, counters);
        attack.run(attacker);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "attack: %s: %s\n", attack.name, error.what());
    }
    _exit(1);
}

}  // namespace

AttackProcess::AttackProcess(const Attack& attack, const Target& target,
                             const Strength& strength) {
    void* const shared = mmap(nullptr, sizeof(Counters), PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) throw std::runtime_error("no shared memory");
    counters_ = new (shared) Counters;
    pid_ = fork();
    if (pid_ < 0) throw std::runtime_error("no process for the attack");
    if (pid_ == 0) run_attack(attack, target, strength, *counters_);
}

AttackProcess::~AttackProcess() {
    stop();
    munmap(counters_, sizeof(Counters));
}

bool AttackProcess::stop() {
    if (pid_ < 0) return true;
    kill(pid_, SIGKILL);
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

}  // namespace wschat::attack
