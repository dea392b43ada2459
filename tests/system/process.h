// A program as a child process: start, signal, wait, collect its output.
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
    rlim_t soft_descriptors = 0;           // 0: the limits of the test process
    rlim_t hard_descriptors = 0;
    bool under_journal = false;   // JOURNAL_STREAM names its standard error
    bool may_bind_low_ports = true;  // false: even root may not bind them
    int stderr_fd = -1;              // -1: a pipe, which is collected
    bool no_descriptors = false;     // 0, 1 and 2 are closed too
};

/// A child process. The destructor kills it if it still runs. A thread collects
/// its output, so that it never waits for the test.
class Process {
public:
    explicit Process(const Launch& launch);
    ~Process();
    Process(const Process&) = delete;
    Process& operator=(const Process&) = delete;

    pid_t pid() const { return pid_; }

    /// Does nothing if the process has ended.
    void signal(int number);

    /// Waits for its end. Returns its exit status, or 128 plus the number of
    /// the signal that killed it.
    int wait_for_exit(SourceLine at = {});

    bool has_ended() const;

    /// Return what it has written until now; all of it after wait_for_exit().
    std::string out() const;
    std::string err() const;

    /// Waits until its standard error has `text` at least `times` times.
    void wait_for_stderr(std::string_view text, size_t times = 1,
                         SourceLine at = {});

private:
    void collect();
    void reap();

    Fd out_pipe_, err_pipe_;
    pid_t pid_ = -1;

    mutable std::mutex mutex_;  // guards the fields below
    std::condition_variable changed_;
    std::string out_, err_;
    bool ended_ = false;
    int status_ = 0;

    std::thread collector_;  // last, because it uses the fields above
};

/// Returns how often `part` occurs in `whole`.
size_t count(std::string_view whole, std::string_view part);

/// The exit status and the output of a program.
struct Outcome {
    int status = 0;
    std::string out, err;
};

/// Runs a program that ends by itself.
Outcome run(const Launch& launch, SourceLine at = {});

}  // namespace wschat::test
