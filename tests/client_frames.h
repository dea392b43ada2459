// Frames as a client sends them, legal ones and others. Written apart from the
// program's own units, so that an error in those is seen.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

namespace wschat::test {

/// Bytes given as numbers.
inline std::string bytes(std::initializer_list<int> values) {
    std::string out;
    for (int value : values) out += static_cast<char>(value);
    return out;
}

inline std::string big_endian(uint64_t value, int size) {
    std::string out;
    for (int shift = 8 * (size - 1); shift >= 0; shift -= 8)
        out += static_cast<char>(value >> shift & 0xFF);
    return out;
}

// The masking key of the examples in RFC 6455, section 5.7.
constexpr std::string_view kMask = "\x37\xFA\x21\x3D";

/// A header without its payload, the length in its shortest form. `first` is
/// FIN, the reserved bits and the opcode, as on the wire.
inline std::string frame_header(int first, uint64_t length,
                                std::string_view mask = kMask) {
    std::string out = bytes({first});
    if (length < 126)
        out += big_endian(0x80 | length, 1);
    else if (length < 65536)
        out += big_endian(0x80 | 126, 1) + big_endian(length, 2);
    else
        out += big_endian(0x80 | 127, 1) + big_endian(length, 8);
    return out.append(mask);
}

inline std::string frame(int first, std::string_view payload,
                         std::string_view mask = kMask) {
    std::string out = frame_header(first, payload.size(), mask);
    for (size_t i = 0; i < payload.size(); ++i)
        out += static_cast<char>(payload[i] ^ mask[i % 4]);
    return out;
}

inline std::string text_frame(std::string_view payload) {
    return frame(0x81, payload);
}
inline std::string binary_frame(std::string_view payload) {
    return frame(0x82, payload);
}
inline std::string ping_frame(std::string_view payload = {}) {
    return frame(0x89, payload);
}
inline std::string pong_frame(std::string_view payload = {}) {
    return frame(0x8A, payload);
}
inline std::string close_frame(int code, std::string_view reason = {}) {
    return frame(
        0x88, big_endian(static_cast<uint64_t>(code), 2) + std::string(reason));
}

/// Fragments: the first one of a text, one in the middle, the last one.
inline std::string first_fragment(std::string_view payload) {
    return frame(0x01, payload);
}
inline std::string next_fragment(std::string_view payload) {
    return frame(0x00, payload);
}
inline std::string last_fragment(std::string_view payload) {
    return frame(0x80, payload);
}

}  // namespace wschat::test
