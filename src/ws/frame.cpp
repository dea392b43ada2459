#include "ws/frame.h"

#include <cstring>

namespace wschat {

namespace {

constexpr uint8_t kFin = 0x80;
constexpr uint8_t kReserved = 0x70;
constexpr uint8_t kCompressed = 0x40;  // RSV1
constexpr uint8_t kMasked = 0x80;
constexpr uint8_t kLength16 = 126;  // the next 2 bytes are the length
constexpr uint8_t kLength64 = 127;  // the next 8 bytes are the length

uint64_t load_big_endian(std::string_view bytes) {
    uint64_t value = 0;
    for (char byte : bytes) value = value << 8 | static_cast<uint8_t>(byte);
    return value;
}

void store_big_endian(char* p, size_t n, uint64_t value) {
    for (size_t i = n; i-- > 0; value >>= 8)
        p[i] = static_cast<char>(value & 0xFF);
}

/// Returns why the byte of FIN, RSV and opcode is illegal; null if it is legal.
const char* error_in_first_byte(uint8_t byte, bool compression) {
    const uint8_t opcode = byte & 0x0F;
    // RSV1 marks the message, so only its first frame has it (RFC 7692, section
    // 6), and no control frame.
    const bool begins_message = opcode == 1 || opcode == 2;
    const uint8_t reserved = compression && begins_message
                                 ? kReserved & ~kCompressed
                                 : kReserved;
    if (byte & reserved) return "reserved bits set";
    if ((opcode > 2 && opcode < 8) || opcode > 10) return "reserved opcode";
    if (opcode >= 8 && !(byte & kFin)) return "fragmented control frame";
    return nullptr;
}

/// Returns why the byte of MASK and length is illegal; null if it is legal.
const char* error_in_second_byte(uint8_t byte, Opcode opcode) {
    if (!(byte & kMasked)) return "unmasked frame";
    if (is_control(opcode) && (byte & 0x7F) > kMaxControlPayload)
        return "control frame longer than 125 bytes";
    return nullptr;
}

/// Returns the number of bytes of the extended length.
size_t extended_size(uint64_t length) {
    if (length == kLength16) return 2;
    return length == kLength64 ? 8 : 0;
}

/// Returns why an extended length is illegal, as far as the bytes of it that
/// have arrived tell; null if they are legal. The shortest form is mandatory
/// (RFC 6455, section 5.2): 2 bytes hold at least 126, 8 bytes at least 65536,
/// so that one of their first 6 is not zero.
const char* error_in_length(std::string_view bytes, size_t extended) {
    const size_t n = bytes.size();
    const uint64_t known = load_big_endian(bytes);
    if (extended == 8 && n > 0 && known >> (8 * n - 1))
        return "frame length of 2^63 or more";
    const bool longer_than_needed = extended == 2
                                        ? n == 2 && known < kLength16
                                        : n >= 6 && known >> 8 * (n - 6) == 0;
    return longer_than_needed ? "frame length not in its shortest form"
                              : nullptr;
}

/// XORs all whole blocks of the data with the key. Returns how many bytes that
/// were. The block size is a template parameter because the compiler then turns
/// the inner loop into a few operations on vector registers.
template <size_t kBlock>
size_t xor_blocks(char* data, size_t n, const char* key) {
    size_t i = 0;
    for (; n - i >= kBlock; i += kBlock)
        for (size_t k = 0; k < kBlock; ++k)
            data[i + k] = static_cast<char>(data[i + k] ^ key[k]);
    return i;
}

DecodedHeader refuse(const char* error) {
    DecodedHeader result;
    result.error = error;
    return result;
}

}  // namespace

DecodedHeader decode_header(std::string_view bytes, bool compression) {
    // Each byte is checked before the next one is needed. So a peer that is no
    // WebSocket client gets its error at once, and not when it has sent enough.
    DecodedHeader result;
    FrameHeader& header = result.header;
    if (bytes.empty()) return result;
    const auto first = static_cast<uint8_t>(bytes[0]);
    if (const char* error = error_in_first_byte(first, compression))
        return refuse(error);
    header.fin = first & kFin;
    header.compressed = first & kCompressed;
    header.opcode = static_cast<Opcode>(first & 0x0F);

    if (bytes.size() < 2) return result;
    const auto second = static_cast<uint8_t>(bytes[1]);
    if (const char* error = error_in_second_byte(second, header.opcode))
        return refuse(error);
    header.length = second & 0x7F;
    const size_t extended = extended_size(header.length);
    if (extended > 0) {
        const std::string_view length = bytes.substr(2, extended);
        if (const char* error = error_in_length(length, extended))
            return refuse(error);
        header.length = load_big_endian(length);
    }

    const size_t size = 2 + extended + header.mask.size();
    if (bytes.size() < size) return result;
    std::memcpy(header.mask.data(), bytes.data() + 2 + extended,
                header.mask.size());
    result.size = size;
    return result;
}

void unmask(char* data, size_t n, const std::array<char, 4>& mask,
            uint64_t phase) {
    // Rotated by the phase, the key starts with the byte for data[0]. Repeated
    // to 32 bytes, it unmasks 32 bytes at a time.
    std::array<char, 4> rotated;
    for (size_t i = 0; i < 4; ++i) rotated[i] = mask[(phase + i) % 4];
    uint32_t word;
    std::memcpy(&word, rotated.data(), sizeof word);
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
    return static_cast<uint16_t>(load_big_endian(payload.substr(0, 2)));
}

bool is_valid_close_code(uint16_t code) {
    // 1005, 1006 and 1015 only stand for something inside a program (section
    // 7.4.1); 1004 and all others below 3000 are reserved (section 7.4.2).
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
           (code >= 3000 && code <= 4999);
}

}  // namespace wschat
