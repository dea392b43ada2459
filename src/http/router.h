// Who comes in: a whole request head in, the verdict out. Puts together what
// handshake, origin, visitor and pages know. No sockets, no clock.
#pragma once

#include <string>

#include "http/handshake.h"
#include "http/publish_keys.h"
#include "http/origin.h"
#include "http/target.h"
#include "http/publish_request.h"
#include "http/forwarded.h"

namespace wschat {

struct RouterConfig {
    Site site;
    OriginConfig origins;
    AddressSet trusted;  // proxies whose X-Forwarded-For is believed
    bool page = true;    // plain requests are answered with pages
    bool deflate = true;  // messages may be compressed
    bool rooms = false;   // the path names the room
    PublishKeys keys{};          // of those who may publish
    uint64_t max_upload = 1 << 20;  // bytes
};

struct Admission {
    Response answer;       // 101: come in; 100: with this upload
    ClientAddress visitor;
    Agreement agreement{};
    std::string room = "/";
    Resume resume{};     // of a client that speaks wschat.v1
    Upload upload{};
};

/// Judges what a HeadReader has collected, in any state but NeedMore. Never
/// throws and takes any bytes.
Admission admit(const HeadReader& head, const Peer& peer,
                const RouterConfig& rules);

}  // namespace wschat
