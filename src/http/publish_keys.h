// The keys that authorize publishing over HTTP, read from a file. No sockets.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

namespace wschat {

/// One key, or two while publishers change from one to the other. Holds only
/// hashes of the keys. The keys may still be elsewhere in the memory of the
/// process: the buffers of the file and of requests are freed, not overwritten.
class PublishKeys {
public:
    /// Minimum length of a key, in bytes: a shorter one can be guessed.
    static constexpr size_t kMinKey = 16;

    /// No keys: publishing is off.
    PublishKeys() = default;

    /// Reads a file with one key in each line. Blanks around keys and empty
    /// lines mean nothing. A key has the bytes of a bearer token (RFC 6750,
    /// section 2.1). Throws std::runtime_error with one line that names the
    /// file and what is wrong with it, but shows no key.
    explicit PublishKeys(const std::string& file);

    bool empty() const { return hashes_.empty(); }

    /// True if the value of a header Authorization is `Bearer` and one of the
    /// keys. The time that it takes does not depend on the keys.
    bool accepts(std::string_view authorization) const;

private:
    using Hash = std::array<unsigned char, 32>;

    static Hash hash_of(std::string_view key);

    std::vector<Hash> hashes_;
};

}  // namespace wschat
