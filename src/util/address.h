// IP addresses and sets of them. No sockets.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace wschat {

/// The address of a peer or a client: an IP address; or none, for peers of a
/// unix socket, which have no address.
class Address {
public:
    /// That of a unix socket's peer.
    Address() = default;

    /// IPv6, or IPv4 mapped into it (RFC 4291, section 2.5.5.2).
    explicit Address(const std::array<uint8_t, 16>& bytes)
        : bytes_(bytes), is_unix_(false) {}

    /// Returns an IPv4 address as mapped into IPv6.
    /// REQUIRES: 4 bytes in network byte order, as in an in_addr.
    static Address from_ipv4(const uint8_t* bytes);

    /// Reads a numeric IPv4 or IPv6 address, nothing around it.
    static std::optional<Address> parse(const std::string& text);

    /// Returns the usual form (RFC 5952), IPv4-mapped addresses as IPv4; "unix"
    /// for the peer of a unix socket.
    std::string to_string() const;

    bool is_unix() const { return is_unix_; }

    /// True for 127.0.0.0/8 (IPv4-mapped too) and ::1.
    bool is_loopback() const;

    /// True for private and link-local addresses: 10.0.0.0/8, 172.16.0.0/12,
    /// 192.168.0.0/16 (RFC 1918), 169.254.0.0/16 (RFC 3927), the same mapped
    /// into IPv6, fc00::/7 (RFC 4193) and fe80::/10 (RFC 4291).
    bool is_private() const;

    /// True if the peer is a process of this machine.
    bool is_local() const { return is_unix_ || is_loopback(); }

    /// True for IPv6, but not for an IPv4 address that is mapped into it.
    bool is_ipv6() const { return !is_unix_ && !is_mapped(); }

    /// Returns the address with only the first `bits` bits, the others 0.
    /// REQUIRES: !is_unix(); bits is a multiple of 8, up to 128.
    Address network(size_t bits) const;

    /// REQUIRES: !is_unix().
    const std::array<uint8_t, 16>& bytes() const { return bytes_; }

    bool operator==(const Address& other) const {
        return is_unix_ == other.is_unix_ && bytes_ == other.bytes_;
    }
    bool operator!=(const Address& other) const { return !(*this == other); }

    /// Some order, for containers.
    bool operator<(const Address& other) const {
        if (is_unix_ != other.is_unix_) return is_unix_;
        return bytes_ < other.bytes_;
    }

private:
    bool is_mapped() const;

    std::array<uint8_t, 16> bytes_{};
    bool is_unix_ = true;
};

/// A set of networks.
class AddressSet {
public:
    /// Adds a network (CIDR), an address, "loopback" or "unix". Returns false
    /// if the text is none of them.
    bool add(const std::string& text);

    bool contains(const Address& address) const;

private:
    struct Network {
        Address address;
        unsigned bits = 0;  // how many leading bits count, of 128

        bool contains(const Address& other) const;
    };

    std::vector<Network> networks_;
    bool unix_ = false;
};

/// True if this is a numeric IPv4 or IPv6 address.
bool is_ip_address(const std::string& text);

}  // namespace wschat
