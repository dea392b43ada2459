// The command line: output, errors and exit statuses.
#include <fstream>
#include <regex>

#include <doctest/doctest.h>

#include "daemon.h"
#include "peer.h"
#include "proc.h"

using namespace wschat::test;

namespace {

// Expects one line with the error, and then where to find help.
void check_usage_error(const Options& arguments, const std::string& names) {
    INFO("arguments: " << doctest::toString(
             printable(arguments.empty() ? "(none)" : arguments.front())));
    const Outcome outcome = run(command(arguments));
    INFO("stderr: " << outcome.err);
    CHECK(outcome.status == 2);
    CHECK(outcome.out == "");
    CHECK(std::regex_match(
        outcome.err, std::regex("wschat: [^\n]+\ntry 'wschat --help'\n")));
    const std::string first = outcome.err.substr(0, outcome.err.find('\n'));
    CHECK_MESSAGE(first.find(names) != std::string::npos,
                  "does not name: " << names);
}

// Expects one line that names what the daemon can't use.
void check_cannot_start(const Launch& launch, const std::string& names) {
    const Outcome outcome = run(launch);
    INFO("stderr: " << outcome.err);
    CHECK(outcome.status == 1);
    CHECK(outcome.out == "");
    CHECK(std::regex_match(outcome.err, std::regex("wschat: [^\n]+\n")));
    CHECK_MESSAGE(outcome.err.find(names) != std::string::npos,
                  "does not name: " << names);
}

constexpr const char* kAllOptions[] = {"--announce",
                                       "--bind",
                                       "--relay-system",
                                       "--no-raw",
                                       "--max-message",
                                       "--max-backlog",
                                       "--handshake-timeout",
                                       "--stall-timeout",
                                       "--close-timeout",
                                       "--ping-interval",
                                       "--quiet",
                                       "--verbose",
                                       "--help",
                                       "--version"};

}  // namespace

TEST_CASE("--help and -h print every option on standard output") {
    for (const char* option : {"--help", "-h"}) {
        const Outcome outcome = run(command({option}));
        CHECK(outcome.status == 0);
        CHECK(outcome.err == "");
        for (const std::string name : kAllOptions) {
            CAPTURE(name);
            CHECK(outcome.out.find(name) != std::string::npos);
        }
    }
    CHECK(run(command({"-h"})).out == run(command({"--help"})).out);
}

TEST_CASE("--version prints the version on standard output") {
    const Outcome outcome = run(command({"--version"}));
    CHECK(outcome.status == 0);
    CHECK(outcome.out == "wschat 0.1.0\n");
    CHECK(outcome.err == "");
}

// Regression: main() returned 0 while the text was in the buffer of stdout.
TEST_CASE("a text that can't be written ends with an error") {
    for (const std::string option : {"--help", "--version"}) {
        CAPTURE(option);
        Launch launch = command({option});
        launch.command = {"/bin/sh", "-c", "exec \"$0\" \"$1\" >/dev/full",
                          launch.command.front(), option};
        const Outcome outcome = run(launch);
        CHECK(outcome.status == 1);
        CHECK(outcome.err.find("cannot write") != std::string::npos);
    }
}

TEST_CASE("a host and a port are required, and no other argument is accepted") {
    check_usage_error({}, "host");
    check_usage_error({"localhost"}, "port");
    check_usage_error({"localhost", "0", "extra"}, "extra");
    check_usage_error({"", "0"}, "host");
}

TEST_CASE("a port is a number from 0 to 65535") {
    for (const std::string port :
         {"abc", "70000", "65536", "", " 80", "80 ", "+80", "0x50", "9600x",
          "1e3", "99999999999999999999"}) {
        CAPTURE(port);
        check_usage_error({"127.0.0.1", port}, "port");
    }
    check_usage_error({"127.0.0.1", "-1"}, "-1");
    check_usage_error({"--", "127.0.0.1", "-1"}, "port");
}

TEST_CASE("the error names an unknown option") {
    check_usage_error({"--frobnicate", "127.0.0.1", "0"}, "--frobnicate");
    check_usage_error({"-x", "127.0.0.1", "0"}, "x");
    check_usage_error({"127.0.0.1", "0", "--frobnicate"}, "--frobnicate");
}

TEST_CASE("the error names an option with a bad value") {
    for (const char* option : {"--announce=everybody",
                               "--announce=",
                               "--max-message=abc",
                               "--max-message=",
                               "--max-message=-1",
                               "--max-message=1X",
                               "--max-message=1KB",
                               "--max-message=99999999999999999999",
                               "--max-message=99999999999G",
                               "--max-backlog=4 M",
                               "--handshake-timeout=soon",
                               "--handshake-timeout=",
                               "--handshake-timeout=-1",
                               "--stall-timeout=nan",
                               "--stall-timeout=inf",
                               "--close-timeout=5s",
                               "--ping-interval=-0.1",
                               "--ping-interval=1,5",
                               "--ping-interval=",
                               "--quiet=yes",
                               "--no-raw=1"}) {
        const std::string text = option;
        check_usage_error({text, "127.0.0.1", "0"},
                          text.substr(2, text.find('=') - 2));
    }
    check_usage_error({"127.0.0.1", "0", "--bind"}, "bind");
}

TEST_CASE("--bind accepts only IP addresses, localhost and unix sockets") {
    for (const std::string address :
         {"", "example.org", "127.0.0.256", "127.0.0.1:80", "unix:", "*",
          "unix:/tmp/x,mode=abc", "unix:/tmp/x,mode=0999",
          "unix:/tmp/x,mode=", "unix:/tmp/x,colour=red"}) {
        CAPTURE(address);
        const bool mode = address.find("mode=") != std::string::npos;
        check_usage_error({"--bind=" + address, "localhost", "0"},
                          mode ? "mode" : "bind");
    }
}

TEST_CASE("a --max-backlog smaller than --max-message is refused") {
    check_usage_error({"--max-message=2M", "--max-backlog=1M", "::1", "0"},
                      "--max-backlog");
    check_usage_error({"--max-message=5M", "::1", "0"}, "--max-backlog");
    Daemon equal({"--max-message=64K", "--max-backlog=65536"});
}

TEST_CASE("sizes may have the suffix K, M or G") {
    Daemon daemon({"--max-message=1K", "--max-backlog=1G"});
    Peer ann = join(daemon);
    ann.send_message(json_string(1024));
    ann.expect_message(json_string(1024));
    ann.send_message(json_string(1025));
    ann.expect_closed(1009);
}

TEST_CASE("the error names a port in use, and its daemon is not affected") {
    Daemon daemon;
    const std::string port = std::to_string(daemon.port());
    check_cannot_start(command({"127.0.0.1", port}), "127.0.0.1:" + port);
    Peer ann = join(daemon);
    ann.sync();
}

TEST_CASE("localhost needs both of its addresses") {
    Daemon daemon({}, "::1");
    const std::string port = std::to_string(daemon.port());
    check_cannot_start(command({"localhost", port}), "[::1]:" + port);
}

TEST_CASE("a host that has no address is warned about") {
    // RFC 6761: no name below invalid ever has one.
    for (const Options& options : {Options{}, Options{"--bind=127.0.0.1"}}) {
        Daemon daemon(options, "chat.invalid");
        daemon.wait_for_log("host chat.invalid is not known here: ");
    }
    for (const char* host : {"localhost", "127.0.0.1"}) {
        Daemon daemon(Options{}, host);
        Peer ann = join(daemon);
        CHECK(count(daemon.log(), "not known here") == 0);
    }
}

TEST_CASE("the error names a port that needs a privilege") {
    // If every user may bind port 80, there is no error to test.
    std::ifstream setting("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    int first_free = 1024;
    setting >> first_free;
    if (first_free <= 80) {
        MESSAGE("skipped: every user may bind port 80");
        return;
    }
    Launch launch = command({"127.0.0.1", "80"});
    launch.may_bind_low_ports = false;
    check_cannot_start(launch, "127.0.0.1:80: ports below 1024 need ");
}

TEST_CASE("the error names an address of another machine") {
    check_cannot_start(command({"198.51.100.1", "0"}), "198.51.100.1");
}
