// Decides whether the daemon has withstood an attack, and prints results.
#pragma once

#include <string>

#include "trial.h"

namespace wschat::attack {

struct Limits {
    double floor_ms = 25;   // a p99 below this is never too high
    double max_memory = 0;  // MiB
};

/// Returns why the daemon has not withstood the attack; empty if it has.
std::string objection(const Result& result, const Limits& limits);

void print_table_head();
void print_row(const Attack& attack, const Result& result);

}  // namespace wschat::attack
