// Limits of rooms and of the messages that they retain: plain values, for the
// options too.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

#include "util/clock.h"

namespace wschat {

/// What one room retains for clients that join or resume. If more is retained,
/// the oldest messages are dropped. The number and the bytes are checked when a
/// message is appended; the time also when a client joins or a publisher sends,
/// and when the rooms are cleaned up.
struct RetentionConfig {
    size_t messages = 1000;
    Duration time = std::chrono::minutes(10);
    uint64_t bytes = 4 << 20;  // frames, and the index that finds them
};

/// Limits of all rooms together, and how many retained messages a new client is
/// sent.
struct RoomsConfig {
    size_t most = 10'000;                // rooms
    uint64_t retained_total = 64 << 20;  // bytes, in all rooms together
    RetentionConfig retention;           // of each room
    size_t history = 0;                  // messages that a new client is sent
};

}  // namespace wschat
