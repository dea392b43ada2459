#include "support.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include <doctest/doctest.h>

namespace wschat::test {

void fail(SourceLine at, const std::string& why) {
    ADD_FAIL_AT(at.file, at.line, why);
    throw std::logic_error(why);
}

std::string printable(std::string_view bytes) {
    constexpr size_t kMaxShown = 300;
    constexpr char kHex[] = "0123456789abcdef";
    std::string out = "\"";
    for (char c : bytes.substr(0, kMaxShown)) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte >= 0x20 && byte < 0x7F) {
            out += c;
        } else {
            out += "\\x";
            out += kHex[byte >> 4];
            out += kHex[byte & 15];
        }
    }
    out += "\"";
    if (bytes.size() > kMaxShown)
        out += "... (" + std::to_string(bytes.size()) + " bytes)";
    return out;
}

double slowdown() {
    const char* factor = std::getenv("WSCHAT_TEST_SLOW");
    return factor ? std::max(1.0, std::atof(factor)) : 1;
}

std::chrono::milliseconds max_wait() {
    return std::chrono::milliseconds(static_cast<int>(15000 * slowdown()));
}

std::string timed(const std::string& option, double seconds) {
    std::ostringstream text;
    text << option << '=' << seconds * slowdown();
    return text.str();
}

int TimeLimit::remaining() const {
    using std::chrono::milliseconds;
    const auto remaining = std::chrono::duration_cast<milliseconds>(
        end_ - std::chrono::steady_clock::now());
    return static_cast<int>(std::max<int64_t>(0, remaining.count()));
}

void write_file(const std::string& path, const std::string& content) {
    std::ofstream(path) << content;
}

}  // namespace wschat::test
