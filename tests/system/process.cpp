#include "process.h"

#include <cerrno>
#include <cstring>
#include <regex>
#include <stdexcept>

#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

namespace wschat::test {

namespace {

// Removes the numbers of connections, as in "127.0.0.1 #17 joined".
std::string without_numbers(const std::string& log) {
    static const std::regex number(" #[0-9]+ ");
    return std::regex_replace(log, number, " ");
}

struct Pipe {
    Fd read, write;
};

Pipe make_pipe() {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0) throw std::runtime_error("pipe2");
    return {Fd(ends[0]), Fd(ends[1])};
}

std::vector<std::string> environment_of(const Launch& launch, int error) {
    std::vector<std::string> all = launch.environment;
    for (char** entry = environ; *entry; ++entry)
        if (std::strncmp(*entry, "JOURNAL_STREAM=", 15)) all.push_back(*entry);
    struct stat file;
    if (launch.under_journal && fstat(error, &file) == 0)
        all.push_back("JOURNAL_STREAM=" + std::to_string(file.st_dev) + ":" +
                      std::to_string(file.st_ino));
    return all;
}

std::vector<char*> pointers_to(std::vector<std::string>& words) {
    std::vector<char*> pointers;
    for (std::string& word : words) pointers.push_back(word.data());
    pointers.push_back(nullptr);
    return pointers;
}

// Runs between fork() and exec(), where no memory may be allocated.
void prepare_child(const Launch& launch, int out, int error) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (!launch.may_bind_low_ports)
        prctl(PR_CAPBSET_DROP, CAP_NET_BIND_SERVICE);
    for (int number : {SIGPIPE, SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2})
        std::signal(number, SIG_DFL);
    dup2(open("/dev/null", O_RDONLY), STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    dup2(error, STDERR_FILENO);
    for (int fd = 0; launch.no_descriptors && fd < 3; ++fd) close(fd);
    const rlimit limit{launch.soft_descriptors, launch.hard_descriptors};
    if (limit.rlim_max > 0) setrlimit(RLIMIT_NOFILE, &limit);
}

pid_t start(const Launch& launch, int out, int error) {
    std::vector<std::string> command = launch.command;
    std::vector<std::string> environment = environment_of(launch, error);
    const std::vector<char*> argv = pointers_to(command);
    const std::vector<char*> envp = pointers_to(environment);
    const pid_t pid = fork();
    if (pid < 0) throw std::runtime_error("fork");
    if (pid > 0) return pid;
    prepare_child(launch, out, error);
    execve(argv[0], argv.data(), envp.data());
    _exit(127);
}

}  // namespace

Process::Process(const Launch& launch) {
    Pipe out = make_pipe();
    Pipe error = make_pipe();
    const bool is_piped = launch.stderr_fd < 0;
    pid_ = start(launch, out.write.get(),
                 is_piped ? error.write.get() : launch.stderr_fd);
    out_pipe_ = std::move(out.read);
    err_pipe_ = std::move(error.read);
    collector_ = std::thread([this] { collect(); });
}

Process::~Process() {
    signal(SIGKILL);
    collector_.join();
}

void Process::signal(int number) {
    const std::lock_guard lock(mutex_);
    if (!ended_) kill(pid_, number);
}

int Process::wait_for_exit(SourceLine at) {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, max_wait(), [this] { return ended_; }))
        fail(at, "the program still runs; its standard error:\n" + err_);
    return status_;
}

bool Process::has_ended() const {
    const std::lock_guard lock(mutex_);
    return ended_;
}

std::string Process::out() const {
    const std::lock_guard lock(mutex_);
    return out_;
}

std::string Process::err() const {
    const std::lock_guard lock(mutex_);
    return err_;
}

void Process::wait_for_stderr(std::string_view text, size_t times,
                              SourceLine at) {
    std::unique_lock lock(mutex_);
    const auto is_there = [&] {
        return count(without_numbers(err_), text) >= times;
    };
    changed_.wait_for(lock, max_wait(), [&] { return ended_ || is_there(); });
    if (!is_there())
        fail(at, "not logged: " + printable(text) + "; its standard error:\n" +
                     err_);
}

void Process::collect() {
    pollfd ends[] = {{out_pipe_.get(), POLLIN, 0},
                     {err_pipe_.get(), POLLIN, 0}};
    while (ends[0].fd >= 0 || ends[1].fd >= 0) {
        if (poll(ends, 2, -1) < 0) continue;
        for (pollfd& end : ends) {
            if (end.fd < 0 || end.revents == 0) continue;
            char buffer[4096];
            const ssize_t n = read(end.fd, buffer, sizeof buffer);
            const std::lock_guard lock(mutex_);
            std::string& text = &end == ends ? out_ : err_;
            if (n > 0)
                text.append(buffer, static_cast<size_t>(n));
            else
                end.fd = -1;
            changed_.notify_all();
        }
    }
    reap();
}

// Reaps the zombie only under the lock, so that signal() never sends a signal
// to another process that has got the same id.
void Process::reap() {
    siginfo_t info{};
    while (waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT) < 0)
        if (errno != EINTR) break;
    const std::lock_guard lock(mutex_);
    int status = 0;
    waitpid(pid_, &status, 0);
    status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    ended_ = true;
    changed_.notify_all();
}

size_t count(std::string_view whole, std::string_view part) {
    size_t n = 0;
    for (size_t at = whole.find(part); at != std::string_view::npos;
         at = whole.find(part, at + part.size()))
        ++n;
    return n;
}

Outcome run(const Launch& launch, SourceLine at) {
    Process process(launch);
    const int status = process.wait_for_exit(at);
    return {status, process.out(), process.err()};
}

}  // namespace wschat::test
