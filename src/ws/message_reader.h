// From a client's bytes to whole messages: frames, fragments, UTF-8, raw JSON
// objects, limits. No sockets, no clock; what a message means is not known
// here.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "util/buffer.h"
#include "ws/deflate.h"
#include "ws/frame.h"
#include "ws/reader_config.h"
#include "util/json.h"
#include "util/utf8.h"

namespace wschat {

/// What a MessageReader came upon.
struct Event {
    enum class Kind {
        NeedMore,  // the bytes are used up
        Text,      // a message; its payload is valid UTF-8
        Binary,    // a message
        Raw,       // a raw JSON object, braces included, otherwise unchecked
        Ping,
        Pong,
        Close,  // the payload is valid: nothing, or a code and a reason
        Error   // the peer broke a rule; code and reason answer it
    };
    Kind kind = Kind::NeedMore;
    std::string_view payload{};  // valid until the next call of next()
    uint16_t code = 0;           // Close (kCloseNoStatus if none) and Error
    const char* reason = "";     // Error: static text
};

/// Reads one connection (RFC 6455, sections 5 and 8.1; RFC 7692, section 6.2).
/// Holds no memory between messages. A message in the making takes what has
/// arrived of it: no length that a peer announces is believed, and over
/// max_message the header is refused. A deflated one is inflated as it arrives,
/// up to that.
class MessageReader {
public:
    /// How many fragments of one message may be empty: nothing else bounds
    /// their number.
    static constexpr uint32_t kMaxEmptyFragments = 1000;

    /// REQUIRES: rules outlive the reader.
    explicit MessageReader(const ReaderConfig& rules) : rules_(&rules) {}

    /// Consumes input up to the end of the next thing that the caller must
    /// know of. To be called until it says NeedMore; after Close or Error
    /// the caller throws all further input away.
    Event next(Bytes& input);

    const ReaderConfig& rules() const { return *rules_; }

    /// From now on the peer sends raw objects alone, and no frames.
    void refuse_frames() { frames_ = false; }

    bool takes_frames() const { return frames_; }

    /// From now on messages may come deflated, each on its own.
    void allow_compression() { compression_ = true; }

    /// Gives back all memory: nothing more will be read.
    void forget();

    /// Whether a raw object has begun and not ended.
    bool inside_raw() const { return scanner_.open(); }

private:
    enum class Expect : uint8_t { Header, Payload, Space };
    enum class Spent : uint8_t { None, Partial, Message };

    Event step(Bytes& input);
    Event read_raw(Bytes& input);
    Event read_header(Bytes& input);
    Event begin_frame(Bytes& input);
    Event read_payload(Bytes& input);
    bool fits(const FrameHeader& frame) const;
    Event add_to_message(std::string_view piece, bool whole);
    Event inflate(std::string_view piece, bool last);
    Event end_of_message(std::string_view text);
    Event add_to_control(std::string_view piece, bool whole);
    void release_spent();

    const ReaderConfig* rules_;
    Buffer partial_;  // of a header, or of a control frame's payload
    Buffer message_;  // of fragments, of one frame or of a raw object
    FrameHeader frame_;    // the one whose payload is expected
    uint64_t taken_ = 0;   // bytes of that payload
    ObjectScanner scanner_;
    std::unique_ptr<Inflater> inflater_;  // of the open message, if deflated
    uint64_t deflated_ = 0;  // bytes that its frames hold so far
    uint32_t empty_fragments_ = 0;
    Utf8Checker utf8_;
    bool frames_ = true;
    bool compression_ = false;
    Expect expect_ = Expect::Header;
    Opcode type_ = Opcode::Continuation;  // of the open message, if any
    Spent spent_ = Spent::None;  // the buffer that held the last payload
};

}  // namespace wschat
