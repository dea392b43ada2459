#include "wire.h"

#include <random>

namespace wschat::test {

namespace {

void append_big_endian(std::string& out, uint64_t value, int size) {
    for (int shift = 8 * (size - 1); shift >= 0; shift -= 8)
        out += static_cast<char>(value >> shift & 0xFF);
}

std::string next_mask() {
    static std::mt19937 random(6455);
    std::string mask;
    append_big_endian(mask, random(), 4);
    return mask;
}

}  // namespace

std::string bytes(std::initializer_list<int> values) {
    std::string out;
    for (int value : values) out += static_cast<char>(value);
    return out;
}

std::string frame_header(int first, uint64_t length, std::string_view mask) {
    std::string out = bytes({first});
    if (length < 126) {
        append_big_endian(out, 0x80 | length, 1);
    } else if (length < 65536) {
        append_big_endian(out, 0x80 | 126, 1);
        append_big_endian(out, length, 2);
    } else {
        append_big_endian(out, 0x80 | 127, 1);
        append_big_endian(out, length, 8);
    }
    return out.append(mask);
}

std::string frame(int first, std::string_view payload) {
    const std::string mask = next_mask();
    std::string out = frame_header(first, payload.size(), mask);
    const size_t start = out.size();
    out.append(payload);
    for (size_t i = 0; i < payload.size(); ++i)
        out[start + i] = static_cast<char>(out[start + i] ^ mask[i % 4]);
    return out;
}

std::string text_frame(std::string_view payload) {
    return frame(kFin | kText, payload);
}

std::string binary_frame(std::string_view payload) {
    return frame(kFin | kBinary, payload);
}

std::string ping_frame(std::string_view payload) {
    return frame(kFin | kPing, payload);
}

std::string pong_frame(std::string_view payload) {
    return frame(kFin | kPong, payload);
}

std::string close_frame(int code, std::string_view reason) {
    return frame(kFin | kClose, close_payload(code, reason));
}

std::string first_fragment(std::string_view payload) {
    return frame(kText, payload);
}

std::string next_fragment(std::string_view payload) {
    return frame(kContinuation, payload);
}

std::string last_fragment(std::string_view payload) {
    return frame(kFin | kContinuation, payload);
}

std::string close_payload(int code, std::string_view reason) {
    return bytes({code >> 8, code & 0xFF}).append(reason);
}

std::string upgrade_lines() {
    return std::string(
               "Upgrade: websocket\r\n"
               "Connection: Upgrade\r\n"
               "Sec-WebSocket-Version: 13\r\n"
               "Sec-WebSocket-Key: ") +
           kKey + "\r\n";
}

std::string handshake(std::string_view target, std::string_view more) {
    std::string request = "GET ";
    request.append(target).append(" HTTP/1.1\r\nHost: 127.0.0.1\r\n");
    return request.append(upgrade_lines()).append(more).append("\r\n");
}

std::string json_string(size_t size, char fill) {
    return '"' + std::string(size - 2, fill) + '"';
}

}  // namespace wschat::test
