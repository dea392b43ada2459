// What every system test needs: failing at the line of the test, waiting for
// long enough, a directory of its own.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "fixtures/scratch.h"

namespace wschat::test {

/// A line of a test. A verb of the fixture has one as its last, defaulted
/// parameter, so that its failure is reported where the test used it.
struct Where {
    Where(const char* file_ = __builtin_FILE(), int line_ = __builtin_LINE())
        : file(file_), line(line_) {}

    const char* file;
    int line;
};

/// Fails the test and leaves it.
[[noreturn]] void fail(Where at, const std::string& why);

/// Bytes as a message shows them: quoted, escaped, and cut if they are many.
std::string shown(std::string_view bytes);

/// How many times slower than usual the program runs, as WSCHAT_TEST_SLOW
/// says; 1 without it.
double slowness();

/// How long a test waits for something that must come. Never reached when all
/// is well.
std::chrono::milliseconds patience();

/// An option that takes seconds, stretched by slowness():
/// timed("--stall-timeout", 0.5) is "--stall-timeout=0.5" on a usual machine.
std::string timed(const std::string& option, double seconds);

/// When patience ends.
class TimeLimit {
public:
    TimeLimit() : end_(std::chrono::steady_clock::now() + patience()) {}

    bool over() const { return std::chrono::steady_clock::now() >= end_; }

    /// Milliseconds left, as poll() takes them.
    int left() const;

private:
    std::chrono::steady_clock::time_point end_;
};

/// Writes a whole file.
void write_file(const std::string& path, const std::string& content);

}  // namespace wschat::test
