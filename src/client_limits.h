// What one client, one address and all together may take of the daemon. Counts
// and rates; no sockets, no clock, no connection.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "limits_config.h"
#include "util/address.h"
#include "util/clock.h"

namespace wschat {

/// A token bucket: what is taken flows back at a rate. It stores only when it
/// will be full again. More than there is may be taken; then the next one must
/// wait for longer.
class Bucket {
public:
    void take(uint64_t amount, const Rate& rate, Time now);

    /// Returns when one may be taken again; a time that has passed if it is
    /// now.
    Time ready_at(const Rate& rate) const;

    bool is_full(Time now) const { return full_at_ <= now; }

    /// Returns true if a tenth or more is missing.
    bool lacks_tenth(const Rate& rate, Time now) const {
        return full_at_ - now >= to_duration(rate.per) / 10;
    }

private:
    Time full_at_{};
};

/// What was published, by one client or by all of an address.
struct Published {
    Bucket messages;
    Bucket bytes;
};

/// What the clients of one address take together.
struct AddressUse {
    size_t clients = 0;  // connections, refused ones too
    size_t rooms = 0;    // rooms without members of other addresses
    Bucket connects;
    Published published;
    Time next_log{};  // until then a refusal is not logged
};

/// The status of a refusal that concerns one address (RFC 6585, section 4).
constexpr int kTooManyRequests = 429;

/// Why a connection or a request is refused.
struct Refusal {
    int status = 0;  // 0: it is not refused
    std::string why{};

    explicit operator bool() const { return status != 0; }
};

/// The unfinished messages of all clients: their sum, and who has the largest.
class Partials {
public:
    /// Sets the size of a client's unfinished message; 0 is none.
    void set(uint32_t client, uint64_t before, uint64_t size);

    uint64_t total() const { return total_; }

    /// REQUIRES: total() > 0.
    uint32_t largest() const { return by_size_.rbegin()->second; }

private:
    std::set<std::pair<uint64_t, uint32_t>> by_size_;
    uint64_t total_ = 0;
};

/// Counts by address, and decides.
class Limits {
public:
    /// An address that has reached its limit may have so many connections more,
    /// and so may all together: they live until they are told so. Further ones
    /// are closed at once.
    static constexpr size_t kRefused = 32;

    /// Descriptors that are no connections: listeners, standard streams, files
    /// to load again, and the refused.
    static constexpr size_t kReserved = 64;

    /// `descriptors` is how many the process may have. REQUIRES: `trusted`
    /// outlives it.
    Limits(const LimitsConfig& config, const AddressSet& trusted,
           size_t descriptors);

    const LimitsConfig& config() const { return config_; }

    Partials& partials() { return partials_; }

    /// Returns true if the clients of an address are counted: it is neither
    /// exempt nor that of a proxy. `is_local` as in ClientAddress.
    bool is_counted(const Address& address, bool is_local) const;

    /// Counts one more client of an address. The use stays where it is in
    /// memory while it has clients.
    AddressUse& add_client(const Address& address);

    /// Takes back what add_client() has counted.
    static void remove_client(AddressUse& use) { --use.clients; }

    /// Notes a handshake of an address. Refuses if there are too many.
    Refusal add_connect(AddressUse& use, Time now) const;

    /// Notes what a client has published. A control frame is a message, too.
    void add_published(Published& published, AddressUse& use, uint64_t messages,
                       uint64_t bytes, Time now) const;

    /// Returns when a client may publish again, as far as it is for its own
    /// rate, or for that of its address.
    Time ready_at(const Published& published) const;
    Time ready_at(const AddressUse& use) const;

    /// Returns true if a tenth of what may be published in a burst, or more,
    /// was published lately.
    bool has_published_much(const Published& published, Time now) const;
    bool has_published_much(const AddressUse& use, Time now) const;

    /// Refuses if there are too many connections of all addresses, or of this
    /// one. `use` is null if it is not counted.
    Refusal find_refusal(size_t connections, const AddressUse* use) const;

    /// True if a connection must be closed without a word.
    bool is_beyond_refusal(size_t connections, const AddressUse* use) const;

    /// Returns true if a refusal is to be logged: once a minute for an address,
    /// null for all together.
    bool should_log(AddressUse* use, Time now);

    /// Forgets addresses that have nothing left to count.
    void forget_unused(Time now);

private:
    LimitsConfig config_;
    Rate address_messages_;  // of all clients of an address
    Rate address_bytes_;
    const AddressSet& trusted_;
    std::map<Address, AddressUse> uses_;
    Partials partials_;
    size_t next_sweep_ = 64;  // addresses at which unused ones are forgotten
    Time next_log_{};
};

}  // namespace wschat
