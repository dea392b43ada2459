// Publishing over HTTP: a request with a body in, the messages in it out. No
// sockets, no clock; who receives them is not known here.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "http/http.h"
#include "http/publish_keys.h"

namespace wschat {

/// A body that is expected, and what has come of it.
struct Upload {
    uint64_t size = 0;   // bytes that it will have
    bool lines = false;  // each line is a message, else all of it is one
    std::string room{};
    std::string body{};
};

/// What a POST came to by its head alone: 100, and then a body follows, or the
/// answer that refuses it.
struct Publication {
    Response answer;
    Upload upload{};
};

/// Judges the head: contradictory or malformed lengths are a 400, no keys to
/// have a 403, a wrong one or none a 401, no length a 411, more than `most`
/// bytes a 413. The answer 100 has bytes only if the client waits for it (RFC
/// 9110, section 10.1.1).
Publication judge_publication(const Request& request, const PublishKeys& keys,
                              uint64_t most);

/// The messages of a body, which must outlive them: all, or why none of them
/// is published.
struct Messages {
    std::vector<std::string_view> texts{};
    std::string error{};  // unless empty, for a 400
};
Messages messages_in(const Upload& upload);

}  // namespace wschat
