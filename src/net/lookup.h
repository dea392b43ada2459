// Asks the system for the addresses of names.
#pragma once

#include <string>

namespace wschat {

/// Returns false if a name has no address, so that nobody can reach it by that:
/// a misspelled one, for example. True if it can't be found out. Asks files and
/// name servers (getaddrinfo(3)), and so may block for a second or two. REQUIRES:
/// the host is no IP address.
bool has_address(const std::string& name);

}  // namespace wschat
