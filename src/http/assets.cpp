#include "http/assets.h"

#include <array>
#include <string>
#include <string_view>

#include <openssl/sha.h>

#include "http/target.h"
#include "util/text.h"

// The files, as they are when this is compiled from the top of the tree.
#define EMBED(symbol, file)                     \
    asm(".pushsection .rodata\n" #symbol        \
        "_begin:\n.incbin \"src/page/" file "\"\n" #symbol \
        "_end:\n.popsection\n");                \
    extern "C" const char symbol##_begin[];     \
    extern "C" const char symbol##_end[]

EMBED(page_index, "index.html");
EMBED(page_style, "style.css");
EMBED(page_chat, "chat.js");
EMBED(page_wschat, "wschat.js");

namespace wschat {

namespace {

constexpr size_t kTagBytes = 8;  // of the hash

/// A strong entity tag (RFC 9110, section 8.8.3): the content's hash.
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

/// The page is the file without a name. Null if there is no such file.
const File* find_file(std::string_view name) {
    static const std::array<File, 4> files{{
        {"", "text/html", between(page_index_begin, page_index_end)},
        {"style.css", "text/css", between(page_style_begin, page_style_end)},
        {"chat.js", "text/javascript", between(page_chat_begin, page_chat_end)},
        {"wschat.js", "text/javascript",
         between(page_wschat_begin, page_wschat_end)},
    }};
    for (const File& file : files)
        if (file.name == name) return &file;
    return nullptr;
}

/// The file that is asked for: behind a prefix of somebody's site, and in a
/// room, only the page's own path and its query come through.
const File* wanted(const Request& request, bool rooms) {
    if (request.path.substr(0, 1) != "/") return nullptr;
    const std::string_view name = request.path.substr(1);
    const auto part = parameter(request.query, "asset");
    const File* file = find_file(name);
    if (part && (rooms || name.empty())) return find_file(*part);
    return file || !rooms ? file : find_file("");
}

/// Weak comparison (RFC 9110, section 13.1.2).
bool has_already(const Request& request, const std::string& tag) {
    for (const std::string& item : {tag, "W/" + tag, std::string("*")})
        if (request.lists("If-None-Match", item, false)) return true;
    return false;
}

}  // namespace

Response asset_response(const Request& request, bool rooms) {
    if (request.method != "GET" && request.method != "HEAD")
        return error_response(405, "use GET, HEAD or POST");
    const File* file = wanted(request, rooms);
    if (!file) return error_response(404, "not found");
    const std::string headers =
        "ETag: " + file->tag + "\r\n"
        "Cache-Control: no-cache\r\n"
        "X-Content-Type-Options: nosniff\r\n"
        "Referrer-Policy: no-referrer\r\n"
        "Content-Security-Policy: default-src 'none'; script-src 'self'; "
        "style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'self'\r\n";
    if (has_already(request, file->tag)) return make_response(304, headers, "");
    return make_response(200,
                       headers + "Content-Type: " + file->type +
                           "; charset=utf-8\r\n",
                       file->content);
}

}  // namespace wschat
