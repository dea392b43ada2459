// The chat page and its parts, which are built into the program: a request in,
// an answer out.
#pragma once

#include "http/http.h"

namespace wschat {

/// Answers GET and HEAD: `/` is the page, and with `rooms` any other path is
/// too; `/NAME`, and `?asset=NAME` on the page's own path, are its parts, of
/// which each may be fetched anew only if it has changed (ETag). Else 404 or
/// 405. REQUIRES: !request.error.
Response asset_response(const Request& request, bool rooms);

}  // namespace wschat
