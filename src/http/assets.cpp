#include "http/assets.h"

#include <array>
#include <string>
#include <string_view>

#include <openssl/sha.h>

#include "http/target.h"
#include "util/text.h"

// Embeds a file in the read-only data of the program. The path is relative to
// the directory in which the compiler runs, the top of the tree.
#define EMBED(symbol, file)                                \
    asm(".pushsection .rodata\n" #symbol                   \
        "_begin:\n.incbin \"src/page/" file "\"\n" #symbol \
        "_end:\n.popsection\n");                           \
    extern "C" const char symbol##_begin[];                \
    extern "C" const char symbol##_end[]

EMBED(page_index, "index.html");
EMBED(page_style, "style.css");
EMBED(page_chat, "chat.js");
EMBED(page_wschat, "wschat.js");

namespace wschat {

namespace {

constexpr size_t kTagBytes = 8;  // of the hash

/// Returns a strong entity tag (RFC 9110, section 8.8.3): the start of a hash
/// of the content, so that it changes with the content and not at each start.
std::string tag_of(std::string_view content) {
    std::array<unsigned char, SHA_DIGEST_LENGTH> digest;
    SHA1(reinterpret_cast<const unsigned char*>(content.data()), content.size(),
         digest.data());
    std::string tag = "\"";
    for (size_t i = 0; i < kTagBytes; ++i) append_hex(tag, digest[i]);
    return tag + "\"";
}

struct File {
    std::string_view name;
    const char* type;
    std::string_view content;
    std::string tag = tag_of(content);
};

std::string_view between(const char* begin, const char* end) {
    return {begin, static_cast<size_t>(end - begin)};
}

/// Returns null if there is no such file. The page is the file without a name.
const File* find_file(std::string_view name) {
    static const File files[] = {
        {"", "text/html", between(page_index_begin, page_index_end)},
        {"style.css", "text/css", between(page_style_begin, page_style_end)},
        {"chat.js", "text/javascript", between(page_chat_begin, page_chat_end)},
        {"wschat.js", "text/javascript",
         between(page_wschat_begin, page_wschat_end)},
    };
    for (const File& file : files)
        if (file.name == name) return &file;
    return nullptr;
}

/// Returns the file that is requested, or null. The page asks for its parts by
/// query, because a proxy may publish it under a prefix and forward only the
/// page's own path, and because with rooms every path is that of a room.
const File* requested_file(const Request& request, bool rooms) {
    if (request.path.substr(0, 1) != "/") return nullptr;
    const std::string_view name = request.path.substr(1);
    const auto part = parameter(request.query, "asset");
    const File* file = find_file(name);
    if (part && (rooms || name.empty())) return find_file(*part);
    return file || !rooms ? file : find_file("");
}

/// True if the client has the file already. If-None-Match compares weakly,
/// because a proxy may have put W/ before the tag (RFC 9110, section 13.1.2).
bool has_current(const Request& request, const std::string& tag) {
    for (const std::string& item : {tag, "W/" + tag, std::string("*")})
        if (request.lists("If-None-Match", item, false)) return true;
    return false;
}

}  // namespace

Response asset_response(const Request& request, bool rooms,
                        const std::string& frame_ancestors) {
    if (request.method != "GET" && request.method != "HEAD")
        return error_response(405, "use GET, HEAD or POST");
    const File* file = requested_file(request, rooms);
    if (!file)
        return error_response(
            404, rooms || request.path == "/" ? "not found" : kNeedsRooms);
    // no-cache: ask again each time, since page and scripts must be of one
    // version. The policy lets the page load nothing but its own parts, and
    // script that gets into it through a message does not run.
    const std::string headers =
        "ETag: " + file->tag + "\r\n"
        "Cache-Control: no-cache\r\n"
        "X-Content-Type-Options: nosniff\r\n"
        "Referrer-Policy: no-referrer\r\n"
        "Content-Security-Policy: default-src 'none'; script-src 'self'; "
        "style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors " +
        frame_ancestors + "\r\n";
    if (has_current(request, file->tag)) return make_response(304, headers, "");
    return make_response(200,
                         headers + "Content-Type: " + file->type +
                             "; charset=utf-8\r\n",
                         file->content);
}

}  // namespace wschat
