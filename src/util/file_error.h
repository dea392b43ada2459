// The one error text for a file that an option names and that can't be used.
#pragma once

#include <string>

namespace wschat {

/// Throws std::runtime_error "cannot use FILE: REASON". REQUIRES: the reason is
/// one line.
[[noreturn]] void throw_file_error(const std::string& file,
                                   const std::string& reason);

}  // namespace wschat
