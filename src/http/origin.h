// Which web pages may connect (RFC 6454; RFC 6455, section 10.2). Any page can
// tell a browser to connect here, with the user's cookies and address; only the
// header Origin says whose page it was. No sockets.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace wschat {

struct OriginConfig {
    std::string host;  // the name that clients use
    std::vector<std::string> admitted{};  // others, as parse_origin() returns
                                          // them
    bool is_tls = false;  // pages connect by wss:
};

/// Reads an origin as browsers send it. Returns "scheme://host[:port]" in lower
/// case, without an empty port and without the default port of http and https;
/// or "null"; or "*", which stands for all. Returns nothing if the text is none
/// of these.
std::optional<std::string> parse_origin(std::string_view text);

/// True if a page of `origin` may connect by a request whose Host header is
/// `host`. Either the origin, or "*", is in `config.admitted`; or its scheme is
/// https, or http if !config.is_tls, and one of these holds:
/// - its host is `config.host`, perhaps with "www." before it;
/// - its host is an IP address, and `host` is the same one;
/// - (also by http) its host and `host` are loopback hosts, and the client
///   `is_local`, which means on this machine.
/// A name in Host is never trusted: its owner can make it point here after a
/// page was loaded from elsewhere (DNS rebinding).
bool is_allowed_origin(const OriginConfig& config, std::string_view origin,
                       std::string_view host, bool is_local);

/// Returns the sources of the policy frame-ancestors (CSP Level 3): pages of
/// which origins may show the chat page in a frame. They are those that
/// is_allowed_origin() admits for config.host, and the page's own. A policy
/// can't name `null` and IPv6 addresses.
std::string frame_ancestors(const OriginConfig& config);

}  // namespace wschat
