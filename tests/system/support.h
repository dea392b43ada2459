// Helpers of all system tests: failures that name the test's line, limits for
// waiting, files.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "fixtures/scratch.h"

namespace wschat::test {

/// A line of a test. The functions of the fixtures have one as their last,
/// defaulted parameter, so that a failure is reported at the test's line.
struct SourceLine {
    SourceLine(const char* file_ = __builtin_FILE(),
               int line_ = __builtin_LINE())
        : file(file_), line(line_) {}

    const char* file;
    int line;
};

/// Reports a failure at this line and ends the test.
[[noreturn]] void fail(SourceLine at, const std::string& why);

/// Returns the bytes for a failure message: quoted, escaped, and cut to 300.
std::string printable(std::string_view bytes);

/// Returns how many times slower than usual the program runs: the value of
/// WSCHAT_TEST_SLOW, at least 1.
double slowdown();

/// Returns how long a test waits for an event that must happen. A test that
/// passes never waits that long.
std::chrono::milliseconds max_wait();

/// Returns an option with a number of seconds, multiplied by slowdown():
/// timed("--stall-timeout", 0.5) is "--stall-timeout=0.5" on a usual machine.
std::string timed(const std::string& option, double seconds);

/// The end of a wait of max_wait().
class TimeLimit {
public:
    TimeLimit() : end_(std::chrono::steady_clock::now() + max_wait()) {}

    bool is_over() const { return std::chrono::steady_clock::now() >= end_; }

    /// Returns the remaining milliseconds, a timeout for poll().
    int remaining() const;

private:
    std::chrono::steady_clock::time_point end_;
};

/// Writes a whole file.
void write_file(const std::string& path, const std::string& content);

}  // namespace wschat::test
