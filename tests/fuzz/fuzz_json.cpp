// The input is a text for check_json() and quote_json(), and a stream for
// ObjectScanner, cut into pieces whose sizes are taken from its bytes.
#include <cstdlib>
#include <string>
#include <vector>

#include "util/json.h"
#include "util/utf8.h"

using namespace wschat;

namespace {

using Outcome = JsonCheck::Outcome;

// Aborts if the condition is false. NDEBUG would disable assert().
void require(bool condition) {
    if (!condition) std::abort();
}

void test_check(std::string_view text) {
    JsonCheck found = check_json(text);
    if (found.outcome != Outcome::Malformed) {
        require(valid_utf8_prefix(text) == text.size());
        return;
    }
    require(found.reason[0] != '\0');
    require(found.offset <= text.size());
    if (valid_utf8_prefix(text) < text.size()) return;

    // The text before the offset is JSON, or can be continued to JSON.
    JsonCheck before = check_json(text.substr(0, found.offset));
    require(before.outcome != Outcome::Malformed ||
            before.offset == found.offset);
}

void test_quote(std::string_view text) {
    std::string valid(text.substr(0, valid_utf8_prefix(text)));
    std::string quoted = quote_json(valid);
    require(check_json(quoted).outcome != Outcome::Malformed);
    std::string object = "{\"type\":" + quoted + "}";
    JsonCheck found = check_json(object);
    require(found.outcome == Outcome::Truthy);
    require((valid == "system") ==
            (found.reserved == JsonCheck::Reserved::System));
    require(ObjectScanner().feed(object + "}") == object.size());
}

/// Feeds the stream in pieces. Returns the size of its first object.
size_t scan_pieces(std::string_view stream) {
    ObjectScanner scanner;
    size_t taken = 0;
    while (taken < stream.size()) {
        size_t size = 1 + static_cast<unsigned char>(stream[taken]) % 32;
        std::string_view piece = stream.substr(taken, size);
        std::vector<char> copy(piece.begin(), piece.end());
        size_t n = scanner.feed({copy.data(), copy.size()});
        taken += n;
        if (!scanner.open()) break;
        require(n == piece.size());
    }
    return taken;
}

void test_scanner(std::string_view bytes) {
    std::string stream = "{" + std::string(bytes);
    while (!stream.empty() && stream[0] == '{') {
        ObjectScanner scanner;
        size_t end = scanner.feed(stream);
        require(end > 0 && end <= stream.size());
        require(scanner.open() || stream[end - 1] == '}');
        require(!scanner.open() || end == stream.size());
        require(scan_pieces(stream) == end);
        stream.erase(0, end);
    }
}

/// Checks that the scanner finds the end of an object where check_json() does.
void test_agreement(std::string_view text) {
    JsonCheck found = check_json(text);
    if (found.outcome == Outcome::Malformed || text[0] != '{') return;
    size_t end = ObjectScanner().feed(text);
    require(end == text.find_last_of('}') + 1);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    // A copy of exactly this size, so that the sanitizer reports any read
    // behind its end.
    std::vector<char> copy(data, data + size);
    std::string_view text(copy.data(), copy.size());
    test_check(text);
    test_quote(text);
    test_scanner(text);
    test_agreement(text);
    return 0;
}
