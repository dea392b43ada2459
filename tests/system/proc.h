// What the kernel knows of a process: its memory, its wake-ups, where it
// listens.
#pragma once

#include <cstdint>
#include <set>
#include <string>

#include <sys/types.h>

#include "support.h"

namespace wschat::test {

/// KiB of memory that are resident now, and at most until now.
long memory(pid_t pid);
long peak_memory(pid_t pid);

/// Seconds of processor time used until now.
double cpu_seconds(pid_t pid);

/// Waits until the process sleeps. Returns how often it has gone to sleep.
long sleeps(pid_t pid, Where at = {});

/// TCP addresses where it listens, as in "127.0.0.1:80" and "[::1]:80".
std::set<std::string> listens_at(pid_t pid);

/// How many descriptors it has open.
size_t open_descriptors(pid_t pid);

/// Waits until it has this many open.
void wait_descriptors(pid_t pid, size_t number, Where at = {});

/// The soft limit of descriptors.
long descriptor_limit(pid_t pid);

/// How many descriptors a test may still open for its own.
int spare_descriptors();

/// Whether it runs under valgrind, which has descriptors of its own and closes
/// connections that it finds one too many.
bool is_under_valgrind(pid_t pid);

/// Whether valgrind or a sanitizer has a share in its memory.
bool is_instrumented(pid_t pid);

}  // namespace wschat::test
