// The daemon, or the echo server made of its units, running for a test.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "process.h"

namespace wschat::test {

using Options = std::vector<std::string>;

/// `$WSCHAT arguments`, to be started by a Process, a Daemon or run().
Launch command(const Options& arguments);

/// A server that listens when the constructor returns. At its end it is told
/// to stop, and must do so with status 0, having logged nothing but lines in
/// the form that logs have.
class Daemon {
public:
    /// `wschat options host 0`, which announces nobody unless the options
    /// name --announce.
    explicit Daemon(const Options& options = {},
                    const std::string& host = "127.0.0.1");

    /// As the launch says.
    explicit Daemon(const Launch& launch);

    /// The echo server, with a limit of 64 MiB unless told otherwise.
    static Daemon echo(size_t max_message = 64 << 20);

    ~Daemon();

    /// Where it listens for TCP; 0 if it does not.
    uint16_t port() const { return port_; }
    pid_t pid() const { return process_.pid(); }

    void signal(int number) { process_.signal(number); }
    int wait_exit(Where at = {}) { return process_.wait_exit(at); }

    std::string log() const { return process_.err(); }

    /// Waits until the log holds `text` so many times.
    void wait_log(std::string_view text, size_t times = 1, Where at = {}) {
        process_.wait_err(text, times, at);
    }

private:
    enum class Program { Wschat, Echo };

    Daemon(const Launch& launch, Program program);

    Process process_;
    Program program_;
    uint16_t port_ = 0;
};

}  // namespace wschat::test
