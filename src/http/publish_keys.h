// The keys that publishers show, from a file. No sockets.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

namespace wschat {

/// One key, or two while publishers change over from the one to the other.
/// Only their hashes are held.
class PublishKeys {
public:
    /// So long at least is a key that nobody guesses.
    static constexpr size_t kMinKey = 16;

    /// Without a file, there are none.
    PublishKeys() = default;

    /// Reads a file with a key in each line, made of what RFC 6750, section
    /// 2.1, allows. Throws std::runtime_error with one line that says what is
    /// wrong with it.
    explicit PublishKeys(const std::string& file);

    bool empty() const { return hashes_.empty(); }

    /// Whether the value of a header `Authorization` is `Bearer` and one of
    /// the keys. How long it takes tells nothing of the keys.
    bool admit(std::string_view authorization) const;

private:
    using Hash = std::array<unsigned char, 32>;

    static Hash hash_of(std::string_view key);

    std::vector<Hash> hashes_;
};

}  // namespace wschat
