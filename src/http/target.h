// The target of a request: its path as the name of a room, and the parameters
// of its query (RFC 3986). Knows no rooms.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "room/resume.h"

namespace wschat {

constexpr size_t kMaxRoomName = 128;  // bytes, after percent-decoding

/// Returns the path, percent-decoded once. Returns nothing if the result does
/// not begin with a slash, is longer than kMaxRoomName, is not UTF-8, or has
/// control bytes or a segment that is empty, `.` or `..`; or if the path has a
/// malformed escape or an escaped slash. `/` alone is a name.
std::optional<std::string> room_name(std::string_view path);

/// Returns the value of the first parameter of this name, not decoded; empty if
/// it has no `=`, and nothing if there is no such parameter.
std::optional<std::string_view> parameter(std::string_view query,
                                          std::string_view name);

/// Reads `epoch=WORD&since=NUMBER`, the number in at most 18 digits. If one of
/// them is missing or malformed, the client does not resume.
Resume parse_resume(std::string_view query);

}  // namespace wschat
