#include "http/forwarded.h"

#include <algorithm>

#include "util/text.h"

namespace wschat {

namespace {

constexpr char kForwardedFor[] = "X-Forwarded-For";

/// Whether a proxy has left its mark. A visitor can do so too, which gains it
/// nothing.
bool was_forwarded(const Request& request) {
    const auto headers = {kForwardedFor,      "Forwarded",        "Via",
                          "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP"};
    return std::any_of(headers.begin(), headers.end(),
                       [&request](const char* name) {
                           return request.count(name) > 0;
                       });
}

/// An address, perhaps with a port behind it.
std::optional<std::string> parse_hop(std::string_view text) {
    if (auto address = canonical_address(std::string(text))) return address;
    const auto host = host_before_port(text);
    return host ? canonical_address(*host) : std::nullopt;
}

/// All of X-Forwarded-For from left to right; nothing if any is malformed.
std::optional<std::vector<std::string>> forwarded_for(const Request& request) {
    std::vector<std::string> hops;
    for (const Header& header : request.headers) {
        if (!equals_ignoring_case(header.name, kForwardedFor)) continue;
        for (std::string_view rest = header.value; !rest.empty();) {
            const std::string_view text = trim(take_until(rest, ','));
            // Lists may have empty elements (RFC 9110, section 5.6.1).
            if (text.empty()) continue;
            auto hop = parse_hop(text);
            if (!hop) return std::nullopt;
            hops.push_back(std::move(*hop));
        }
    }
    return hops;
}

}  // namespace

ClientAddress find_client_address(const Request& request, const Peer& peer,
                     const AddressSet& trusted) {
    ClientAddress visitor{peer.address};
    if (!trusted.contains(peer.address)) {
        visitor.local = peer.local && !was_forwarded(request);
        visitor.ignored = peer.local && request.count(kForwardedFor) > 0;
        return visitor;
    }
    const auto hops = forwarded_for(request);
    if (!hops) {
        visitor.error = "malformed X-Forwarded-For";
        return visitor;
    }
    for (auto hop = hops->rbegin(); hop != hops->rend(); ++hop) {
        visitor.address = *hop;
        if (!trusted.contains(*hop)) break;
    }
    return visitor;
}

}  // namespace wschat
