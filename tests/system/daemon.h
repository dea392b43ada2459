// The daemon, or the echo server that is built from its units, as a process of
// a test.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "process.h"

namespace wschat::test {

using Options = std::vector<std::string>;

/// Returns the command `$WSCHAT arguments` for a Process, a Daemon or run().
Launch command(const Options& arguments);

/// A running server. The constructor returns when it listens. The destructor
/// stops it, and checks that its exit status is 0 and that each line of its log
/// has the usual form.
class Daemon {
public:
    /// Starts `wschat options host 0`, with --announce=none unless the options
    /// have --announce.
    explicit Daemon(const Options& options = {},
                    const std::string& host = "127.0.0.1");

    /// Starts exactly this command.
    explicit Daemon(const Launch& launch);

    /// Starts the echo server with this limit of a message.
    static Daemon echo(size_t max_message = 64 << 20);

    ~Daemon();

    /// Returns the TCP port; 0 if it listens on unix sockets only.
    uint16_t port() const { return port_; }
    pid_t pid() const { return process_.pid(); }

    void signal(int number) { process_.signal(number); }
    int wait_for_exit(SourceLine at = {}) { return process_.wait_for_exit(at); }

    std::string log() const { return process_.err(); }

    /// Waits until the log has `text` at least `times` times.
    void wait_for_log(std::string_view text, size_t times = 1,
                      SourceLine at = {}) {
        process_.wait_for_stderr(text, times, at);
    }

private:
    enum class Program { Wschat, Echo };

    Daemon(const Launch& launch, Program program);

    Process process_;
    Program program_;
    uint16_t port_ = 0;
};

}  // namespace wschat::test
