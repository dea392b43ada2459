// Publishing over HTTP: the head and the body of a POST in, messages out. No
// sockets, no clock; knows nothing of who receives them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "http/http.h"
#include "http/publish_keys.h"

namespace wschat {

/// A POST whose head was accepted, and its body as far as it has arrived.
struct PublishRequest {
    uint64_t size = 0;      // bytes of the body when it is whole
    bool is_lines = false;  // each line is a message; else the whole body is
    std::string room{};
    std::string body{};

    bool is_complete() const { return body.size() == size; }
};

/// A POST whose body is awaited, and the 100 response to send first, if any
/// (RFC 9110, section 10.1.1).
struct ExpectBody {
    PublishRequest request;
    std::string interim_response{};  // empty if the client waits for none
};

/// Checks the head of a POST to a room. Refuses, in this order: contradictory
/// or malformed lengths (400), that there are no keys at all (403), a missing
/// or wrong key (401), no Content-Length (411), a body of more than `max_body`
/// bytes (413).
std::variant<Response, ExpectBody> accept_publish(const Request& request,
                                                  const std::string& room,
                                                  const PublishKeys& keys,
                                                  uint64_t max_body);

/// The messages of a body, which must outlive them: all of them, or the reason
/// why none is published.
struct ParsedMessages {
    std::vector<std::string_view> texts{};
    std::string error{};  // unless empty, for a 400
};

/// Splits a complete body into messages and checks each as the messages of
/// clients are checked; type "system" is allowed.
ParsedMessages parse_messages(const PublishRequest& request);

}  // namespace wschat
