#include "http/origin.h"

#include <algorithm>

#include "util/address.h"
#include "util/host.h"
#include "util/text.h"

namespace wschat {

namespace {

constexpr std::string_view kSchemeEnd = "://";

/// An origin, in lower case.
struct Parts {
    std::string scheme;
    std::string host;       // without brackets
    std::string authority;  // the host, perhaps in brackets, and the port
};

/// RFC 3986, section 3.1, but for the first byte, which may be any of these.
bool is_scheme(std::string_view text) {
    return !text.empty() &&
           text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789+-.") ==
               text.npos;
}

/// Returns nothing if the text is no origin with a scheme.
std::optional<Parts> split(std::string_view text) {
    const std::string lowered = lower_case(text);
    const size_t end = lowered.find(kSchemeEnd);
    if (end == lowered.npos) return std::nullopt;
    Parts parts;
    parts.scheme = lowered.substr(0, end);
    parts.authority = lowered.substr(end + kSchemeEnd.size());
    const auto host = host_before_port(parts.authority);
    if (!is_scheme(parts.scheme) || !host || !is_origin_host(*host))
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
    // Browsers send neither an empty port (RFC 3986, section 6.2.3) nor the
    // default one (RFC 6454, section 6.2).
    const char* default_port = parts->scheme == "http"    ? ":80"
                               : parts->scheme == "https" ? ":443"
                                                          : ":";
    if (ends_with(parts->authority, ":") ||
        ends_with(parts->authority, default_port))
        parts->authority.resize(parts->authority.rfind(':'));
    return parts->scheme.append(kSchemeEnd) + parts->authority;
}

bool is_allowed_origin(const OriginConfig& config, std::string_view origin,
                       std::string_view host, bool is_local) {
    const auto& admitted = config.admitted;
    for (std::string_view each : {origin, std::string_view("*")})
        if (std::find(admitted.begin(), admitted.end(), each) !=
            admitted.end())
            return true;
    const auto from = split(origin);
    // Other schemes are not those of web pages: an app or an extension that
    // uses the name of the host is not the site.
    if (!from || (from->scheme != "http" && from->scheme != "https"))
        return false;
    const auto to = host_before_port(host);
    // A page of a development server on the user's own machine. For a client on
    // another one, "localhost" is not this machine.
    if (is_local && to && is_loopback_host(from->host) &&
        is_loopback_host(*to))
        return true;
    // Anyone on the way can put a script into a page that was loaded by http.
    // Without TLS here, the same people can read and change the messages.
    if (config.is_tls && from->scheme == "http") return false;
    // Whatever the port: a site may serve its pages on another one.
    const std::string own = lower_case(config.host);
    if (from->host == own || from->host == "www." + own) return true;
    // An address can't be made to point elsewhere, as a name can.
    const auto address = Address::parse(from->host);
    return to && address && address == Address::parse(*to);
}

std::string frame_ancestors(const OriginConfig& config) {
    std::string sources = "'self'";
    const auto add = [&sources](const std::string& source) {
        if (source != "null" && source.find('[') == source.npos)
            sources += " " + source;
    };
    const std::string host = host_in_url(lower_case(config.host));
    for (std::string name : {host, "www." + host}) {
        // No page has a name such as www.192.0.2.1.
        if (name != host && is_ip_address(config.host)) continue;
        if (!config.is_tls) add("http://" + name + ":*");
        add("https://" + name + ":*");
    }
    for (const std::string& origin : config.admitted) add(origin);
    return sources;
}

}  // namespace wschat
