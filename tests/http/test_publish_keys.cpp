#include <stdexcept>
#include <string>

#include <doctest/doctest.h>

#include "fixtures/key_file.h"
#include "http/publish_keys.h"

using namespace wschat;
using namespace wschat::test;

namespace {

const std::string kOther = "QUJDREVGR0hJSktMTU5P==";

PublishKeys keys_in(const std::string& content) {
    const KeyFile file(content);
    return PublishKeys(file.path());
}

/// Returns the error for a file, or an empty text if it is valid.
std::string error_of(const std::string& path) {
    try {
        PublishKeys keys(path);
    } catch (const std::runtime_error& error) {
        return error.what();
    }
    return "";
}

/// Checks that the error names the file and none of its keys.
void check_refused(const std::string& content, const std::string& why) {
    CAPTURE(content);
    const KeyFile file(content);
    CHECK(error_of(file.path()) ==
          "cannot use " + file.path() + ": " + why);
}

}  // namespace

TEST_CASE("without a file no key is accepted") {
    const PublishKeys keys;
    CHECK(keys.empty());
    for (std::string shown : {"", "Bearer", "Bearer ", kBearer})
        CHECK_FALSE(keys.accepts(shown));
}

TEST_CASE("a file has one key or two, and both are accepted") {
    const PublishKeys one = keys_in(kKey);
    CHECK_FALSE(one.empty());
    CHECK(one.accepts(kBearer));
    CHECK_FALSE(one.accepts("Bearer " + kOther));
    const PublishKeys two = keys_in(kKey + ("\n" + kOther) + "\n");
    CHECK(two.accepts(kBearer));
    CHECK(two.accepts("Bearer " + kOther));
    CHECK_FALSE(two.accepts("Bearer 0123456789abcdeF"));
}

TEST_CASE("blanks around keys and empty lines mean nothing") {
    const PublishKeys keys =
        keys_in("\n \t" + std::string(kKey) + " \t\n\n  \n" + kOther + "\n\n");
    CHECK(keys.accepts(kBearer));
    CHECK(keys.accepts("Bearer " + kOther));
    CHECK_FALSE(keys.accepts("Bearer "));
}

TEST_CASE("lines may end with CR LF") {
    const PublishKeys keys = keys_in(kKey + ("\r\n" + kOther) + "\r\n\r\n");
    CHECK(keys.accepts(kBearer));
    CHECK(keys.accepts("Bearer " + kOther));
}

TEST_CASE("a key has only the bytes that RFC 6750 allows") {
    const std::string all =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~+/"
        "==";
    CHECK(keys_in(all).accepts("Bearer " + all));
    const std::string why = "a key has bytes that are not allowed";
    for (std::string bytes : {"a b", "a\tb", "#", "\"", "a:b", "\x7F", "\r",
                              "caf\xC3\xA9", "\xEF\xBB\xBF"})
        check_refused(kKey + bytes + "x\n", why);
    check_refused(std::string("0123456789abcdef\0x", 18), why);
    check_refused("# my key\n" + std::string(kKey), why);
}

TEST_CASE("a key has at least 16 characters") {
    CHECK(keys_in("0123456789abcdef").accepts(kBearer));
    const std::string why = "a key is shorter than 16 characters";
    check_refused("0123456789abcde", why);
    check_refused("x", why);
    check_refused(kKey + std::string("\n0123456789abcde\n"), why);
}

TEST_CASE("a file has at least one key and at most two") {
    check_refused("", "there is no key in it");
    check_refused("\n \n\t\n", "there is no key in it");
    check_refused(kKey + std::string("1\n") + kKey + "2\n" + kKey + "3\n",
                  "there are more than two keys");
}

TEST_CASE("the error names a file that can't be read") {
    CHECK(error_of("/nonexistent/keys") ==
          "cannot use /nonexistent/keys: No such file or directory");
    CHECK(error_of("/") == "cannot use /: it cannot be read");
}

TEST_CASE("the scheme is Bearer in any case, with one key behind it") {
    const PublishKeys keys = keys_in(kKey);
    const std::string key = kKey;
    for (std::string shown :
         {"Bearer " + key, "bearer " + key, "BEARER " + key, "Bearer   " + key})
        CHECK(keys.accepts(shown));
    for (std::string shown :
         {key, "Bearer" + key, "Bearer:" + key, "Basic " + key,
          "Bearers " + key, "Bearer " + key + " x", "Bearer x " + key,
          "Bearer \"" + key + "\"", "Bearer " + key + "," + key,
          " Bearer " + key, std::string("Bearer"), std::string("Bearer "),
          std::string()}) {
        CAPTURE(shown);
        CHECK_FALSE(keys.accepts(shown));
    }
}

TEST_CASE("neither a part of a key is accepted nor a longer text") {
    const PublishKeys keys = keys_in(kKey);
    const std::string key = kKey;
    for (size_t n = 0; n < key.size(); ++n) {
        CHECK_FALSE(keys.accepts("Bearer " + key.substr(0, n)));
        std::string changed = key;
        changed[n] ^= 1;
        CHECK_FALSE(keys.accepts("Bearer " + changed));
    }
    CHECK_FALSE(keys.accepts("Bearer " + key + "0"));
    CHECK_FALSE(keys.accepts("Bearer " + key + std::string(1, '\0')));
    CHECK_FALSE(keys.accepts("Bearer 0123456789ABCDEF"));
}
