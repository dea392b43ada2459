#include "util/address.h"

#include <algorithm>
#include <cstring>

#include <arpa/inet.h>

namespace wschat {

namespace {

constexpr std::string_view kDigits = "0123456789";
constexpr unsigned kMappedBits = 96;  // before an IPv4-mapped address

/// The 16 bytes of an address, IPv4 as IPv4-mapped.
std::optional<std::array<uint8_t, 16>> parse(const std::string& text) {
    std::array<uint8_t, 16> bytes{};
    if (inet_pton(AF_INET6, text.c_str(), bytes.data()) == 1) return bytes;
    if (inet_pton(AF_INET, text.c_str(), bytes.data() + 12) != 1)
        return std::nullopt;
    bytes[10] = bytes[11] = 0xFF;
    return bytes;
}

bool is_mapped(const std::array<uint8_t, 16>& bytes) {
    return std::all_of(bytes.begin(), bytes.begin() + 10,
                       [](uint8_t byte) { return byte == 0; }) &&
           bytes[10] == 0xFF && bytes[11] == 0xFF;
}

/// A prefix length up to `max`.
std::optional<unsigned> parse_bits(const std::string& text, unsigned max) {
    if (text.empty() || text.size() > 3 ||
        text.find_first_not_of(kDigits) != text.npos)
        return std::nullopt;
    const auto bits = static_cast<unsigned>(std::stoul(text));
    if (bits > max) return std::nullopt;
    return bits;
}

bool is_port(std::string_view text) {
    return text.size() <= 5 && text.find_first_not_of(kDigits) == text.npos;
}

}  // namespace

bool is_ip_address(const std::string& text) { return parse(text).has_value(); }

std::optional<std::string> canonical_address(const std::string& text) {
    const auto bytes = parse(text);
    if (!bytes) return std::nullopt;
    char out[INET6_ADDRSTRLEN];
    const char* result =
        is_mapped(*bytes)
            ? inet_ntop(AF_INET, bytes->data() + 12, out, sizeof out)
            : inet_ntop(AF_INET6, bytes->data(), out, sizeof out);
    return std::string(result);
}

bool is_loopback_host(const std::string& host) {
    if (strcasecmp(host.c_str(), "localhost") == 0) return true;
    AddressSet loopback;
    loopback.add("loopback");
    const auto address = canonical_address(host);
    return address && loopback.contains(*address);
}

std::string host_in_url(const std::string& host) {
    return host.find(':') == host.npos ? host : "[" + host + "]";
}

std::optional<std::string> host_before_port(std::string_view text) {
    const bool bracketed = !text.empty() && text[0] == '[';
    const size_t end = text.find(bracketed ? ']' : ':');
    std::string host(text.substr(0, end));
    std::string_view rest = text.substr(host.size());
    if (bracketed) {
        if (rest.empty()) return std::nullopt;
        host.erase(0, 1);
        rest.remove_prefix(1);
    }
    const bool good =
        rest.empty() || (rest[0] == ':' && is_port(rest.substr(1)));
    if (host.empty() || !good) return std::nullopt;
    return host;
}

bool AddressSet::add(const std::string& text) {
    if (text == kUnixAddress) return unix_ = true;
    if (text == "loopback") return add("127.0.0.0/8") && add("::1");
    const size_t slash = text.find('/');
    const auto bytes = parse(text.substr(0, slash));
    if (!bytes) return false;
    const unsigned before =
        text.find(':') == text.npos ? kMappedBits : 0;
    std::optional<unsigned> bits = 128 - before;
    if (slash != text.npos) bits = parse_bits(text.substr(slash + 1), *bits);
    if (!bits) return false;
    networks_.push_back({*bytes, before + *bits});
    return true;
}

bool AddressSet::contains(const std::string& address) const {
    if (address == kUnixAddress) return unix_;
    const auto bytes = parse(address);
    return bytes && std::any_of(networks_.begin(), networks_.end(),
                                [&bytes](const Network& network) {
                                    return holds(network, *bytes);
                                });
}

bool AddressSet::holds(const Network& network, const Bytes16& address) {
    for (unsigned i = 0; i < network.bits; ++i) {
        const unsigned differing = network.address[i / 8] ^ address[i / 8];
        if (differing >> (7 - i % 8) & 1) return false;
    }
    return true;
}

}  // namespace wschat
