#include "http/forwarded.h"

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "util/host.h"
#include "util/text.h"

namespace wschat {

namespace {

constexpr char kForwardedFor[] = "X-Forwarded-For";

/// Returns whether any header that proxies add is present. A client may forge
/// one, which only costs it the rights of a local client.
bool was_forwarded(const Request& request) {
    const auto headers = {kForwardedFor,      "Forwarded",        "Via",
                          "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP"};
    return std::any_of(headers.begin(), headers.end(),
                       [&request](const char* name) {
                           return request.count(name) > 0;
                       });
}

/// Reads an address, perhaps with a port behind it.
std::optional<Address> parse_hop(std::string_view text) {
    if (auto address = Address::parse(std::string(text))) return address;
    const auto host = host_before_port(text);
    return host ? Address::parse(*host) : std::nullopt;
}

/// Returns the elements of X-Forwarded-For from left to right, not parsed.
std::vector<std::string_view> forwarded_for(const Request& request) {
    std::vector<std::string_view> elements;
    for (const Header& header : request.headers) {
        if (!equals_ignoring_case(header.name, kForwardedFor)) continue;
        for (std::string_view rest = header.value; !rest.empty();) {
            const std::string_view text = trim(take_until(rest, ','));
            // Lists may have empty elements (RFC 9110, section 5.6.1).
            if (!text.empty()) elements.push_back(text);
        }
    }
    return elements;
}

/// Returns the right-most address that is not trusted, or the left-most if all
/// are trusted; the peer if the list is empty. Each element was added by the
/// address to the right of it, or by the peer. So what stands to the left of an
/// address that is not trusted is not parsed: its client may have written
/// anything there, and must not get a 400 for it. Returns nothing if an element
/// that a trusted proxy added is malformed.
std::optional<Address> last_untrusted(
    const std::vector<std::string_view>& elements, const Address& peer,
    const AddressSet& trusted) {
    Address address = peer;
    for (auto element = elements.rbegin();
         element != elements.rend() && trusted.contains(address); ++element) {
        const auto hop = parse_hop(*element);
        if (!hop) return std::nullopt;
        address = *hop;
    }
    return address;
}

}  // namespace

ClientAddress find_client_address(const Request& request, const Address& peer,
                                  const AddressSet& trusted) {
    ClientAddress client{peer};
    if (!trusted.contains(peer)) {
        client.is_local = peer.is_local() && !was_forwarded(request);
        client.ignored_forwarded_for =
            peer.is_local() && request.count(kForwardedFor) > 0;
        return client;
    }
    // Without the header the address of the client is unknown, and that of the
    // proxy stands for it. Even if that is a loopback address, the client does
    // not count as local: a proxy can be configured not to send the header.
    const auto address =
        last_untrusted(forwarded_for(request), peer, trusted);
    if (address)
        client.address = *address;
    else
        client.error = "malformed X-Forwarded-For";
    return client;
}

}  // namespace wschat
