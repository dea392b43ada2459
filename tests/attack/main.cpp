// Attacks the daemon, and measures what honest clients notice:
//
//   attack [OPTION]... [-- OPTION OF THE DAEMON...]
//
//   --seconds=N      how long each attack takes [5]; with less than 3, an
//                    attack of many connections has a quarter of them
//   --attack=NAME    only this attack (repeatable)
//   --list           print the attacks
//   --addresses=N    attack from 1 address or from so many, up to 100 [1]
//   --floor-ms=N     a p99 below this is good in any case, because other
//                    programs disturb the measurement too [25]
//   --max-rss=MIB    memory that the daemon may use, instead of the number in
//                    the table of attacks
//   --no-judge       print the table and errors only
//
// The daemon is $WSCHAT, or ./wschat. Prints a table, a line "ok NAME" or "not
// ok NAME: REASON" for each attack, and "N passed, N failed". Exits with 1 if
// one failed, and with 2 for a wrong command line.

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <stdexcept>
#include <string>
#include <vector>

#include "judgement.h"
#include "net/socket.h"
#include "trial.h"

using namespace wschat::attack;

namespace {

constexpr double kShort = 3;  // seconds
constexpr size_t kConnections = 2000;

struct UsageError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

struct CommandLine {
    TrialConfig trial;
    Limits limits;
    std::vector<const Attack*> attacks;
    bool list = false;
    bool judge = true;
};

const Attack& find_attack(const std::string& name) {
    for (const Attack& attack : all_attacks())
        if (attack.name == name) return attack;
    throw UsageError("there is no attack " + name + " (--list prints them)");
}

double parse_number(const std::string& text, double min, double max) {
    char* end = nullptr;
    const double number = std::strtod(text.c_str(), &end);
    // The comparison is also false for NaN.
    if (*end != '\0' || !(number >= min && number <= max))
        throw UsageError("bad number \"" + text + "\"");
    return number;
}

void apply(CommandLine& line, const std::string& argument) {
    const size_t equals = argument.find('=');
    const std::string name = argument.substr(0, equals);
    const std::string value =
        equals == argument.npos ? "" : argument.substr(equals + 1);
    if (argument == "--list")
        line.list = true;
    else if (argument == "--no-judge")
        line.judge = false;
    else if (name == "--attack")
        line.attacks.push_back(&find_attack(value));
    else if (name == "--seconds")
        line.trial.duration = wschat::Seconds(parse_number(value, 0.1, 3600));
    else if (name == "--addresses")
        line.trial.strength.addresses =
            static_cast<uint32_t>(parse_number(value, 1, 100));
    else if (name == "--floor-ms")
        line.limits.floor_ms = parse_number(value, 0, 1e6);
    else if (name == "--max-rss")
        line.limits.max_memory = parse_number(value, 1, 1e6);
    else
        throw UsageError("unknown option " + argument);
}

CommandLine parse(int argc, char** argv) {
    CommandLine line;
    int i = 1;
    for (; i < argc && std::string(argv[i]) != "--"; ++i) apply(line, argv[i]);
    for (++i; i < argc; ++i) line.trial.daemon_options.push_back(argv[i]);
    if (line.attacks.empty())
        for (const Attack& attack : all_attacks())
            line.attacks.push_back(&attack);
    line.trial.strength.connections =
        line.trial.duration.count() < kShort ? kConnections / 4 : kConnections;
    return line;
}

/// Runs one attack, and prints its row of the table. Returns its "ok" or "not
/// ok" line.
std::string run(const Attack& attack, const CommandLine& line) {
    const std::string name = attack.name;
    std::string reason;
    Result result;
    try {
        result = run_trial(attack, line.trial);
        print_row(attack, result);
        Limits limits = line.limits;
        limits.floor_ms *= attack.floor_factor;
        if (limits.max_memory == 0) limits.max_memory = attack.max_memory;
        reason = objection(result, limits);
    } catch (const std::exception& error) {
        reason = result.failure = error.what();
    }
    if (!line.judge && !result.failure.empty())
        std::fprintf(stderr, "attack: %s: %s\n", attack.name, reason.c_str());
    return reason.empty() ? "ok " + name : "not ok " + name + ": " + reason;
}

/// Returns the exit status.
int run_all(const CommandLine& line) {
    std::vector<std::string> lines;
    size_t failed = 0;
    print_table_head();
    for (const Attack* attack : line.attacks) {
        lines.push_back(run(*attack, line));
        if (lines.back().rfind("not ok ", 0) == 0) ++failed;
    }
    if (!line.judge) return 0;
    std::printf("\n");
    for (const std::string& each : lines) std::printf("%s\n", each.c_str());
    std::printf("%zu passed, %zu failed\n", lines.size() - failed, failed);
    return failed == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
    try {
        const CommandLine line = parse(argc, argv);
        if (line.list) {
            for (const Attack& attack : all_attacks())
                std::printf("%-14s %s\n", attack.name, attack.description);
            return 0;
        }
        std::signal(SIGPIPE, SIG_IGN);
        wschat::raise_descriptor_limit();
        return run_all(line);
    } catch (const UsageError& error) {
        std::fprintf(stderr, "attack: %s\n", error.what());
        return 2;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "attack: %s\n", error.what());
        return 1;
    }
}
