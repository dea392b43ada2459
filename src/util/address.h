// IP addresses and host names as text: what they mean, and sets of them. No
// sockets.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace wschat {

/// How a peer of a unix socket is shown, in the place of an address.
constexpr char kUnixAddress[] = "unix";

/// The other end of a connection.
struct Peer {
    std::string address;  // canonical, or kUnixAddress
    bool local = false;   // a loopback or unix peer
};

/// Whether this is an IPv4 or IPv6 address in numbers.
bool is_ip_address(const std::string& text);

/// The usual form of an IP address (RFC 5952); IPv4-mapped ones as IPv4.
/// Nothing if it is none.
std::optional<std::string> canonical_address(const std::string& text);

/// Whether the name or address always means this machine: localhost in any
/// case, 127.0.0.0/8 (IPv4-mapped too), ::1.
bool is_loopback_host(const std::string& host);

/// A host as it stands in a URL: IPv6 addresses in brackets.
std::string host_in_url(const std::string& host);

/// What stands before an optional port, without brackets: the host of
/// "example.com:80" or "[::1]:80". Nothing if the text is not of this form;
/// what the host is made of is not checked.
std::optional<std::string> host_before_port(std::string_view text);

/// A set of networks.
class AddressSet {
public:
    /// Adds a network (CIDR), an address, "loopback" or "unix". False if the
    /// text is none of them.
    bool add(const std::string& text);

    /// REQUIRES: address is canonical, or kUnixAddress.
    bool contains(const std::string& address) const;

private:
    using Bytes16 = std::array<uint8_t, 16>;  // IPv4 as IPv4-mapped

    struct Network {
        Bytes16 address{};
        unsigned bits = 0;  // how many of them count
    };

    static bool holds(const Network& network, const Bytes16& address);

    std::vector<Network> networks_;
    bool unix_ = false;
};

}  // namespace wschat
