// A file with the keys of publishers, for as long as the test needs it.
#pragma once

#include <fstream>
#include <string>

#include <stdlib.h>
#include <unistd.h>

#include "keys.h"

namespace wschat::test {

class KeyFile {
public:
    explicit KeyFile(const std::string& content) {
        const int fd = mkstemp(path_.data());
        if (fd < 0) abort();
        ::close(fd);
        std::ofstream(path_) << content;
    }
    ~KeyFile() { unlink(path_.c_str()); }
    KeyFile(const KeyFile&) = delete;
    KeyFile& operator=(const KeyFile&) = delete;

    const std::string& path() const { return path_; }

private:
    std::string path_ = "/tmp/wschat-keys-XXXXXX";
};

constexpr char kKey[] = "0123456789abcdef";
constexpr char kBearer[] = "Bearer 0123456789abcdef";

/// Keys of which one is kKey.
inline Keys some_keys() {
    return Keys(
        KeyFile(std::string(kKey) + "\nQUJDREVGR0hJSktMTU5P==\n").path());
}

}  // namespace wschat::test
