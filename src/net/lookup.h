// Asks the system for the addresses of names.
#pragma once

#include <string>

namespace wschat {

/// Returns false if a name has no address, for example because it is
/// misspelled. True if that can't be found out. Asks files and name servers
/// (getaddrinfo(3)), and so may block for a second or two. REQUIRES: it is no
/// IP address.
bool has_address(const std::string& name);

}  // namespace wschat
