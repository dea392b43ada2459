// Finds the frames of the daemon in what a client receives. Skips the payload
// of long ones: the honest clients do not look at what attackers send. No
// sockets.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace wschat::attack {

/// A frame, without the payload if that is longer than FrameReader::kMaxKept.
struct ReceivedFrame {
    int first = 0;  // FIN, the reserved bits and the opcode
    std::string_view payload;
};

class FrameReader {
public:
    static constexpr uint64_t kMaxKept = 4096;

    /// Calls `take` with each ReceivedFrame that the next bytes complete.
    template <typename Take>
    void read(std::string_view bytes, Take take) {
        skip(bytes);
        const std::string joined = std::move(incomplete_).append(bytes);
        incomplete_.clear();
        bytes = joined;
        while (const size_t header = header_size(bytes)) {
            const uint64_t length = payload_length(bytes);
            const bool is_kept = length <= kMaxKept;
            if (is_kept && bytes.size() < header + length) break;
            take(ReceivedFrame{
                static_cast<uint8_t>(bytes[0]),
                is_kept ? bytes.substr(header, length) : std::string_view()});
            skipped_ = length;
            bytes.remove_prefix(header);
            skip(bytes);
        }
        incomplete_ = bytes;
    }

private:
    /// Returns the size of the header at the front; 0 if it is incomplete.
    static size_t header_size(std::string_view bytes) {
        if (bytes.size() < 2) return 0;
        const int length = bytes[1] & 0x7F;
        const size_t size = length < 126 ? 2 : length == 126 ? 4 : 10;
        return bytes.size() < size ? 0 : size;
    }

    /// REQUIRES: the header is complete.
    static uint64_t payload_length(std::string_view bytes) {
        const size_t header = header_size(bytes);
        if (header == 2) return bytes[1] & 0x7F;
        uint64_t length = 0;
        for (size_t i = 2; i < header; ++i)
            length = length << 8 | static_cast<uint8_t>(bytes[i]);
        return length;
    }

    void skip(std::string_view& bytes) {
        const size_t n = skipped_ < bytes.size() ? skipped_ : bytes.size();
        bytes.remove_prefix(n);
        skipped_ -= n;
    }

    std::string incomplete_;  // the beginning of a header or of a short frame
    uint64_t skipped_ = 0;    // bytes of a payload that are still to come
};

}  // namespace wschat::attack
