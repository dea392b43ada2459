#include "ws/frame.h"

#include <algorithm>
#include <cstring>

namespace wschat {

namespace {

constexpr uint8_t kFin = 0x80;
constexpr uint8_t kReserved = 0x70;
constexpr uint8_t kCompressed = 0x40;  // RSV1
constexpr uint8_t kMasked = 0x80;
constexpr uint8_t kLength16 = 126;  // the length is in the next 2 bytes
constexpr uint8_t kLength64 = 127;  // the length is in the next 8 bytes

uint64_t load_big_endian(const char* p, size_t n) {
    uint64_t value = 0;
    for (size_t i = 0; i < n; ++i)
        value = value << 8 | static_cast<uint8_t>(p[i]);
    return value;
}

void store_big_endian(char* p, size_t n, uint64_t value) {
    for (size_t i = n; i-- > 0; value >>= 8)
        p[i] = static_cast<char>(value & 0xFF);
}

const char* error_in_first_byte(uint8_t byte, bool compression) {
    const uint8_t opcode = byte & 0x0F;
    const bool begins_message = opcode == 1 || opcode == 2;
    const uint8_t reserved = compression && begins_message
                                 ? kReserved & ~kCompressed
                                 : kReserved;
    if (byte & reserved) return "reserved bits set";
    if ((opcode > 2 && opcode < 8) || opcode > 10) return "reserved opcode";
    if (opcode >= 8 && !(byte & kFin)) return "fragmented control frame";
    return nullptr;
}

const char* error_in_second_byte(uint8_t byte, Opcode opcode) {
    if (!(byte & kMasked)) return "unmasked frame";
    if (is_control(opcode) && (byte & 0x7F) > kMaxControlPayload)
        return "control frame longer than 125 bytes";
    return nullptr;
}

/// Judges an extended length by the first n of its bytes.
const char* error_in_length(const char* bytes, size_t n, size_t extended) {
    const uint64_t known = load_big_endian(bytes, n);
    if (extended == 8 && n > 0 && known >> (8 * n - 1))
        return "frame length of 2^63 or more";
    const bool longer_than_needed = extended == 2
                                        ? n == 2 && known < kLength16
                                        : n >= 6 && known >> 8 * (n - 6) == 0;
    return longer_than_needed ? "frame length not in its shortest form"
                              : nullptr;
}

/// XORs whole blocks with the key, as many as there are. Returns how many
/// bytes that were. The compiler knows a block's size, and so takes it in
/// registers as wide as it has.
template <size_t kBlock>
size_t xor_blocks(char* data, size_t n, const char* key) {
    size_t i = 0;
    for (; n - i >= kBlock; i += kBlock)
        for (size_t k = 0; k < kBlock; ++k)
            data[i + k] = static_cast<char>(data[i + k] ^ key[k]);
    return i;
}

DecodedHeader refused(const char* error) {
    DecodedHeader result;
    result.error = error;
    return result;
}

}  // namespace

DecodedHeader decode_header(std::string_view bytes, bool compression) {
    DecodedHeader result;
    FrameHeader& header = result.header;
    if (bytes.empty()) return result;
    const auto first = static_cast<uint8_t>(bytes[0]);
    if (const char* error = error_in_first_byte(first, compression))
        return refused(error);
    header.fin = first & kFin;
    header.compressed = first & kCompressed;
    header.opcode = static_cast<Opcode>(first & 0x0F);

    if (bytes.size() < 2) return result;
    const auto second = static_cast<uint8_t>(bytes[1]);
    if (const char* error = error_in_second_byte(second, header.opcode))
        return refused(error);
    header.length = second & 0x7F;
    size_t extended = header.length == kLength16   ? 2
                      : header.length == kLength64 ? 8
                                                   : 0;
    if (extended) {
        const char* length = bytes.data() + 2;
        const size_t n = std::min(bytes.size() - 2, extended);
        if (const char* error = error_in_length(length, n, extended))
            return refused(error);
        header.length = load_big_endian(length, n);
    }

    size_t size = 2 + extended + header.mask.size();
    if (bytes.size() < size) return result;
    std::memcpy(header.mask.data(), bytes.data() + 2 + extended,
                header.mask.size());
    result.size = size;
    return result;
}

void unmask(char* data, size_t n, const std::array<char, 4>& mask,
            uint64_t phase) {
    std::array<char, 4> turned;
    for (size_t i = 0; i < 4; ++i) turned[i] = mask[(phase + i) % 4];
    uint32_t word;
    std::memcpy(&word, turned.data(), sizeof word);
    std::array<uint32_t, 8> words;
    words.fill(word);
    const char* key = reinterpret_cast<const char*>(words.data());

    size_t i = xor_blocks<32>(data, n, key);
    i += xor_blocks<8>(data + i, n - i, key);
    for (; i < n; ++i) data[i] = static_cast<char>(data[i] ^ key[i % 4]);
}

size_t encode_header(char* out, Opcode opcode, uint64_t length,
                     bool compressed) {
    out[0] = static_cast<char>(kFin | (compressed ? kCompressed : 0) |
                               static_cast<uint8_t>(opcode));
    if (length < kLength16) {
        out[1] = static_cast<char>(length);
        return 2;
    }
    const size_t extended = length <= 0xFFFF ? 2 : 8;
    out[1] = static_cast<char>(extended == 2 ? kLength16 : kLength64);
    store_big_endian(out + 2, extended, length);
    return 2 + extended;
}

std::string encode_frame(Opcode opcode, std::string_view payload) {
    char header[kMaxServerHeader];
    std::string frame(header, encode_header(header, opcode, payload.size()));
    return frame.append(payload);
}

std::string encode_close(uint16_t code, std::string_view reason) {
    if (code == kCloseNoStatus) return encode_frame(Opcode::Close, {});
    std::string body(2, '\0');
    store_big_endian(body.data(), 2, code);
    body += reason.substr(0, kMaxControlPayload - 2);
    return encode_frame(Opcode::Close, body);
}

uint16_t close_code_of(std::string_view payload) {
    if (payload.size() < 2) return kCloseNoStatus;
    return static_cast<uint16_t>(load_big_endian(payload.data(), 2));
}

bool is_valid_close_code(uint16_t code) {
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
           (code >= 3000 && code <= 4999);
}

}  // namespace wschat
