// Messages to and from their compressed form, each on its own (RFC 7692,
// section 7.2). Knows no frames, and not what was agreed on.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace wschat {

/// Compresses whole messages, with a window of 2^15 bytes that never reaches
/// back to an earlier one. Takes some 300 KB while it is in use.
class Deflater {
public:
    Deflater();
    ~Deflater();

    /// The deflated text, without the four bytes that every one would end
    /// with. Valid until the next call.
    std::string_view deflate(std::string_view text);

    /// Gives back all memory if nothing was deflated since the last call of
    /// this.
    void rest();

private:
    struct Stream;

    std::unique_ptr<Stream> stream_;
    std::string output_;
    bool rested_ = true;
};

/// Inflates one message that arrives in pieces, whatever its window.
class Inflater {
public:
    enum class Result {
        Good,
        TooBig,  // it would be longer than the limit
        Corrupt
    };

    Inflater();
    ~Inflater();

    /// Appends to `text` what a piece inflates to, up to what is not Good. It
    /// never becomes longer than `limit`. REQUIRES: it is no longer now.
    Result inflate(std::string_view piece, std::string& text, uint64_t limit);

    /// The message has ended: appends the rest.
    Result finish(std::string& text, uint64_t limit);

private:
    struct Stream;

    std::unique_ptr<Stream> stream_;
};

}  // namespace wschat
