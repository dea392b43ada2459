#include "ws/deflate.h"

#include <algorithm>
#include <array>
#include <limits>
#include <new>
#include <utility>

#include <zlib.h>

#include "util/buffer.h"

namespace wschat {

namespace {

// A negative number is DEFLATE without zlib's header and checksum. 2^15 is the
// largest window: a smaller one would save memory only in a deflater, of which
// there is one, and an inflater must accept what its peer has chosen.
constexpr int kRawWindow = -15;
constexpr int kMemoryLevel = 8;  // zlib's default

constexpr size_t kOutputStep = 16 << 10;  // bytes of output at a time
constexpr size_t kMaxKeptOutput = 64 << 10;  // bytes kept for the next message

// An empty block without compression, which a sync flush ends with. The sender
// of a message removes it, the receiver appends it (section 7.2.1 and 7.2.2).
constexpr std::string_view kTail("\x00\x00\xFF\xFF", 4);

/// zlib does not write to its input, but older versions take it as not const.
Bytef* to_bytef(std::string_view text) {
    return reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
}

/// Gives the stream the front of the text as its input and removes it from the
/// text: all of it, or 4 GiB, because zlib counts in 32 bits.
void give_input(z_stream& stream, std::string_view& text) {
    constexpr size_t kMost = std::numeric_limits<uInt>::max();
    const std::string_view front = text.substr(0, kMost);
    text.remove_prefix(front.size());
    stream.next_in = to_bytef(front);
    stream.avail_in = static_cast<uInt>(front.size());
}

void require_memory(int result) {
    if (result == Z_MEM_ERROR) throw std::bad_alloc();
}

/// A message is compressed once and sent to all clients that accept that. They
/// joined at different messages, so none may refer to an earlier one. The level
/// is Z_BEST_SPEED because the loop serves no client while it compresses, and
/// because higher levels gain little on short texts.
ZlibStream make_deflate_stream() {
    auto stream = std::make_unique<z_stream>();
    require_memory(deflateInit2(stream.get(), Z_BEST_SPEED, Z_DEFLATED,
                                kRawWindow, kMemoryLevel, Z_DEFAULT_STRATEGY));
    return ZlibStream(stream.release(), {deflateEnd});
}

ZlibStream make_inflate_stream() {
    auto stream = std::make_unique<z_stream>();
    require_memory(inflateInit2(stream.get(), kRawWindow));
    return ZlibStream(stream.release(), {inflateEnd});
}

}  // namespace

void ZlibDeleter::operator()(z_stream_s* stream) const {
    end(stream);
    delete stream;
}

std::string_view Deflater::deflate(std::string_view text) {
    if (!stream_) stream_ = make_deflate_stream();
    unused_ = false;
    deflateReset(stream_.get());
    if (output_.size() > kMaxKeptOutput) release(output_);
    size_t size = 0;
    do {
        give_input(*stream_, text);
        // zlib has more output for the same input as long as it fills all the
        // space that it is given.
        do {
            if (output_.size() == size) output_.resize(size + kOutputStep);
            const size_t space = output_.size() - size;
            stream_->next_out = to_bytef(output_) + size;
            stream_->avail_out = static_cast<uInt>(space);
            ::deflate(stream_.get(),
                      text.empty() ? Z_SYNC_FLUSH : Z_NO_FLUSH);
            size += space - stream_->avail_out;
        } while (stream_->avail_out == 0);
    } while (!text.empty());
    return std::string_view(output_).substr(0, size - kTail.size());
}

bool Deflater::release_if_unused() {
    if (!std::exchange(unused_, true)) return true;
    stream_.reset();
    release(output_);
    return false;
}

Inflater::Inflater() : stream_(make_inflate_stream()) {}

/// Decompresses in steps of 16 KiB and checks the limit after each: a piece of
/// 100 KB may stand for 100 MB, which must not be allocated to be refused.
Inflater::Result Inflater::inflate(std::string_view piece, std::string& text,
                                   uint64_t limit) {
    std::array<char, kOutputStep> output;
    give_input(*stream_, piece);
    do {
        stream_->next_out = reinterpret_cast<Bytef*>(output.data());
        stream_->avail_out = static_cast<uInt>(output.size());
        const int result = ::inflate(stream_.get(), Z_SYNC_FLUSH);
        require_memory(result);
        const size_t size = output.size() - stream_->avail_out;
        const uint64_t space = limit - text.size();
        text.append(output.data(), std::min<uint64_t>(size, space));
        if (size > space) return Result::TooBig;
        if (result == Z_DATA_ERROR || result == Z_NEED_DICT)
            return Result::Corrupt;
        // A final block ends a DEFLATE stream, but not the message: another
        // block may follow (section 7.2.3.4).
        if (result == Z_STREAM_END) inflateReset(stream_.get());
        if (stream_->avail_in == 0) give_input(*stream_, piece);
    } while (stream_->avail_in > 0 || stream_->avail_out == 0);
    return Result::Good;
}

Inflater::Result Inflater::finish(std::string& text, uint64_t limit) {
    return inflate(kTail, text, limit);
}

}  // namespace wschat
