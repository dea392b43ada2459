// How much memory a test's objects hold, and how often they ask for it.
#pragma once

#include <cstddef>

namespace wschat::test {

/// Bytes that were allocated with new and not deleted, in the whole program.
size_t heap_in_use();

/// How often that was done since the program began.
size_t allocations();

}  // namespace wschat::test
