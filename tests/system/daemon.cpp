#include "daemon.h"

#include <algorithm>
#include <cstdlib>
#include <regex>
#include <sstream>

#include <doctest/doctest.h>

namespace wschat::test {

namespace {

bool is_control(char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte == 0x7F;
}

std::string path_of(const char* variable, const char* fallback) {
    const char* path = std::getenv(variable);
    return path ? path : fallback;
}

Options usual_arguments(const Options& options, const std::string& host) {
    Options arguments = options;
    bool has_announce = false;
    for (const std::string& option : options)
        has_announce = has_announce || option.rfind("--announce", 0) == 0;
    if (!has_announce) arguments.push_back("--announce=none");
    if (const char* more = std::getenv("WSCHAT_TEST_OPTION"))
        arguments.push_back(more);
    arguments.push_back(host);
    arguments.push_back("0");
    return arguments;
}

uint16_t port_in(const std::string& log) {
    std::smatch match;
    const std::regex port("listening on .*?(?:[0-9.]+|\\]):([0-9]+)");
    if (!std::regex_search(log, match, port)) return 0;
    return static_cast<uint16_t>(std::stoi(match[1]));
}

// Any other line is the report of a sanitizer, or was forged by a peer. The
// last line is incomplete if the daemon ended while standard error was full.
void check_log_lines(const std::string& log) {
    std::istringstream lines(log.substr(0, log.rfind('\n') + 1));
    for (std::string line; std::getline(lines, line);) {
        const bool is_plain = line.rfind("wschat: ", 0) == 0;
        const bool has_priority =
            std::regex_search(line, std::regex("^<[0-7]>"));
        CHECK_MESSAGE((is_plain || has_priority),
                      "malformed log line: " << line);
        const bool is_printable =
            std::none_of(line.begin(), line.end(), is_control);
        CHECK_MESSAGE(is_printable,
                      "control byte in log line: " << printable(line));
    }
}

}  // namespace

Launch command(const Options& arguments) {
    Launch launch;
    launch.command = arguments;
    launch.command.insert(launch.command.begin(),
                          path_of("WSCHAT", "./wschat"));
    return launch;
}

Daemon::Daemon(const Options& options, const std::string& host)
    : Daemon(command(usual_arguments(options, host))) {}

Daemon::Daemon(const Launch& launch) : Daemon(launch, Program::Wschat) {}

Daemon Daemon::echo(size_t max_message) {
    Launch launch;
    launch.command = {path_of("WSCHAT_ECHO", "build/echo"), "0",
                      std::to_string(max_message)};
    return Daemon(launch, Program::Echo);
}

Daemon::Daemon(const Launch& launch, Program program)
    : process_(launch), program_(program) {
    wait_for_log("listening on");
    wait_for_log("\n");
    port_ = port_in(log());
}

Daemon::~Daemon() {
    if (program_ == Program::Echo) return;
    signal(SIGTERM);
    try {
        CHECK(wait_for_exit() == 0);
    } catch (...) {
        // wait_for_exit() has reported it; ~Process() kills the process.
    }
    check_log_lines(log());
}

}  // namespace wschat::test
