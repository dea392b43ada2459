#include "ws/deflate.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <limits>
#include <new>
#include <utility>

#include "util/buffer.h"

namespace wschat {

namespace {

constexpr int kRaw = -15;  // no header of zlib's, and the largest window
constexpr int kMemory = 8;
constexpr size_t kStep = 16 << 10;  // bytes of output at a time
constexpr size_t kKeep = 64 << 10;  // bytes of output kept for the next one

// The end of an empty block, behind which a new byte begins.
constexpr std::string_view kTail("\x00\x00\xFF\xFF", 4);

Bytef* bytes_of(std::string_view text) {
    return reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
}

/// zlib counts in 32 bits: takes at most that much off the front.
void give_input(z_stream& stream, std::string_view& text) {
    constexpr size_t kMost = std::numeric_limits<uInt>::max();
    const std::string_view front = text.substr(0, kMost);
    text.remove_prefix(front.size());
    stream.next_in = bytes_of(front);
    stream.avail_in = static_cast<uInt>(front.size());
}

void require_memory(int result) {
    if (result == Z_MEM_ERROR) throw std::bad_alloc();
}

}  // namespace

struct Deflater::Stream : z_stream {
    Stream() : z_stream{} {
        require_memory(deflateInit2(this, Z_BEST_SPEED, Z_DEFLATED, kRaw,
                                    kMemory, Z_DEFAULT_STRATEGY));
    }
    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;
    ~Stream() { deflateEnd(this); }
};

Deflater::Deflater() = default;
Deflater::~Deflater() = default;

std::string_view Deflater::deflate(std::string_view text) {
    if (!stream_) stream_ = std::make_unique<Stream>();
    rested_ = false;
    deflateReset(stream_.get());
    if (output_.size() > kKeep) release(output_);
    size_t size = 0;
    do {
        give_input(*stream_, text);
        do {
            if (output_.size() == size) output_.resize(size + kStep);
            const size_t room = output_.size() - size;
            stream_->next_out = bytes_of(output_) + size;
            stream_->avail_out = static_cast<uInt>(room);
            ::deflate(stream_.get(),
                      text.empty() ? Z_SYNC_FLUSH : Z_NO_FLUSH);
            size += room - stream_->avail_out;
        } while (stream_->avail_out == 0);
    } while (!text.empty());
    return std::string_view(output_).substr(0, size - kTail.size());
}

void Deflater::rest() {
    if (!std::exchange(rested_, true)) return;
    stream_.reset();
    release(output_);
}

struct Inflater::Stream : z_stream {
    Stream() : z_stream{} { require_memory(inflateInit2(this, kRaw)); }
    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;
    ~Stream() { inflateEnd(this); }
};

Inflater::Inflater() : stream_(std::make_unique<Stream>()) {}
Inflater::~Inflater() = default;

Inflater::Result Inflater::inflate(std::string_view piece, std::string& text,
                                   uint64_t limit) {
    std::array<char, kStep> output;
    give_input(*stream_, piece);
    do {
        stream_->next_out = reinterpret_cast<Bytef*>(output.data());
        stream_->avail_out = static_cast<uInt>(output.size());
        const int result = ::inflate(stream_.get(), Z_SYNC_FLUSH);
        require_memory(result);
        const size_t size = output.size() - stream_->avail_out;
        const uint64_t room = limit - text.size();
        text.append(output.data(), std::min<uint64_t>(size, room));
        if (size > room) return Result::TooBig;
        if (result == Z_DATA_ERROR || result == Z_NEED_DICT)
            return Result::Corrupt;
        // A last block ends a stream, not the message (section 7.2.3.4).
        if (result == Z_STREAM_END) inflateReset(stream_.get());
        if (stream_->avail_in == 0) give_input(*stream_, piece);
    } while (stream_->avail_in > 0 || stream_->avail_out == 0);
    return Result::Good;
}

Inflater::Result Inflater::finish(std::string& text, uint64_t limit) {
    return inflate(kTail, text, limit);
}

}  // namespace wschat
