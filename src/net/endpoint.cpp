#include "net/endpoint.h"

#include "util/host.h"

namespace wschat {

std::string Endpoint::to_string() const {
    if (is_unix) return "unix:" + address;
    return host_in_url(address) + ":" + std::to_string(port);
}

}  // namespace wschat
