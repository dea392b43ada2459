#include "net/lookup.h"

#include <netdb.h>
#include <resolv.h>
#include <sys/socket.h>

namespace wschat {

bool has_address(const std::string& name) {
    // Else a name server that does not answer takes ten seconds and more.
    res_init();
    _res.retrans = 1;
    _res.retry = 1;
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    const int error = getaddrinfo(name.c_str(), nullptr, &hints, &found);
    if (error == 0) freeaddrinfo(found);
    return error != EAI_NONAME && error != EAI_NODATA;
}

}  // namespace wschat
