// The path of a request as the name of a room, and the parameters in its query
// (RFC 3986). Whose they are is not known here.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "room/resume.h"

namespace wschat {

constexpr size_t kMaxRoomName = 128;  // bytes

/// The path, percent-decoded once. Nothing if it does not begin with a slash,
/// is longer than kMaxRoomName then, is not UTF-8 or has control bytes, an
/// escape that is none, an encoded slash, or a segment that is empty, `.` or
/// `..`; `/` alone is good.
std::optional<std::string> room_name(std::string_view path);

/// The value of the first parameter of this name, as it is written; nothing
/// if there is none.
std::optional<std::string_view> parameter(std::string_view query,
                                          std::string_view name);

/// From `epoch=WORD&since=NUMBER`. Without one of them, or if that is no
/// number, the client does not come back.
Resume parse_resume(std::string_view query);

}  // namespace wschat
