// The chat page and its parts, which are embedded in the program: a request in,
// a response out.
#pragma once

#include "http/http.h"

namespace wschat {

/// Answers GET and HEAD; the caller removes the body for HEAD. `/` is the page,
/// and with `rooms` so is any other path, since each is a room. A part of the
/// page is `/NAME` or, on the page's own path, `?asset=NAME`. Each response has
/// an ETag, by which a client that has the file already is sent a 304. Other
/// files are a 404, other methods a 405. REQUIRES: !request.error.
Response asset_response(const Request& request, bool rooms);

}  // namespace wschat
