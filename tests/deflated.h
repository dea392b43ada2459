// Deflated messages as RFC 7692 has them, made and undone with zlib itself,
// apart from the program's own unit.
#pragma once

#include <zlib.h>

#include <array>
#include <string>
#include <string_view>

namespace wschat::test {

/// A text deflated with a window of 2^bits bytes. zlib has none of 2^8 for
/// this: there 9 is the smallest.
inline std::string deflated(std::string_view text, int bits = 15,
                            int flush = Z_SYNC_FLUSH) {
    z_stream stream{};
    deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -bits, 8,
                 Z_DEFAULT_STRATEGY);
    std::string out(deflateBound(&stream, text.size()) + 64, '\0');
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
    stream.avail_in = static_cast<uInt>(text.size());
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    deflate(&stream, flush);
    out.resize(out.size() - stream.avail_out);
    deflateEnd(&stream);
    // What ends a stream has no tail: section 7.2.3.4 adds a byte.
    if (flush == Z_FINISH) return out + '\0';
    return out.substr(0, out.size() - 4);
}

/// What a client makes of a deflated message; "corrupt" if it can't.
inline std::string inflated(std::string_view deflated_text) {
    std::string in(deflated_text);
    in.append("\x00\x00\xFF\xFF", 4);
    z_stream stream{};
    inflateInit2(&stream, -15);
    stream.next_in = reinterpret_cast<Bytef*>(in.data());
    stream.avail_in = static_cast<uInt>(in.size());
    std::string out;
    std::array<char, 4096> buffer;
    int result = Z_OK;
    do {
        stream.next_out = reinterpret_cast<Bytef*>(buffer.data());
        stream.avail_out = static_cast<uInt>(buffer.size());
        result = inflate(&stream, Z_SYNC_FLUSH);
        out.append(buffer.data(), buffer.size() - stream.avail_out);
    } while (result == Z_OK && stream.avail_out == 0);
    const bool whole = stream.avail_in == 0;
    inflateEnd(&stream);
    return whole && (result == Z_OK || result == Z_BUF_ERROR) ? out : "corrupt";
}

}  // namespace wschat::test
