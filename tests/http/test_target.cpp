#include <optional>
#include <string>

#include <doctest/doctest.h>

#include "http/target.h"

using namespace wschat;

namespace {

std::string escape(unsigned char byte) {
    constexpr char kHex[] = "0123456789abcdef";
    return {'%', kHex[byte >> 4], kHex[byte & 15]};
}

void check_bad(const std::string& path) {
    CAPTURE(path);
    CHECK_FALSE(room_name(path));
}

std::string value(std::string_view query, std::string_view name) {
    const auto found = parameter(query, name);
    return found ? "=" + std::string(*found) : "none";
}

bool resumes(std::string_view query) {
    return !parse_resume(query).epoch.empty();
}

}  // namespace

TEST_CASE("a path is the name of a room, decoded once") {
    struct {
        std::string path;
        std::string name;
    } const paths[] = {
        {"/", "/"},
        {"/a", "/a"},
        {"/A", "/A"},
        {"/a/b/c", "/a/b/c"},
        {"/websocket.php", "/websocket.php"},
        {"/!$&'()*+,;=:@~-._", "/!$&'()*+,;=:@~-._"},
        // escapes, in either case
        {"/%61", "/a"},
        {"/%4a%4B", "/JK"},
        {"/caf%C3%A9", "/caf\xC3\xA9"},
        {"/caf%c3%a9", "/caf\xC3\xA9"},
        {"/caf\xC3\xA9", "/caf\xC3\xA9"},
        {"/%F0%9F%98%80", "/\xF0\x9F\x98\x80"},
        {"/a%20b", "/a b"},
        {"/a+b", "/a+b"},
        {"/a%3Fb%23c", "/a?b#c"},
        {"/a%5Cb", "/a\\b"},
        // once, not twice
        {"/%2541", "/%41"},
        {"/%252F", "/%2F"},
        {"/%252e%252e", "/%2e%2e"},
        {"/%2500", "/%00"},
        {"/%25", "/%"},
        // dots within a segment
        {"/...", "/..."},
        {"/.a", "/.a"},
        {"/a.", "/a."},
        {"/..a/b..", "/..a/b.."},
    };
    for (const auto& row : paths) {
        CAPTURE(row.path);
        CHECK(room_name(row.path).value_or("none") == row.name);
    }
}

TEST_CASE("a path with a dot segment or an empty one names no room") {
    for (std::string path :
         {"/.", "/..", "/../a", "/a/..", "/a/../b", "/./a", "/a/.", "/%2e",
          "/%2E%2E", "/%2e%2e", "/.%2e", "/%2E.", "/a/%2e%2E/b", "//", "//a",
          "/a/", "/a//b", "/a/b//"})
        check_bad(path);
}

TEST_CASE("a path that does not begin with a slash names no room") {
    for (std::string path : {"", "a", "*", "%2F", "%2fa", "http://a/b", " /a"})
        check_bad(path);
}

TEST_CASE("a path with an escaped slash names no room") {
    for (std::string path : {"/%2F", "/%2f", "/a%2Fb", "/a%2fb", "/a/%2F"})
        check_bad(path);
}

TEST_CASE("a path with a malformed escape names no room") {
    for (std::string path :
         {"/%", "/%4", "/%4/", "/%%41", "/%G1", "/%1G", "/a%", "/a%e",
          "/%u0041", "/% 1", "/%+1", "/%-1", "/%0x41", "/%\xC3\xA9"})
        check_bad(path);
}

TEST_CASE("a path with a control byte names no room, escaped or not") {
    for (int byte = 0; byte < 256; ++byte) {
        const bool control = byte < ' ' || byte == 0x7F;
        if (!control) continue;
        CAPTURE(byte);
        const auto c = static_cast<unsigned char>(byte);
        check_bad("/a" + escape(c) + "b");
        check_bad("/a" + std::string(1, static_cast<char>(c)));
    }
}

TEST_CASE("each byte that is allowed in a name may be escaped") {
    for (int byte = ' '; byte < 0x7F; ++byte) {
        const auto c = static_cast<unsigned char>(byte);
        if (c == '/') continue;
        CAPTURE(byte);
        const std::string plain(1, static_cast<char>(c));
        CHECK(room_name("/x" + escape(c)).value_or("none") == "/x" + plain);
    }
}

TEST_CASE("a path that is not UTF-8 names no room") {
    for (std::string path :
         {"/%FF", "/%C3", "/%C3a", "/%A9", "/%C0%AF", "/%E0%80%AF", "/%C0%AE",
          "/%ED%A0%80", "/%F4%90%80%80", "/%F0%9F%98", "/\xFF", "/\xC3",
          "/caf\xE9"})
        check_bad(path);
}

TEST_CASE("a name has at most 128 bytes after decoding") {
    CHECK(kMaxRoomName == 128);
    CHECK(room_name("/" + std::string(127, 'a')));
    check_bad("/" + std::string(128, 'a'));
    std::string escaped = "/";
    for (int i = 0; i < 127; ++i) escaped += "%61";
    CHECK(room_name(escaped).value_or("") == "/" + std::string(127, 'a'));
    check_bad(escaped + "%61");
    check_bad(escaped + "a");
    // Characters of two bytes.
    std::string wide = "/a";
    for (int i = 0; i < 63; ++i) wide += "%C3%A9";
    CHECK(room_name(wide).value_or("").size() == 128);
    check_bad(wide + "%C3%A9");
}

TEST_CASE("a parameter is the first of its name, not decoded") {
    CHECK(value("a=1&b=2&a=3", "a") == "=1");
    CHECK(value("a=1&b=2&a=3", "b") == "=2");
    CHECK(value("a=1", "A") == "none");
    CHECK(value("aa=1&ba=2", "a") == "none");
    CHECK(value("", "a") == "none");
    CHECK(value("a", "a") == "=");
    CHECK(value("a=", "a") == "=");
    CHECK(value("a=b=c", "a") == "=b=c");
    CHECK(value("a=%41+b", "a") == "=%41+b");
    CHECK(value("&&a=1&", "a") == "=1");
    CHECK(value("b&a", "a") == "=");
    CHECK(value("a;b=1", "b") == "none");
}

TEST_CASE("a returning client gives its last message and the epoch") {
    const Resume resume = parse_resume("x=y&since=42&epoch=abc&epoch=d");
    CHECK(resume.epoch == "abc");
    CHECK(resume.since == 42);
    CHECK(parse_resume("epoch=a&since=0").since == 0);
    CHECK(parse_resume("epoch=a&since=0007").since == 7);
    CHECK(parse_resume("epoch=a&since=999999999999999999").since ==
          999'999'999'999'999'999);
}

TEST_CASE("a client that does not give both does not resume") {
    for (std::string query :
         {"", "epoch=a", "since=1", "epoch=&since=1",
          "epoch=a&since=", "epoch=a&since=-1", "epoch=a&since=+1",
          "epoch=a&since=1.0", "epoch=a&since=0x1", "epoch=a&since=1e3",
          "epoch=a&since= 1", "epoch=a&since=%31", "epoch=a&since=x",
          "epoch=a&since=x&since=1", "epoch=a&since=1000000000000000000",
          "epoch=a&since=18446744073709551616", "Epoch=a&since=1",
          "epoch=a&Since=1"}) {
        CAPTURE(query);
        CHECK_FALSE(resumes(query));
    }
}
