// Where a returning client wants to continue.
#pragma once

#include <cstdint>
#include <string>

namespace wschat {

/// The last message that a client has, and the numbering that it belongs to.
struct Resume {
    std::string epoch{};  // empty: the client was not connected before
    uint64_t since = 0;
};

}  // namespace wschat
