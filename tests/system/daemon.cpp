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

std::string path_of(const char* variable, const char* otherwise) {
    const char* path = std::getenv(variable);
    return path ? path : otherwise;
}

Options usual_arguments(const Options& options, const std::string& host) {
    Options arguments = options;
    bool announces = false;
    for (const std::string& option : options)
        announces = announces || option.rfind("--announce", 0) == 0;
    if (!announces) arguments.push_back("--announce=none");
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

// Anything else comes from a sanitizer, or from a peer that forges lines. The
// last one has no end if the daemon ended while standard error was full.
void check_form_of(const std::string& log) {
    std::istringstream lines(log.substr(0, log.rfind('\n') + 1));
    for (std::string line; std::getline(lines, line);) {
        const bool plain = line.rfind("wschat: ", 0) == 0;
        const bool journal = std::regex_search(line, std::regex("^<[0-7]>"));
        CHECK_MESSAGE((plain || journal), "a line of the log: " << line);
        const bool clean = std::none_of(line.begin(), line.end(), is_control);
        CHECK_MESSAGE(clean, "a line of the log: " << shown(line));
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
    wait_log("listening on");
    wait_log("\n");
    port_ = port_in(log());
}

Daemon::~Daemon() {
    if (program_ == Program::Echo) return;
    signal(SIGTERM);
    try {
        CHECK(wait_exit() == 0);
    } catch (...) {
        // Reported already; the process is killed now.
    }
    check_form_of(log());
}

}  // namespace wschat::test
