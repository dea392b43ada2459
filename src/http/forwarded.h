// Who sent a request: its peer, or whom a trusted proxy names in its place. No
// sockets.
#pragma once

#include <string>

#include "util/address.h"
#include "http/http.h"

namespace wschat {

struct ClientAddress {
    std::string address;  // canonical, or kUnixAddress
    bool local = false;   // on this machine, and nothing was forwarded
    bool ignored = false;  // X-Forwarded-For was there, of a peer on this
                           // machine that is not trusted
    const char* error = nullptr;  // if set, X-Forwarded-For is malformed
};

/// The visitor of a request is its peer; or, if that is trusted, the right-most
/// address in X-Forwarded-For that is not trusted, or the left-most if all are.
/// Header lines are joined in order; ports are allowed and dropped. What is
/// further left was written by the visitor and may be forged.
ClientAddress find_client_address(const Request& request, const Peer& peer,
                     const AddressSet& trusted);

}  // namespace wschat
