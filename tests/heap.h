// How much memory a test's objects hold.
#pragma once

#include <cstddef>

namespace wschat::test {

/// Bytes that were allocated with new and not deleted, in the whole program.
size_t heap_in_use();

}  // namespace wschat::test
