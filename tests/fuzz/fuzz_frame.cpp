// The input is a stream of frames from a client. Payload bytes choose the sizes
// of the pieces that it is cut into.
#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "ws/frame.h"

using namespace wschat;

namespace {

// Aborts if the condition is false. NDEBUG would disable assert().
void require(bool condition) {
    if (!condition) std::abort();
}

/// Decodes a copy of exactly this size, so that the sanitizer reports any read
/// behind its end.
DecodedHeader decode(std::string_view bytes) {
    std::vector<char> copy(bytes.begin(), bytes.end());
    return decode_header({copy.data(), copy.size()});
}

/// Encodes the header with encode_header(), and adds the mask of a client.
std::string reencoded(const FrameHeader& header) {
    char out[kMaxServerHeader];
    std::string bytes(out, encode_header(out, header.opcode, header.length));
    if (!header.fin) bytes[0] = static_cast<char>(bytes[0] & 0x7F);
    bytes[1] = static_cast<char>(bytes[1] | 0x80);
    return bytes.append(header.mask.data(), header.mask.size());
}

/// Decodes the header at the front. The result must be the same when its bytes
/// arrive one at a time.
DecodedHeader test_header(std::string_view stream) {
    DecodedHeader whole = decode(stream);
    bool refused = false;
    for (size_t n = 0; n <= std::min(stream.size(), kMaxClientHeader); ++n) {
        DecodedHeader part = decode(stream.substr(0, n));
        require(!refused || part.error != nullptr);
        refused = part.error != nullptr;
        require(!refused || whole.error != nullptr);
        require(refused || part.size == (n < whole.size ? 0 : whole.size));
    }
    require(refused == (whole.error != nullptr));
    if (whole.size > 0)
        require(reencoded(whole.header) == stream.substr(0, whole.size));
    return whole;
}

/// Unmasks in pieces whose sizes are taken from the payload.
void test_unmask(std::string_view payload, const std::array<char, 4>& mask) {
    std::vector<char> pieces(payload.begin(), payload.end());
    size_t n = 0;
    for (size_t i = 0; i < pieces.size(); i += n) {
        n = 1 + static_cast<unsigned char>(payload[i]) % 32;
        n = std::min(n, pieces.size() - i);
        unmask(pieces.data() + i, n, mask, i);
    }
    for (size_t i = 0; i < pieces.size(); ++i)
        require(pieces[i] == static_cast<char>(payload[i] ^ mask[i % 4]));
}

void test_encode(std::string_view payload) {
    char out[kMaxServerHeader];
    size_t size = encode_header(out, Opcode::Binary, payload.size());
    std::string frame = encode_frame(Opcode::Binary, payload);
    require(frame == std::string(out, size).append(payload));
    // Unmasked frames are refused.
    require(decode(frame).error != nullptr);
}

void test_close(std::string_view payload) {
    uint16_t code = close_code_of(payload);
    std::string frame = encode_close(code, payload.substr(0, 200));
    require(frame.size() <= 2 + kMaxControlPayload);
    require(close_code_of(std::string_view(frame).substr(2)) == code);
    if (payload.size() >= 2 && code != kCloseNoStatus)
        require(encode_close(code, payload.substr(2)) ==
                encode_frame(Opcode::Close, payload.substr(0, 125)));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    std::string input(data, data + size);
    std::string_view stream = input;
    test_encode(stream);
    test_close(stream);
    for (;;) {
        DecodedHeader decoded = test_header(stream);
        if (decoded.size == 0) return 0;
        stream.remove_prefix(decoded.size);
        std::string_view payload = stream.substr(
            0, std::min<uint64_t>(decoded.header.length, stream.size()));
        test_unmask(payload, decoded.header.mask);
        stream.remove_prefix(payload.size());
    }
}
