// The daemon as a child process: its start, its log, the memory and the CPU
// time that it uses. Knows no clients.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

#include "net/socket.h"

namespace wschat::attack {

/// A running daemon, $WSCHAT or ./wschat. The destructor ends it.
class DaemonProcess {
public:
    /// Starts `wschat options 127.0.0.1 0`, and returns when it listens. Throws
    /// std::runtime_error with the first line of its log if it does not.
    /// `watched` begins the addresses of the clients for first_loss().
    DaemonProcess(const std::vector<std::string>& options,
                  const std::string& watched);
    ~DaemonProcess();
    DaemonProcess(const DaemonProcess&) = delete;
    DaemonProcess& operator=(const DaemonProcess&) = delete;

    uint16_t port() const { return port_; }

    /// Reads what the daemon has logged. A log that nobody reads would make it
    /// drop lines, and hide what a flood of lines costs.
    void read_log();

    /// Returns false when the daemon has ended, as far as read_log() knows.
    bool is_running() const { return running_; }

    /// Returns the first line that says that a watched client was dropped or
    /// closed; empty if there is none.
    const std::string& first_loss() const { return first_loss_; }

    /// Return MiB of resident memory: at most until now, or now. 0 if it has
    /// ended.
    double peak_memory() const { return memory("VmHWM:"); }
    double memory_now() const { return memory("VmRSS:"); }

    /// Returns the seconds of CPU time used until now.
    double cpu_seconds() const;

private:
    void start(const std::vector<std::string>& options);
    void wait_for_port();
    double memory(const std::string& which) const;
    void note_lines(std::string_view bytes);
    void note_line();

    pid_t pid_ = -1;
    Fd log_;
    std::string watched_;
    std::string line_;  // of the log, not complete yet
    std::string first_line_;
    std::string first_loss_;
    bool running_ = true;
    uint16_t port_ = 0;
};

}  // namespace wschat::attack
