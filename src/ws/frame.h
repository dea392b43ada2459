// One frame of RFC 6455, section 5: from bytes and to bytes. Knows nothing of
// messages, directions of traffic beyond masking, or sockets.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace wschat {

enum class Opcode : uint8_t {
    Continuation = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10
};

inline bool is_control(Opcode opcode) {
    return static_cast<uint8_t>(opcode) >= 8;
}

/// Close codes (RFC 6455, section 7.4.1).
enum CloseCode : uint16_t {
    kCloseNormal = 1000,
    kCloseGoingAway = 1001,
    kCloseProtocolError = 1002,
    kCloseNoStatus = 1005,  // never on the wire: the frame had no code
    kCloseInvalidData = 1007,
    kClosePolicyViolation = 1008,
    kCloseTooBig = 1009
};

constexpr size_t kMaxControlPayload = 125;
constexpr size_t kMaxServerHeader = 10;
constexpr size_t kMaxClientHeader = 14;

/// The header of a client's frame. Wire layout: FIN and opcode (1 byte),
/// MASK and length (1), extended length (0, 2 or 8), masking key (4).
struct FrameHeader {
    uint64_t length = 0;  // of the payload; below 2^63
    std::array<char, 4> mask{};
    Opcode opcode = Opcode::Continuation;
    bool fin = false;
    bool compressed = false;  // RSV1: the message is (RFC 7692, section 6)
};

/// What decode_header() made of the bytes: refused if `error` is set, else
/// whole if `size` > 0, else more bytes are needed.
struct DecodedHeader {
    FrameHeader header;
    size_t size = 0;              // bytes that the header takes
    const char* error = nullptr;  // static text; the connection fails: 1002
};

/// Decodes the header of a frame sent by a client, strictly: refuses reserved
/// bits and opcodes, unmasked frames, lengths not in their shortest form or
/// of 2^63 and up, and control frames that are fragmented or longer than 125
/// bytes; each as soon as the byte that shows it is there. Where messages
/// may be compressed, RSV1 is no reserved bit in the first frame of one.
DecodedHeader decode_header(std::string_view bytes, bool compression = false);

/// XORs n bytes with the masking key, of which `phase` bytes of the payload
/// were unmasked before (section 5.3).
void unmask(char* data, size_t n, const std::array<char, 4>& mask,
            uint64_t phase);

/// Writes the header of an unfragmented, unmasked frame to `out`, which has
/// room for kMaxServerHeader bytes. Returns its size.
size_t encode_header(char* out, Opcode opcode, uint64_t length,
                     bool compressed = false);

/// A whole unfragmented, unmasked frame.
std::string encode_frame(Opcode opcode, std::string_view payload);

/// A close frame with this code; kCloseNoStatus makes one without a body.
/// The reason is cut to what a control frame holds (123 bytes).
/// REQUIRES: reason is ASCII.
std::string encode_close(uint16_t code, std::string_view reason = {});

/// The code at the front of a close frame's payload; kCloseNoStatus if there
/// are no two bytes.
uint16_t close_code_of(std::string_view payload);

/// Whether a close frame that came from a peer may carry this code: 1000 to
/// 1003, 1007 to 1014, 3000 to 4999.
bool is_valid_close_code(uint16_t code);

}  // namespace wschat
