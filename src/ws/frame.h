// Encodes and decodes single frames (RFC 6455, section 5). No messages, no
// sockets: it knows one frame, and that clients mask theirs and servers do not.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace wschat {

/// Opcodes (RFC 6455, section 5.2). All others are reserved.
enum class Opcode : uint8_t {
    Continuation = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10
};

/// Returns true for close, ping and pong (RFC 6455, section 5.5).
inline bool is_control(Opcode opcode) {
    return static_cast<uint8_t>(opcode) >= 8;
}

/// Close codes that the server sends or handles (RFC 6455, section 7.4.1).
enum CloseCode : uint16_t {
    kCloseGoingAway = 1001,
    kCloseProtocolError = 1002,
    kCloseNoStatus = 1005,  // never sent: stands for a close frame without code
    kCloseInvalidData = 1007,
    kClosePolicyViolation = 1008,
    kCloseTooBig = 1009
};

constexpr size_t kMaxControlPayload = 125;  // RFC 6455, section 5.5
constexpr size_t kMaxServerHeader = 10;     // 2 + 8, without a masking key
constexpr size_t kMaxClientHeader = 14;     // 2 + 8 + 4

/// The header of a client's frame. Wire layout: FIN, RSV and opcode (1 byte),
/// MASK and length (1), extended length (0, 2 or 8), masking key (4).
struct FrameHeader {
    uint64_t length = 0;  // bytes of payload; below 2^63
    std::array<char, 4> mask{};
    Opcode opcode = Opcode::Continuation;
    bool fin = false;
    bool compressed = false;  // RSV1: the message is (RFC 7692, section 6)
};

/// The result of decode_header(). If `error` is set the header is illegal, and
/// the connection must fail with 1002. Else if `size` is 0 more bytes are
/// needed. Else `header` is complete.
struct DecodedHeader {
    FrameHeader header;
    size_t size = 0;              // bytes of the header
    const char* error = nullptr;  // static text
};

/// Decodes the header at the front of `bytes`, which a client has sent. Refuses
/// reserved bits and opcodes, unmasked frames, lengths that are not in their
/// shortest form or are 2^63 or more, and control frames that are fragmented or
/// longer than 125 bytes (RFC 6455, sections 5.1, 5.2 and 5.5). Reports each of
/// these errors as soon as the byte that shows it is there. With `compression`
/// RSV1 is legal in the first frame of a message (RFC 7692, section 6).
DecodedHeader decode_header(std::string_view bytes, bool compression = false);

/// XORs n bytes of a payload with its masking key (RFC 6455, section 5.3).
/// `phase` is the number of bytes of the same payload in front of them.
void unmask(char* data, size_t n, const std::array<char, 4>& mask,
            uint64_t phase);

/// Writes the header of an unfragmented, unmasked frame to `out`, with RSV1 set
/// if `compressed`. Returns its size in bytes.
/// REQUIRES: `out` has space for kMaxServerHeader bytes.
size_t encode_header(char* out, Opcode opcode, uint64_t length,
                     bool compressed = false);

/// Returns an unfragmented, unmasked frame.
std::string encode_frame(Opcode opcode, std::string_view payload);

/// Returns a close frame with this code and reason, without payload for
/// kCloseNoStatus. Cuts the reason to the 123 bytes that a control frame has
/// space for. REQUIRES: reason is ASCII, else it may be cut inside a character.
std::string encode_close(uint16_t code, std::string_view reason = {});

/// Returns the code at the front of a close frame's payload; kCloseNoStatus if
/// the payload has less than 2 bytes.
uint16_t close_code_of(std::string_view payload);

/// Returns true if a peer may send this code: 1000 to 1003, 1007 to 1014, 3000
/// to 4999 (RFC 6455, section 7.4, and the registry of IANA).
bool is_valid_close_code(uint16_t code);

}  // namespace wschat
