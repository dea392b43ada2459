// Which web pages may connect: the Origin header of a handshake (RFC 6454,
// RFC 6455, section 10.2). Anybody's page can tell a browser to connect; only
// this header says whose page it was.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace wschat {

struct OriginConfig {
    std::string host;  // the name that clients use
    std::vector<std::string> admitted{};  // besides; as parse_origin() has them
};

/// An origin as browsers send it: "scheme://host[:port]" in lower case without
/// the scheme's own port, or "null"; or "*", which stands for all. Nothing if
/// the text is none of them.
std::optional<std::string> parse_origin(std::string_view text);

/// Whether a page from `origin` may connect: its host is that of the rules,
/// perhaps with "www." before it; or an IP address, and that of the Host header
/// `host`; or it and `host` are loopback ones, and the visitor is `local`; or
/// the rules admit it besides. That Host has the same name is no proof: a name
/// can be made to point anywhere (DNS rebinding).
bool admits(const OriginConfig& rules, std::string_view origin,
            std::string_view host, bool local);

}  // namespace wschat
