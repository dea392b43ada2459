// Encodes the frames and requests of a client, legal and illegal ones. Does not
// use the program's units, so that the tests find errors in them.
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
constexpr uint8_t kRsv1 = 0x40;  // set in the first frame of a deflated message

/// Returns bytes that are given as numbers.
std::string bytes(std::initializer_list<int> values);

/// Returns the header of a masked frame, with the length in its shortest form.
/// `first` is the first byte: FIN, the reserved bits and the opcode.
std::string frame_header(int first, uint64_t length,
                         std::string_view mask = "\x11\x22\x33\x44");

/// Returns a masked frame. Each call uses another masking key.
std::string frame(int first, std::string_view payload);

std::string text_frame(std::string_view payload);
std::string binary_frame(std::string_view payload);
std::string ping_frame(std::string_view payload = {});
std::string pong_frame(std::string_view payload = {});
std::string close_frame(int code, std::string_view reason = {});

/// Return the fragments of a text message.
std::string first_fragment(std::string_view payload);
std::string next_fragment(std::string_view payload);
std::string last_fragment(std::string_view payload);

/// Returns the payload of a close frame.
std::string close_payload(int code, std::string_view reason);

/// The key of RFC 6455, section 1.3, and its Sec-WebSocket-Accept.
constexpr char kKey[] = "dGhlIHNhbXBsZSBub25jZQ==";
constexpr char kAccept[] = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// Returns the four header lines that a handshake needs besides Host.
std::string upgrade_lines();

/// Returns a handshake request; `more` is further header lines, each with its
/// CRLF.
std::string handshake(std::string_view target = "/",
                      std::string_view more = {});

/// Returns a JSON string of this many bytes, with its quotes.
/// REQUIRES: size >= 3.
std::string json_string(size_t size, char fill = 'x');

}  // namespace wschat::test
