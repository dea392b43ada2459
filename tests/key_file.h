// A file with the keys of publishers, for as long as the test needs it.
#pragma once

#include <fstream>
#include <string>

#include "keys.h"
#include "scratch.h"

namespace wschat::test {

class KeyFile {
public:
    explicit KeyFile(const std::string& content) {
        std::ofstream(path_) << content;
    }

    const std::string& path() const { return path_; }

private:
    ScratchDirectory scratch_;
    std::string path_ = scratch_ / "keys";
};

constexpr char kKey[] = "0123456789abcdef";
constexpr char kBearer[] = "Bearer 0123456789abcdef";

/// Keys of which one is kKey.
inline Keys some_keys() {
    return Keys(
        KeyFile(std::string(kKey) + "\nQUJDREVGR0hJSktMTU5P==\n").path());
}

}  // namespace wschat::test
