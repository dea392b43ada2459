#include "util/address.h"

#include <algorithm>

#include <arpa/inet.h>

#include "util/text.h"

namespace wschat {

namespace {

constexpr char kUnix[] = "unix";

/// Stands before an IPv4 address that is mapped into IPv6.
constexpr std::array<uint8_t, 12> kMappedPrefix{0, 0, 0, 0, 0,    0,
                                                0, 0, 0, 0, 0xFF, 0xFF};

}  // namespace

Address Address::from_ipv4(const uint8_t* bytes) {
    std::array<uint8_t, 16> mapped{};
    const auto end =
        std::copy(kMappedPrefix.begin(), kMappedPrefix.end(), mapped.begin());
    std::copy_n(bytes, 4, end);
    return Address(mapped);
}

std::optional<Address> Address::parse(const std::string& text) {
    std::array<uint8_t, 16> bytes{};
    if (inet_pton(AF_INET6, text.c_str(), bytes.data()) == 1)
        return Address(bytes);
    if (inet_pton(AF_INET, text.c_str(), bytes.data()) == 1)
        return from_ipv4(bytes.data());
    return std::nullopt;
}

bool Address::is_mapped() const {
    return !is_unix_ &&
           std::equal(kMappedPrefix.begin(), kMappedPrefix.end(),
                      bytes_.begin());
}

bool Address::is_loopback() const {
    // All of 127.0.0.0/8 is this machine (RFC 1122, section 3.2.1.3).
    if (is_mapped()) return bytes_[12] == 127;
    return !is_unix_ && std::all_of(bytes_.begin(), bytes_.end() - 1,
                                    [](uint8_t byte) { return byte == 0; }) &&
           bytes_[15] == 1;
}

bool Address::is_private() const {
    if (is_unix_) return false;
    if (!is_mapped())
        return (bytes_[0] & 0xfe) == 0xfc ||
               (bytes_[0] == 0xfe && (bytes_[1] & 0xc0) == 0x80);
    const uint8_t first = bytes_[12], second = bytes_[13];
    return first == 10 || (first == 172 && (second & 0xf0) == 16) ||
           (first == 192 && second == 168) || (first == 169 && second == 254);
}

Address Address::network(size_t bits) const {
    Address network = *this;
    std::fill(network.bytes_.begin() + bits / 8, network.bytes_.end(),
              uint8_t{0});
    return network;
}

std::string Address::to_string() const {
    if (is_unix_) return kUnix;
    char out[INET6_ADDRSTRLEN];
    return is_mapped()
               ? inet_ntop(AF_INET, bytes_.data() + 12, out, sizeof out)
               : inet_ntop(AF_INET6, bytes_.data(), out, sizeof out);
}

bool is_ip_address(const std::string& text) {
    return Address::parse(text).has_value();
}

bool AddressSet::add(const std::string& text) {
    if (text == kUnix) return unix_ = true;
    if (text == "loopback") return add("127.0.0.0/8") && add("::1");
    const size_t slash = text.find('/');
    const auto address = Address::parse(text.substr(0, slash));
    if (!address) return false;
    // The prefix of an IPv4 network counts from the mapped part on.
    const bool v4 = text.find(':') == text.npos;
    const unsigned before = v4 ? 8 * kMappedPrefix.size() : 0;
    std::optional<uint64_t> bits = 128 - before;
    if (slash != text.npos)
        bits = parse_decimal(std::string_view(text).substr(slash + 1), *bits);
    if (!bits) return false;
    networks_.push_back({*address, before + static_cast<unsigned>(*bits)});
    return true;
}

bool AddressSet::contains(const Address& address) const {
    if (address.is_unix()) return unix_;
    return std::any_of(networks_.begin(), networks_.end(),
                       [&address](const Network& network) {
                           return network.contains(address);
                       });
}

bool AddressSet::Network::contains(const Address& other) const {
    for (unsigned i = 0; i < bits; ++i) {
        const unsigned differing =
            address.bytes()[i / 8] ^ other.bytes()[i / 8];
        if (differing >> (7 - i % 8) & 1) return false;
    }
    return true;
}

}  // namespace wschat
