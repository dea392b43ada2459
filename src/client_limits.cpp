#include "client_limits.h"

#include <algorithm>
#include <chrono>

namespace wschat {

namespace {

constexpr int kUnavailable = 503;

constexpr std::chrono::minutes kLogInterval(1);

/// How many times the rate of one client all of its address have: behind one
/// address there may be an office.
constexpr uint64_t kAddressFactor = 10;

/// A time that the clock can count.
constexpr Seconds kForever(1e9);

/// Returns how long so much takes at a rate.
Duration time_of(uint64_t amount, const Rate& rate) {
    const Seconds time = rate.per * (static_cast<double>(amount) /
                                     static_cast<double>(rate.amount));
    return to_duration(std::min(time, kForever));
}

/// Clients of IPv6 have whole networks of 64 bits, so one of these counts as
/// one address.
Address counted_address(const Address& address) {
    return address.is_ipv6() ? address.network(64) : address;
}

}  // namespace

void Bucket::take(uint64_t amount, const Rate& rate, Time now) {
    if (rate.amount == 0) return;
    full_at_ = std::min(std::max(full_at_, now) + time_of(amount, rate),
                        now + to_duration(kForever));
}

Time Bucket::ready_at(const Rate& rate) const {
    if (rate.amount == 0) return Time::min();
    return full_at_ - to_duration(rate.per) + time_of(1, rate);
}

Limits::Limits(const LimitsConfig& config, const AddressSet& trusted,
               size_t descriptors)
    : config_(config),
      address_messages_{kAddressFactor * config.messages.amount,
                        config.messages.per},
      address_bytes_{kAddressFactor * config.bytes.amount, config.bytes.per},
      trusted_(trusted) {
    if (config_.max_clients == LimitsConfig::kByDescriptors)
        config_.max_clients =
            descriptors - std::min(descriptors / 2, kReserved);
}

bool Limits::is_counted(const Address& address, bool is_local) const {
    return !(is_local && config_.exempt_local) && !trusted_.contains(address) &&
           !config_.exempt.contains(address);
}

AddressUse& Limits::add_client(const Address& address) {
    AddressUse& use = uses_[counted_address(address)];
    ++use.clients;
    return use;
}

Refusal Limits::add_connect(AddressUse& use, Time now) const {
    if (use.connects.ready_at(config_.connects) > now)
        return {kTooManyRequests,
                "too many handshakes from this address (--rate-connect)"};
    use.connects.take(1, config_.connects, now);
    return {};
}

void Limits::add_published(Published& published, AddressUse& use,
                           uint64_t messages, uint64_t bytes, Time now) const {
    published.messages.take(messages, config_.messages, now);
    published.bytes.take(bytes, config_.bytes, now);
    use.published.messages.take(messages, address_messages_, now);
    use.published.bytes.take(bytes, address_bytes_, now);
}

Time Limits::ready_at(const Published& published) const {
    return std::max(published.messages.ready_at(config_.messages),
                    published.bytes.ready_at(config_.bytes));
}

Time Limits::ready_at(const AddressUse& use) const {
    return std::max(use.published.messages.ready_at(address_messages_),
                    use.published.bytes.ready_at(address_bytes_));
}

bool Limits::has_published_much(const Published& published, Time now) const {
    return published.bytes.lacks_tenth(config_.bytes, now);
}

bool Limits::has_published_much(const AddressUse& use, Time now) const {
    return use.published.bytes.lacks_tenth(address_bytes_, now);
}

Refusal Limits::find_refusal(size_t connections, const AddressUse* use) const {
    if (config_.max_clients > 0 && connections > config_.max_clients)
        return {kUnavailable, "too many connections (--max-clients)"};
    if (use && config_.max_per_address > 0 &&
        use->clients > config_.max_per_address)
        return {kTooManyRequests,
                "too many connections from this address (--max-per-address)"};
    return {};
}

bool Limits::is_beyond_refusal(size_t connections,
                               const AddressUse* use) const {
    return (config_.max_clients > 0 &&
            connections > config_.max_clients + kRefused) ||
           (use && config_.max_per_address > 0 &&
            use->clients > config_.max_per_address + kRefused);
}

bool Limits::should_log(AddressUse* use, Time now) {
    Time& next = use ? use->next_log : next_log_;
    if (now < next) return false;
    next = now + kLogInterval;
    return true;
}

/// The buckets of an address must be remembered when its clients have left, or
/// it would connect again for full ones. Sought only when there are twice as
/// many addresses as the last time: that costs little for each new one.
void Limits::forget_unused(Time now) {
    if (uses_.size() < next_sweep_) return;
    for (auto each = uses_.begin(); each != uses_.end();) {
        const AddressUse& use = each->second;
        const bool is_unused = use.clients == 0 && use.connects.is_full(now) &&
                               use.published.messages.is_full(now) &&
                               use.published.bytes.is_full(now) &&
                               use.next_log <= now;
        each = is_unused ? uses_.erase(each) : std::next(each);
    }
    next_sweep_ = std::max<size_t>(64, 2 * uses_.size());
}

void Partials::set(uint32_t client, uint64_t before, uint64_t size) {
    if (size == before) return;
    by_size_.erase({before, client});
    if (size > 0) by_size_.insert({size, client});
    total_ += size - before;
}

}  // namespace wschat
