#include "http/publish_keys.h"

#include <cerrno>
#include <cstring>
#include <fstream>

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include "util/file_error.h"
#include "util/text.h"

namespace wschat {

namespace {

constexpr size_t kMaxKeys = 2;

bool is_key(std::string_view text) {
    return text.find_first_not_of("abcdefghijklmnopqrstuvwxyz"
                                  "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789-._~+/=") == text.npos;
}

}  // namespace

PublishKeys::PublishKeys(const std::string& file) {
    std::ifstream lines(file);
    if (!lines) throw_file_error(file, std::strerror(errno));
    for (std::string line; std::getline(lines, line);) {
        // Editors of some systems end lines with CR LF.
        if (!line.empty() && line.back() == '\r') line.pop_back();
        const std::string_view key = trim(line);
        if (key.empty()) continue;
        if (!is_key(key))
            throw_file_error(file, "a key has bytes that are not allowed");
        if (key.size() < kMinKey)
            throw_file_error(file, "a key is shorter than " +
                                       std::to_string(kMinKey) + " characters");
        hashes_.push_back(hash_of(key));
    }
    // Opening a directory succeeds; reading it fails.
    if (lines.bad()) throw_file_error(file, "it cannot be read");
    if (hashes_.empty()) throw_file_error(file, "there is no key in it");
    if (hashes_.size() > kMaxKeys)
        throw_file_error(file, "there are more than two keys");
}

bool PublishKeys::accepts(std::string_view authorization) const {
    constexpr std::string_view kScheme = "Bearer";
    std::string_view credentials = authorization;
    if (!equals_ignoring_case(take_until(credentials, ' '), kScheme))
        return false;
    const Hash hash = hash_of(trim(credentials));
    // Compares with all keys, in constant time: otherwise the time would tell
    // how many bytes of a guess are right.
    bool found = false;
    for (const Hash& key : hashes_)
        found |= CRYPTO_memcmp(key.data(), hash.data(), hash.size()) == 0;
    return found;
}

// Hashes have one length, so the time of a comparison does not tell the length
// of a key.
PublishKeys::Hash PublishKeys::hash_of(std::string_view key) {
    Hash hash;
    SHA256(reinterpret_cast<const unsigned char*>(key.data()), key.size(),
           hash.data());
    return hash;
}

}  // namespace wschat
