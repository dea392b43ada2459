// Which client a request comes from: the peer itself, or the one that a trusted
// proxy names in X-Forwarded-For. No sockets.
#pragma once

#include "http/http.h"
#include "util/address.h"

namespace wschat {

/// The client behind a request. Its peer may be a proxy.
struct ClientAddress {
    Address address;

    /// True if the client is a process of this machine and no proxy forwarded
    /// the request: such a client has more rights.
    bool is_local = false;

    /// True if a peer on this machine sent X-Forwarded-For and is not trusted.
    bool ignored_forwarded_for = false;

    /// If set, an element of X-Forwarded-For that a trusted proxy added is
    /// malformed; static text, for a 400.
    const char* error = nullptr;
};

/// Returns the peer; or, if that is trusted, the right-most address in
/// X-Forwarded-For that is not trusted, or the left-most if all are. Header
/// lines are joined in order; ports are allowed and dropped. What stands
/// further left may be forged or malformed: it is not parsed.
ClientAddress find_client_address(const Request& request, const Address& peer,
                                  const AddressSet& trusted);

}  // namespace wschat
