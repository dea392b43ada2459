// The program's one clock, which only goes forward, and spans of time.
#pragma once

#include <chrono>

namespace wschat {

using Clock = std::chrono::steady_clock;
using Time = Clock::time_point;
using Duration = Clock::duration;

/// Spans of time as options give them.
using Seconds = std::chrono::duration<double>;

inline Duration to_duration(Seconds seconds) {
    return std::chrono::duration_cast<Duration>(seconds);
}

}  // namespace wschat
