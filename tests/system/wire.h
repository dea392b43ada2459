// The bytes that a client sends, legal ones and others. Written apart from
// the program's own units, so that an error in those is seen.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

namespace wschat::test {

enum Opcode : uint8_t {
    kContinuation = 0,
    kText = 1,
    kBinary = 2,
    kClose = 8,
    kPing = 9,
    kPong = 10
};

constexpr uint8_t kFin = 0x80;
constexpr uint8_t kRsv1 = 0x40;  // begins a deflated message

/// Bytes given as numbers.
std::string bytes(std::initializer_list<int> values);

/// The header of a masked frame, its length in the shortest form. `first` is
/// FIN, the reserved bits and the opcode as they are on the wire.
std::string frame_header(int first, uint64_t length,
                         std::string_view mask = "\x11\x22\x33\x44");

/// A masked frame. Each has another masking key.
std::string frame(int first, std::string_view payload);

std::string text_frame(std::string_view payload);
std::string binary_frame(std::string_view payload);
std::string ping_frame(std::string_view payload = {});
std::string pong_frame(std::string_view payload = {});
std::string close_frame(int code, std::string_view reason = {});

/// A text message in fragments.
std::string first_fragment(std::string_view payload);
std::string next_fragment(std::string_view payload);
std::string last_fragment(std::string_view payload);

/// What a close frame carries.
std::string close_payload(int code, std::string_view reason);

/// The key of RFC 6455, section 1.3, and the answer to it.
constexpr char kKey[] = "dGhlIHNhbXBsZSBub25jZQ==";
constexpr char kAccept[] = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// The four header lines that every handshake needs beside Host.
std::string upgrade_lines();

/// A handshake as browsers send it; `more` is further header lines, each with
/// its CRLF.
std::string handshake(std::string_view target = "/",
                      std::string_view more = {});

/// A JSON string of this many bytes, its quotes included.
/// REQUIRES: size >= 3.
std::string json_string(size_t size, char fill = 'x');

}  // namespace wschat::test
