// What a request offers of permessage-deflate, and what is agreed on (RFC 7692,
// section 7.1; the grammar is RFC 6455, section 9.1). Knows no zlib.
#pragma once

#include <string>

#include "http/http.h"

namespace wschat {

/// What was agreed on: neither side ever refers to an earlier message.
struct DeflateAgreement {
    bool takes = false;  // the client may send messages deflated
    bool gives = false;  // and inflates those that had a window of 2^15 bytes
    std::string answer{};  // for Sec-WebSocket-Extensions; empty: nothing
};

/// Accepts the first offer of permessage-deflate that is well-formed and whose
/// parameters are known, each there once, with a valid value.
DeflateAgreement agree_on_deflate(const Request& request);

}  // namespace wschat
