// A program under test: started, listened to, signalled, waited for.
#pragma once

#include <condition_variable>
#include <csignal>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <sys/resource.h>
#include <sys/types.h>

#include "net/socket.h"
#include "support.h"

namespace wschat::test {

/// How to start a program.
struct Launch {
    std::vector<std::string> command;      // its path and its arguments
    std::vector<std::string> environment;  // NAME=value, beside the tests' own
    rlim_t soft_descriptors = 0;           // 0: the limits of the tests
    rlim_t hard_descriptors = 0;
    bool under_journal = false;   // JOURNAL_STREAM names its standard error
    bool low_ports = true;        // false: not even root may bind them
    int stderr_fd = -1;           // in place of a pipe that is collected
    bool no_descriptors = false;  // not even 0, 1 and 2
};

/// A child that is killed, if it still runs, when its owner goes. What it
/// writes is collected by a thread, so that it never waits for the test.
class Process {
public:
    explicit Process(const Launch& launch);
    ~Process();
    Process(const Process&) = delete;
    Process& operator=(const Process&) = delete;

    pid_t pid() const { return pid_; }

    /// Does nothing if the process has ended.
    void signal(int number);

    /// Waits for its end. Returns its exit status, or 128 and the signal that
    /// killed it.
    int wait_exit(Where at = {});

    bool ended() const;

    /// What it has written to standard output and standard error until now;
    /// all of it after wait_exit().
    std::string out() const;
    std::string err() const;

    /// Waits until its standard error holds `text` so many times.
    void wait_err(std::string_view text, size_t times = 1, Where at = {});

private:
    void collect();
    void reap();

    Fd out_pipe_, err_pipe_;
    pid_t pid_ = -1;

    mutable std::mutex mutex_;  // of all below
    std::condition_variable changed_;
    std::string out_, err_;
    bool ended_ = false;
    int status_ = 0;

    std::thread collector_;  // last, since it uses all above
};

/// How often `part` is in `whole`.
size_t count(std::string_view whole, std::string_view part);

/// What a program that ends by itself came to.
struct Outcome {
    int status = 0;
    std::string out, err;
};

Outcome run(const Launch& launch, Where at = {});

}  // namespace wschat::test
