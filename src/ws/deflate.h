// Compresses and decompresses single messages (RFC 7692, section 7.2). No
// frames, no negotiation: it is given whole payloads or their pieces.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

struct z_stream_s;  // zlib's z_stream

namespace wschat {

/// Ends a stream of zlib by deflateEnd() or inflateEnd() and deletes it.
struct ZlibDeleter {
    int (*end)(z_stream_s*) = nullptr;

    void operator()(z_stream_s* stream) const;
};
using ZlibStream = std::unique_ptr<z_stream_s, ZlibDeleter>;

/// Compresses whole messages without context takeover, with a window of 2^15
/// bytes. Takes about 300 KB from its first use to release_if_unused().
class Deflater {
public:
    /// Returns the compressed text, without the final 00 00 FF FF that every
    /// message would have (RFC 7692, section 7.2.1). Valid until the next call.
    /// Throws std::bad_alloc if there is no memory.
    std::string_view deflate(std::string_view text);

    /// Frees all memory if deflate() was not called since the last call of this
    /// function. If it is called at an interval, the memory is freed one to two
    /// intervals after its last use. Returns true if it holds memory still.
    bool release_if_unused();

private:
    ZlibStream stream_;  // null: memory is freed
    std::string output_;
    bool unused_ = true;  // since the last release_if_unused()
};

/// Decompresses one message that arrives in pieces, with any window size.
class Inflater {
public:
    enum class Result {
        Good,
        TooBig,  // the message is longer than the limit
        Corrupt  // the bytes are not DEFLATE (RFC 1951)
    };

    /// How much memory one takes, about: the window of 32 KiB and the tables of
    /// zlib.
    static constexpr uint64_t kMemory = 48 << 10;

    /// Throws std::bad_alloc if there is no memory.
    Inflater();

    /// Decompresses a piece of the message and appends the result to `text`,
    /// which never becomes longer than `limit` bytes. After a result other than
    /// Good the message is over. REQUIRES: text.size() <= limit.
    Result inflate(std::string_view piece, std::string& text, uint64_t limit);

    /// Ends the message: appends the rest of it in the same way, and reports
    /// the same errors. REQUIRES: all pieces were Good.
    Result finish(std::string& text, uint64_t limit);

private:
    ZlibStream stream_;
};

}  // namespace wschat
