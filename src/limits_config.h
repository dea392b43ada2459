// Limits of connections, addresses and rates: plain values, for the options
// too.
#pragma once

#include <cstddef>
#include <cstdint>

#include "util/address.h"
#include "util/clock.h"

namespace wschat {

/// So much in so long, as a burst and in the long run.
struct Rate {
    uint64_t amount = 0;  // 0: not limited
    Seconds per{1};       // above 0
};

/// What clients may take. 0 switches a limit off.
struct LimitsConfig {
    /// As many as the process has descriptors for, see Limits.
    static constexpr size_t kByDescriptors = SIZE_MAX;

    size_t max_clients = kByDescriptors;  // connections of all addresses

    // Of one address; of IPv6 the first 64 bits.
    size_t max_per_address = 1000;       // connections
    size_t max_rooms_per_address = 100;  // rooms without other members
    Rate connects{60, Seconds(10)};      // handshakes

    // Of one connection; all of one address together have ten times as much.
    Rate messages{30, Seconds(3)};      // control frames too
    Rate bytes{1 << 20, Seconds(3)};    // inflated

    uint64_t max_partial = 64 << 20;  // bytes in unfinished messages and bodies

    AddressSet exempt;         // limited by max_clients and max_partial only
    bool exempt_local = true;  // so are local peers that no proxy forwards
};

}  // namespace wschat
