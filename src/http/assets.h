// The chat page and its parts, which are embedded in the program: a request in,
// a response out.
#pragma once

#include <string>

#include "http/http.h"

namespace wschat {

/// Why a path other than that of the page or one of its files gets a 404.
constexpr char kNeedsRooms[] = "not found: a path is a room only with --rooms";

/// Answers GET and HEAD; the caller removes the body for HEAD. Other methods
/// get a 405. `/` is the page, and `/NAME` is a part of it. Any other path gets
/// a 404; but with `rooms` it is the page too, since each path is a room. On a
/// path of the page the query `?asset=NAME` asks for that part; an unknown NAME
/// gets a 404. Each file has an ETag, by which a client that has the file
/// already is sent a 304. Pages of `frame_ancestors`, from the function of this
/// name, may show the page in a frame. REQUIRES: !request.error.
Response asset_response(const Request& request, bool rooms,
                        const std::string& frame_ancestors);

}  // namespace wschat
