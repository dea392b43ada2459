#include "daemon_process.h"

#include <array>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <string_view>

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

namespace wschat::attack {

namespace {

constexpr int kStartMs = 10'000;
constexpr int kStopMs = 2'000;
constexpr int kLogPipe = 1 << 20;

const char* program() {
    const char* path = std::getenv("WSCHAT");
    return path ? path : "./wschat";
}

[[noreturn]] void run_daemon(std::vector<std::string> words, int log) {
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(open("/dev/null", O_RDWR), STDIN_FILENO);
    dup2(STDIN_FILENO, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    execv(argv[0], argv.data());
    _exit(127);
}

bool is_readable(int fd, int timeout_ms) {
    pollfd entry{fd, POLLIN, 0};
    return poll(&entry, 1, timeout_ms) == 1;
}

}  // namespace

DaemonProcess::DaemonProcess(const std::vector<std::string>& options,
                             const std::string& watched)
    : watched_(watched) {
    start(options);
    try {
        wait_for_port();
    } catch (...) {
        kill(pid_, SIGKILL);
        waitpid(pid_, nullptr, 0);
        throw;
    }
}

DaemonProcess::~DaemonProcess() {
    kill(pid_, SIGTERM);
    // The end of the log is the end of the process.
    while (running_ && is_readable(log_.get(), kStopMs)) read_log();
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
}

void DaemonProcess::start(const std::vector<std::string>& options) {
    std::vector<std::string> words = options;
    words.insert(words.begin(), program());
    words.insert(words.end(), {"127.0.0.1", "0"});
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("no pipe");
    log_ = Fd(ends[0]);
    const Fd write_end(ends[1]);
    fcntl(log_.get(), F_SETPIPE_SZ, kLogPipe);
    fcntl(log_.get(), F_SETFL, O_NONBLOCK);
    pid_ = fork();
    if (pid_ < 0) throw std::runtime_error("no process for the daemon");
    if (pid_ == 0) run_daemon(words, write_end.get());
}

void DaemonProcess::wait_for_port() {
    constexpr std::string_view kListening = "listening on 127.0.0.1:";
    for (;;) {
        const size_t at = first_line_.find(kListening);
        if (at != std::string::npos) {
            port_ = static_cast<uint16_t>(
                std::strtoul(&first_line_[at + kListening.size()], nullptr,
                             10));
            return;
        }
        if (!first_line_.empty() || !running_ ||
            !is_readable(log_.get(), kStartMs))
            throw std::runtime_error(
                std::string(program()) + " does not start: " +
                (first_line_.empty() ? "it logs nothing" : first_line_));
        read_log();
    }
}

void DaemonProcess::read_log() {
    static std::array<char, 64 << 10> buffer;
    for (;;) {
        const ssize_t n = read(log_.get(), buffer.data(), buffer.size());
        if (n == 0) running_ = false;
        if (n <= 0) return;
        note_lines({buffer.data(), static_cast<size_t>(n)});
    }
}

void DaemonProcess::note_lines(std::string_view bytes) {
    for (;;) {
        const size_t end = bytes.find('\n');
        line_ += bytes.substr(0, end);
        if (end == bytes.npos) return;
        note_line();
        line_.clear();
        bytes.remove_prefix(end + 1);
    }
}

void DaemonProcess::note_line() {
    const auto has = [this](const std::string& text) {
        return line_.find(text) != line_.npos;
    };
    if (first_line_.empty()) first_line_ = line_;
    if (first_loss_.empty() && has(watched_) &&
        (has(" dropped: ") || has(" closed: ")))
        first_loss_ = line_;
}

double DaemonProcess::memory(const std::string& which) const {
    std::ifstream lines("/proc/" + std::to_string(pid_) + "/status");
    std::string line;
    while (std::getline(lines, line))
        if (line.rfind(which, 0) == 0)
            return std::atof(&line[which.size()]) / 1024;
    return 0;
}

double DaemonProcess::cpu_seconds() const {
    clockid_t clock;
    timespec used{};
    if (clock_getcpuclockid(pid_, &clock) != 0 ||
        clock_gettime(clock, &used) != 0)
        return 0;
    return static_cast<double>(used.tv_sec) +
           static_cast<double>(used.tv_nsec) / 1e9;
}

}  // namespace wschat::attack
