#include "proc.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <arpa/inet.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace wschat::test {

namespace {

std::string path_of(pid_t pid, const char* file) {
    return "/proc/" + std::to_string(pid) + "/" + file;
}

std::string contents(const std::string& path) {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
}

// Returns the number behind the label; -1 without the label.
long number_after(const std::string& text, const std::string& label) {
    const size_t at = text.find(label);
    return at == std::string::npos ? -1 : std::atol(&text[at + label.size()]);
}

char state_of(pid_t pid) {
    const std::string stat = contents(path_of(pid, "stat"));
    const size_t name_end = stat.rfind(')');
    return name_end == std::string::npos ? '?' : stat[name_end + 2];
}

std::set<std::string> sockets_of(pid_t pid) {
    std::set<std::string> inodes;
    for (const auto& entry :
         std::filesystem::directory_iterator(path_of(pid, "fd"))) {
        std::error_code ignored;
        const std::string target =
            std::filesystem::read_symlink(entry.path(), ignored);
        if (target.rfind("socket:[", 0) == 0)
            inodes.insert(target.substr(8, target.size() - 9));
    }
    return inodes;
}

// The kernel prints addresses as 32-bit words in the byte order of the machine.
std::string address_in(const std::string& hex) {
    in6_addr raw{};
    const size_t words = hex.find(':') / 8;
    for (size_t i = 0; i < words; ++i)
        raw.s6_addr32[i] = static_cast<uint32_t>(
            std::stoul(hex.substr(8 * i, 8), nullptr, 16));
    const std::string port =
        std::to_string(std::stoul(hex.substr(8 * words + 1), nullptr, 16));
    char text[INET6_ADDRSTRLEN];
    inet_ntop(words == 1 ? AF_INET : AF_INET6, &raw, text, sizeof text);
    return (words == 1 ? std::string(text) : "[" + std::string(text) + "]") +
           ":" + port;
}

std::set<std::string> listeners_in(const char* table,
                                   const std::set<std::string>& inodes) {
    std::set<std::string> found;
    std::ifstream rows(table);
    std::string row;
    std::getline(rows, row);
    while (std::getline(rows, row)) {
        std::istringstream columns(row);
        std::string number, local, remote, state, skipped, inode;
        columns >> number >> local >> remote >> state;
        for (int i = 0; i < 5; ++i) columns >> skipped;
        columns >> inode;
        if (state == "0A" && inodes.count(inode) > 0)
            found.insert(address_in(local));
    }
    return found;
}

}  // namespace

long resident_kib(pid_t pid) {
    return number_after(contents(path_of(pid, "status")), "VmRSS:");
}

long peak_resident_kib(pid_t pid) {
    return number_after(contents(path_of(pid, "status")), "VmHWM:");
}

double cpu_seconds(pid_t pid) {
    return std::atof(contents(path_of(pid, "schedstat")).c_str()) / 1e9;
}

long count_sleeps(pid_t pid, SourceLine at) {
    const TimeLimit deadline;
    while (state_of(pid) != 'S') {
        if (deadline.is_over()) fail(at, "the process does not sleep");
        sched_yield();
    }
    return number_after(contents(path_of(pid, "status")),
                        "\nvoluntary_ctxt_switches:");
}

size_t polled_descriptors(pid_t pid, SourceLine at) {
    const TimeLimit deadline;
    for (;;) {
        // The number of the system call, then its arguments; "running".
        std::istringstream call(contents(path_of(pid, "syscall")));
        long number = -1;
        std::string descriptors, size;
        call >> number >> descriptors >> size;
        if (number == SYS_ppoll) return std::stoul(size, nullptr, 16);
        if (deadline.is_over()) fail(at, "the process is not in ppoll()");
        sched_yield();
    }
}

std::set<std::string> listening_addresses(pid_t pid) {
    const std::set<std::string> inodes = sockets_of(pid);
    std::set<std::string> found = listeners_in("/proc/net/tcp", inodes);
    found.merge(listeners_in("/proc/net/tcp6", inodes));
    return found;
}

size_t open_descriptors(pid_t pid) {
    const std::filesystem::directory_iterator all(path_of(pid, "fd"));
    return static_cast<size_t>(std::distance(begin(all), end(all)));
}

void wait_for_descriptors(pid_t pid, size_t number, SourceLine at) {
    const TimeLimit deadline;
    while (open_descriptors(pid) != number) {
        if (deadline.is_over())
            fail(at, std::to_string(open_descriptors(pid)) +
                         " descriptors instead of " + std::to_string(number));
        sched_yield();
    }
}

long descriptor_limit(pid_t pid) {
    return number_after(contents(path_of(pid, "limits")), "Max open files");
}

int spare_descriptors() {
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    return static_cast<int>(limit.rlim_cur) - 100;
}

bool is_under_valgrind(pid_t pid) {
    return contents(path_of(pid, "maps")).find("/memcheck-") !=
           std::string::npos;
}

bool is_instrumented(pid_t pid) {
    // The shadow memory of a sanitizer takes terabytes of addresses.
    const long size = number_after(contents(path_of(pid, "status")), "VmSize:");
    return is_under_valgrind(pid) || size > (1L << 30);
}

}  // namespace wschat::test
