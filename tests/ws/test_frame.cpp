#include <algorithm>
#include <array>
#include <initializer_list>
#include <limits>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "ws/frame.h"

using namespace wschat;

namespace {

/// Decodes a copy of exactly these bytes, so that a sanitizer reports any
/// access behind their end.
DecodedHeader decode(std::string_view bytes) {
    std::vector<char> copy(bytes.begin(), bytes.end());
    return decode_header({copy.data(), copy.size()});
}

std::string bytes(std::initializer_list<int> values) {
    std::string result;
    for (int value : values) result += static_cast<char>(value);
    return result;
}

std::string big_endian(uint64_t value, size_t size) {
    std::string result(size, '\0');
    for (size_t i = size; i-- > 0; value >>= 8)
        result[i] = static_cast<char>(value & 0xFF);
    return result;
}

const std::string kKey = "\x37\xFA\x21\x3D";

/// Returns a client's header with an extended length of 0, 2 or 8 bytes,
/// whether that is legal or not.
std::string client_header(int first, uint64_t length, size_t extended) {
    int second = extended == 0   ? static_cast<int>(length)
                 : extended == 2 ? 126
                                 : 127;
    return bytes({first, 0x80 | second}) + big_endian(length, extended) + kKey;
}

bool asks_for_more(const DecodedHeader& decoded) {
    return decoded.error == nullptr && decoded.size == 0;
}

/// Returns the index of the byte at which a header is refused; npos if it is
/// not. Checks that more bytes are needed before it, and that it is refused
/// with every byte after it.
size_t refused_at(const std::string& header) {
    size_t at = std::string::npos;
    for (size_t n = 0; n <= header.size(); ++n) {
        DecodedHeader decoded = decode(header.substr(0, n));
        bool refused = decoded.error != nullptr;
        if (refused && at == std::string::npos) at = n - 1;
        CHECK(refused == (at != std::string::npos));
        if (n < header.size() && !refused) CHECK(asks_for_more(decoded));
    }
    return at;
}

bool is_refused(const std::string& header) {
    return decode(header).error != nullptr;
}

const std::vector<int> kDataStarts = {0x00, 0x01, 0x02, 0x80, 0x81, 0x82};
const std::vector<int> kControlStarts = {0x88, 0x89, 0x8A};

bool contains(const std::vector<int>& values, int value) {
    return std::find(values.begin(), values.end(), value) != values.end();
}

std::string unmasked(std::string data, const std::string& key) {
    for (size_t i = 0; i < data.size(); ++i)
        data[i] = static_cast<char>(data[i] ^ key[i % 4]);
    return data;
}

std::array<char, 4> to_mask(const std::string& key) {
    return {key[0], key[1], key[2], key[3]};
}

std::string some_bytes(size_t n) {
    std::string result;
    for (unsigned bits = 1; result.size() < n; bits = bits * 69069 + 1)
        result += static_cast<char>(bits >> 16 & 0xFF);
    return result;
}

}  // namespace

// The examples of RFC 6455, section 5.7.

TEST_CASE("the masked text frame of the RFC is decoded") {
    std::string frame = bytes(
        {0x81, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58});
    DecodedHeader decoded = decode(frame);
    CHECK(decoded.error == nullptr);
    CHECK(decoded.size == 6);
    CHECK(decoded.header.fin);
    CHECK(decoded.header.opcode == Opcode::Text);
    CHECK(decoded.header.length == 5);
    std::string payload = frame.substr(decoded.size);
    unmask(payload.data(), payload.size(), decoded.header.mask, 0);
    CHECK(payload == "Hello");
}

TEST_CASE("the masked pong frame of the RFC is decoded") {
    std::string frame = bytes(
        {0x8A, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58});
    DecodedHeader decoded = decode(frame);
    CHECK(decoded.size == 6);
    CHECK(decoded.header.fin);
    CHECK(decoded.header.opcode == Opcode::Pong);
    std::string payload = frame.substr(decoded.size);
    unmask(payload.data(), payload.size(), decoded.header.mask, 0);
    CHECK(payload == "Hello");
}

TEST_CASE("frames are encoded like the RFC's unmasked frames") {
    std::string hello = bytes({0x48, 0x65, 0x6C, 0x6C, 0x6F});
    CHECK(encode_frame(Opcode::Text, "Hello") == bytes({0x81, 0x05}) + hello);
    CHECK(encode_frame(Opcode::Ping, "Hello") == bytes({0x89, 0x05}) + hello);
    std::string data = some_bytes(65536);
    CHECK(encode_frame(Opcode::Binary, data.substr(0, 256)) ==
          bytes({0x82, 0x7E, 0x01, 0x00}) + data.substr(0, 256));
    CHECK(encode_frame(Opcode::Binary, data) ==
          bytes({0x82, 0x7F, 0, 0, 0, 0, 0, 1, 0, 0}) + data);
}

TEST_CASE("the RFC's unmasked frames are refused from a client") {
    CHECK(refused_at(bytes({0x81, 0x05}) + "Hello") == 1);
    CHECK(refused_at(bytes({0x01, 0x03}) + "Hel") == 1);
    CHECK(refused_at(bytes({0x80, 0x02}) + "lo") == 1);
    CHECK(refused_at(bytes({0x89, 0x05}) + "Hello") == 1);
    CHECK(refused_at(bytes({0x82, 0x7E, 0x01, 0x00})) == 1);
}

// Decoding.

TEST_CASE("headers of every opcode and length are decoded") {
    struct {
        uint64_t length;
        size_t extended;
    } const lengths[] = {
        {0, 0},
        {1, 0},
        {125, 0},
        {126, 2},
        {127, 2},
        {128, 2},
        {0xFFFF, 2},
        {0x10000, 8},
        {0x7FFFFFFF, 8},
        {0x80000000, 8},
        {0xFFFFFFFF, 8},
        {0x100000000, 8},
        {0x0123456789ABCDEF, 8},
        {0x7FFFFFFFFFFFFFFF, 8},
    };
    for (const auto& row : lengths)
        for (int first :
             {0x00, 0x01, 0x02, 0x80, 0x81, 0x82, 0x88, 0x89, 0x8A}) {
            if (first >= 0x88 && row.length > 125) continue;
            CAPTURE(first);
            CAPTURE(row.length);
            std::string header = client_header(first, row.length, row.extended);
            DecodedHeader decoded = decode(header);
            CHECK(decoded.error == nullptr);
            CHECK(decoded.size == 6 + row.extended);
            CHECK(decoded.header.fin == (first >= 0x80));
            CHECK(static_cast<int>(decoded.header.opcode) == (first & 0x0F));
            CHECK(decoded.header.length == row.length);
            CHECK(decoded.header.mask == to_mask(kKey));
            CHECK(decode(header + "payload").size == header.size());
        }
}

TEST_CASE("every proper prefix of a header asks for more") {
    CHECK(asks_for_more(decode("")));
    for (std::string header :
         {client_header(0x81, 5, 0), client_header(0x00, 0, 0),
          client_header(0x88, 125, 0), client_header(0x82, 126, 2),
          client_header(0x01, 0xFFFF, 2), client_header(0x81, 0x10000, 8),
          client_header(0x81, 0x7FFFFFFFFFFFFFFF, 8)}) {
        for (size_t n = 0; n < header.size(); ++n) {
            CAPTURE(n);
            CHECK(asks_for_more(decode(header.substr(0, n))));
        }
        CHECK(decode(header).size == header.size());
    }
}

TEST_CASE("reserved bits and opcodes are refused at the first byte") {
    for (int first = 0; first < 256; ++first) {
        CAPTURE(first);
        bool legal =
            contains(kDataStarts, first) || contains(kControlStarts, first);
        CHECK(asks_for_more(decode(bytes({first}))) == legal);
        CHECK(refused_at(client_header(first, 5, 0)) ==
              (legal ? std::string::npos : 0));
    }
}

TEST_CASE("RSV1 is legal in the first frame where compression is allowed") {
    for (int first = 0; first < 256; ++first) {
        CAPTURE(first);
        const int plain = first & ~0x40;
        const bool data = (first & 0x0F) == 1 || (first & 0x0F) == 2;
        const bool legal = contains(kDataStarts, first) ||
                           contains(kControlStarts, first) ||
                           (data && contains(kDataStarts, plain));
        const std::string header = client_header(first, 5, 0);
        const DecodedHeader decoded = decode_header(header, true);
        CHECK((decoded.error == nullptr) == legal);
        if (legal) CHECK(decoded.header.compressed == (first != plain));
    }
}

TEST_CASE("a fragmented control frame is refused at the first byte") {
    CHECK(refused_at(client_header(0x08, 2, 0)) == 0);
    CHECK(refused_at(client_header(0x09, 0, 0)) == 0);
    CHECK(refused_at(client_header(0x0A, 5, 0)) == 0);
}

TEST_CASE("the first byte of a JSON object begins no frame") {
    CHECK(is_refused("{"));
    CHECK(is_refused("{\"type\":\"message\"}"));
}

TEST_CASE("an unmasked frame is refused at the second byte") {
    for (int first : kDataStarts)
        for (int second = 0; second < 256; ++second) {
            CAPTURE(first);
            CAPTURE(second);
            CHECK(is_refused(bytes({first, second})) == (second < 0x80));
        }
}

TEST_CASE("a control frame longer than 125 is refused at the second byte") {
    for (int first : kControlStarts)
        for (int second = 0; second < 256; ++second) {
            CAPTURE(first);
            CAPTURE(second);
            bool legal = second >= 0x80 && second <= 0x80 + 125;
            CHECK(is_refused(bytes({first, second})) == !legal);
        }
}

TEST_CASE("a length of 16 bits that fits in 7 is refused at its last byte") {
    int wrong = 0;
    for (uint64_t length = 0; length <= 0xFFFF; ++length)
        if (is_refused(client_header(0x82, length, 2)) != (length < 126))
            ++wrong;
    CHECK(wrong == 0);
    CHECK(refused_at(client_header(0x81, 0, 2)) == 3);
    CHECK(refused_at(client_header(0x81, 125, 2)) == 3);
}

TEST_CASE("a length of 64 bits that fits in 16 is refused at its sixth byte") {
    CHECK(refused_at(client_header(0x82, 0, 8)) == 7);
    CHECK(refused_at(client_header(0x82, 125, 8)) == 7);
    CHECK(refused_at(client_header(0x82, 126, 8)) == 7);
    CHECK(refused_at(client_header(0x01, 0xFFFF, 8)) == 7);
    CHECK_FALSE(is_refused(client_header(0x01, 0x10000, 8)));
}

TEST_CASE("a length with its top bit set is refused at its first byte") {
    const uint64_t top = uint64_t{1} << 63;
    for (uint64_t length : {top, top + 5, ~uint64_t{0}, ~uint64_t{0} - 13}) {
        CAPTURE(length);
        CHECK(refused_at(client_header(0x82, length, 8)) == 2);
    }
    CHECK_FALSE(is_refused(client_header(0x82, top - 1, 8)));
}

// Masking.

TEST_CASE("unmasking in blocks agrees with one byte at a time at each phase") {
    const std::string data = some_bytes(100);
    const uint64_t far = std::numeric_limits<uint64_t>::max() / 2 - 3;
    for (uint64_t phase : {uint64_t{0}, uint64_t{1}, uint64_t{2}, uint64_t{3},
                           uint64_t{4}, uint64_t{7}, far, far + 1, far + 2})
        for (size_t start = 0; start < 16; ++start)
            for (size_t n = 0; n <= 80; ++n) {
                std::string key = kKey.substr(phase % 4) + kKey;
                std::string expected =
                    data.substr(0, start) +
                    unmasked(data.substr(start, n), key.substr(0, 4)) +
                    data.substr(start + n);
                std::string result = data;
                unmask(&result[start], n, to_mask(kKey), phase);
                CAPTURE(phase);
                CAPTURE(start);
                CAPTURE(n);
                CHECK(result == expected);
            }
}

TEST_CASE("a payload can be unmasked in pieces") {
    const std::string data = some_bytes(70);
    const std::string expected = unmasked(data, kKey);
    for (size_t first = 0; first <= data.size(); ++first)
        for (size_t size = 1; size <= 17; ++size) {
            std::string result = data;
            unmask(result.data(), first, to_mask(kKey), 0);
            for (size_t i = first; i < result.size(); i += size)
                unmask(&result[i], std::min(size, result.size() - i),
                       to_mask(kKey), i);
            CAPTURE(first);
            CAPTURE(size);
            CHECK(result == expected);
        }
}

TEST_CASE("unmasking changes no byte outside its range") {
    for (size_t n = 0; n <= 33; ++n) {
        std::vector<char> exact(n, 'x');
        unmask(exact.data(), n, to_mask(kKey), 1);
        unmask(exact.data(), n, to_mask(kKey), 1);
        CHECK(exact == std::vector<char>(n, 'x'));
    }
}

// Encoding.

TEST_CASE("lengths are written in their shortest form") {
    struct {
        uint64_t length;
        std::string header;
    } const frames[] = {
        {0, bytes({0x81, 0})},
        {1, bytes({0x81, 1})},
        {125, bytes({0x81, 125})},
        {126, bytes({0x81, 126, 0, 126})},
        {127, bytes({0x81, 126, 0, 127})},
        {0x1234, bytes({0x81, 126, 0x12, 0x34})},
        {0xFFFF, bytes({0x81, 126, 0xFF, 0xFF})},
        {0x10000, bytes({0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0})},
        {0x0123456789ABCDEF,
         bytes({0x81, 127, 0x01, 0x23, 0x45, 0x67, 0x89, 0xAB, 0xCD, 0xEF})},
    };
    for (const auto& frame : frames) {
        char out[kMaxServerHeader];
        size_t size = encode_header(out, Opcode::Text, frame.length);
        CAPTURE(frame.length);
        CHECK(std::string(out, size) == frame.header);
    }
}

TEST_CASE("a frame is its header and its payload, unmasked") {
    for (size_t n : {size_t{0}, size_t{125}, size_t{126}, size_t{127},
                     size_t{0xFFFF}, size_t{0x10000}, size_t{1000000}})
        for (Opcode opcode : {Opcode::Text, Opcode::Binary}) {
            std::string payload = some_bytes(n);
            std::string frame = encode_frame(opcode, payload);
            char out[kMaxServerHeader];
            size_t size = encode_header(out, opcode, n);
            CAPTURE(n);
            CHECK(frame == std::string(out, size) + payload);
        }
}

TEST_CASE("an encoded header decodes to the same values") {
    for (Opcode opcode : {Opcode::Text, Opcode::Binary, Opcode::Close,
                          Opcode::Ping, Opcode::Pong})
        for (uint64_t length = 0; length <= 70000; length += 5) {
            if (is_control(opcode) && length > 125) break;
            char out[kMaxServerHeader];
            std::string header(out, encode_header(out, opcode, length));
            header[1] = static_cast<char>(header[1] | 0x80);
            DecodedHeader decoded = decode(header + kKey);
            CAPTURE(length);
            REQUIRE(decoded.size == header.size() + 4);
            REQUIRE(decoded.header.fin);
            REQUIRE(decoded.header.opcode == opcode);
            REQUIRE(decoded.header.length == length);
        }
}

// Closing.

TEST_CASE("a close frame carries its code and its reason") {
    CHECK(encode_close(1000) == bytes({0x88, 2, 0x03, 0xE8}));
    CHECK(encode_close(kCloseGoingAway, "bye") ==
          bytes({0x88, 5, 0x03, 0xE9}) + "bye");
    CHECK(encode_close(4999) == bytes({0x88, 2, 0x13, 0x87}));
}

TEST_CASE("a close frame without a code has no body") {
    CHECK(encode_close(kCloseNoStatus) == bytes({0x88, 0}));
}

TEST_CASE("a close reason is cut to what a control frame holds") {
    CHECK(encode_close(kCloseTooBig, std::string(123, 'r')) ==
          bytes({0x88, 125, 0x03, 0xF1}) + std::string(123, 'r'));
    CHECK(encode_close(kCloseTooBig, std::string(124, 'r')) ==
          bytes({0x88, 125, 0x03, 0xF1}) + std::string(123, 'r'));
    CHECK(encode_close(kCloseTooBig, std::string(100000, 'r')).size() == 127);
}

TEST_CASE("the code of a close frame is its first two bytes") {
    CHECK(close_code_of("") == kCloseNoStatus);
    CHECK(close_code_of("\x03") == kCloseNoStatus);
    CHECK(close_code_of("\x03\xE8") == 1000);
    CHECK(close_code_of("\x03\xE9"
                        "bye") == kCloseGoingAway);
    CHECK(close_code_of("\xFF\xFE") == 0xFFFE);
}

TEST_CASE("the close codes that a peer may send are valid") {
    struct {
        int first;
        int last;
        bool valid;
    } const ranges[] = {
        {0, 999, false},      // not used
        {1000, 1003, true},   // normal, going away, protocol, data type
        {1004, 1006, false},  // reserved, and never on the wire
        {1007, 1014, true},   // registered
        {1015, 1015, false},  // never on the wire
        {1016, 2999, false},  // reserved for the protocol
        {3000, 4999, true},   // registered with IANA, and private
        {5000, 65535, false},
    };
    for (const auto& range : ranges)
        for (int code = range.first; code <= range.last; ++code) {
            CAPTURE(code);
            CHECK(is_valid_close_code(static_cast<uint16_t>(code)) ==
                  range.valid);
        }
}

TEST_CASE("close, ping and pong are control frames") {
    CHECK_FALSE(is_control(Opcode::Continuation));
    CHECK_FALSE(is_control(Opcode::Text));
    CHECK_FALSE(is_control(Opcode::Binary));
    CHECK(is_control(Opcode::Close));
    CHECK(is_control(Opcode::Ping));
    CHECK(is_control(Opcode::Pong));
}
