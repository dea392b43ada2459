#include "judgement.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>

namespace wschat::attack {

namespace {

/// A p99 may grow by this factor. Below the floor it may grow by more.
constexpr double kMaxSlowdown = 2;

[[gnu::format(printf, 1, 2)]] std::string text(const char* format, ...) {
    char buffer[400];
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(buffer, sizeof buffer, format, arguments);
    va_end(arguments);
    return buffer;
}

}  // namespace

std::string objection(const Result& result, const Limits& limits) {
    if (!result.failure.empty()) return result.failure;
    if (result.dropped > 0)
        return text("%zu honest clients were dropped: %s", result.dropped,
                    result.first_loss.c_str());
    if (result.lost > 0)
        return text("%zu deliveries are missing", result.lost);
    if (!result.joined_after) return "no honest client could join";
    if (result.can_resume == false) return "a client could not resume";
    const double max_p99 =
        std::max(kMaxSlowdown * result.undisturbed.p99, limits.floor_ms);
    if (result.attacked.p99 > max_p99)
        return text("p99 of %.1f ms, at most %.1f ms is allowed",
                    result.attacked.p99, max_p99);
    if (result.peak_memory > limits.max_memory)
        return text("%.0f MiB of memory, at most %.0f MiB is allowed",
                    result.peak_memory, limits.max_memory);
    return "";
}

void print_table_head() {
    std::printf(
        "                  undisturbed          attacked    honest clients"
        "         daemon          attacker\n"
        "attack          p50 ms  p99 ms    p50 ms  p99 ms  dropped    lost"
        " join ms   MiB  CPU %%    conns  kB out   kB in\n");
}

void print_row(const Attack& attack, const Result& result) {
    const std::string joined =
        result.joined_after ? text("%.1f", *result.joined_after) : "-";
    std::printf(
        "%-14s %7.1f %7.1f   %7.1f %7.1f  %7zu %7zu %7s %5.0f  %5.0f %8llu"
        " %7.0f %7.0f\n",
        attack.name, result.undisturbed.p50, result.undisturbed.p99,
        result.attacked.p50, result.attacked.p99, result.dropped, result.lost,
        joined.c_str(), result.peak_memory, result.cpu_percent,
        static_cast<unsigned long long>(result.connections), result.sent,
        result.received);
    std::fflush(stdout);
}

}  // namespace wschat::attack
