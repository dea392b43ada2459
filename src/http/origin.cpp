#include "http/origin.h"

#include <algorithm>

#include "util/address.h"
#include "util/host.h"
#include "util/text.h"

namespace wschat {

namespace {

constexpr std::string_view kSchemeEnd = "://";

struct Parts {
    std::string scheme;
    std::string host;  // without brackets
    std::string rest;  // the host as it was written, and the port
};

bool consists_of_scheme_chars(std::string_view text) {
    return !text.empty() &&
           text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789+-.") ==
               text.npos;
}

std::optional<Parts> split(std::string_view text) {
    const std::string lowered = lower_case(text);
    const size_t end = lowered.find(kSchemeEnd);
    if (end == lowered.npos) return std::nullopt;
    Parts parts;
    parts.scheme = lowered.substr(0, end);
    parts.rest = lowered.substr(end + kSchemeEnd.size());
    const auto host = host_before_port(parts.rest);
    if (!consists_of_scheme_chars(parts.scheme) || !host || !is_origin_host(*host))
        return std::nullopt;
    parts.host = *host;
    return parts;
}

bool ends_with(const std::string& text, std::string_view end) {
    return text.size() >= end.size() &&
           text.compare(text.size() - end.size(), end.size(), end) == 0;
}

}  // namespace

std::optional<std::string> parse_origin(std::string_view text) {
    if (text == "*" || text == "null") return std::string(text);
    auto parts = split(text);
    if (!parts) return std::nullopt;
    const char* own_port = parts->scheme == "http"    ? ":80"
                           : parts->scheme == "https" ? ":443"
                                                      : ":";
    if (ends_with(parts->rest, own_port))
        parts->rest.resize(parts->rest.rfind(':'));
    return parts->scheme.append(kSchemeEnd) + parts->rest;
}

bool admits(const OriginConfig& rules, std::string_view origin,
            std::string_view host, bool local) {
    const auto& admitted = rules.admitted;
    for (std::string_view one : {origin, std::string_view("*")})
        if (std::find(admitted.begin(), admitted.end(), one) != admitted.end())
            return true;
    const auto from = split(origin);
    if (!from) return false;
    const std::string own = lower_case(rules.host);
    if (from->host == own || from->host == "www." + own) return true;
    const auto to = host_before_port(host);
    if (!to) return false;
    const auto address = canonical_address(from->host);
    if (address && address == canonical_address(*to)) return true;
    return local && is_loopback_host(from->host) && is_loopback_host(*to);
}

}  // namespace wschat
