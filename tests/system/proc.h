// Reads the state of a process from /proc: its memory, its wake-ups, its
// sockets.
#pragma once

#include <cstdint>
#include <set>
#include <string>

#include <sys/types.h>

#include "support.h"

namespace wschat::test {

/// Return the KiB of resident memory: now, and at most until now.
long resident_kib(pid_t pid);
long peak_resident_kib(pid_t pid);

/// Returns the seconds of CPU time used until now.
double cpu_seconds(pid_t pid);

/// Waits until the process sleeps. Returns how often it has started to sleep.
long count_sleeps(pid_t pid, SourceLine at = {});

/// Waits until the process sleeps in ppoll(). Returns how many descriptors it
/// polls.
size_t polled_descriptors(pid_t pid, SourceLine at = {});

/// Returns the TCP addresses that it listens on: "127.0.0.1:80", "[::1]:80".
std::set<std::string> listening_addresses(pid_t pid);

/// Returns the number of its open descriptors.
size_t open_descriptors(pid_t pid);

/// Waits until it has this number of open descriptors.
void wait_for_descriptors(pid_t pid, size_t number, SourceLine at = {});

/// Returns its soft limit of descriptors.
long descriptor_limit(pid_t pid);

/// Returns how many descriptors the test itself may still open.
int spare_descriptors();

/// Returns true under valgrind, which needs descriptors itself and closes
/// connections when the process has too many.
bool is_under_valgrind(pid_t pid);

/// Returns true if valgrind or a sanitizer uses a part of its memory.
bool is_instrumented(pid_t pid);

}  // namespace wschat::test
