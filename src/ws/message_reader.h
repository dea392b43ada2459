// Turns the bytes of one client into messages (RFC 6455): reads frames, joins
// fragments, inflates, checks UTF-8 and limits. Also reads raw JSON objects,
// which stand where a frame may begin. No sockets, no clock; it does not know
// what a message means.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "util/buffer.h"
#include "util/json.h"
#include "util/utf8.h"
#include "ws/deflate.h"
#include "ws/frame.h"
#include "ws/reader_config.h"

namespace wschat {

/// The next thing that MessageReader has found in the input.
struct Event {
    enum class Kind {
        NeedMore,  // nothing: all input is consumed
        Inflating,  // nothing yet, but much was inflated: input may be left
        Text,      // a message whose payload is valid UTF-8
        Binary,    // a message
        Raw,       // an object from { to the matching }, not checked further
        Ping,
        Pong,
        Close,  // a legal close frame: no payload, or a code, perhaps with a
                // reason
        Error   // the client broke the protocol: close with `code` and `reason`
    };
    Kind kind = Kind::NeedMore;
    std::string_view payload{};  // valid until the next call of next() or of
                                 // release_last_payload()
    uint16_t code = 0;           // Close (kCloseNoStatus if none) and Error
    const char* reason = "";     // Error: static ASCII text of up to 123 bytes
    uint64_t size = 0;           // Inflating: bytes
};

/// Reads the input of one connection (RFC 6455, sections 5 and 8.1; RFC 7692,
/// section 6.2). Between messages it holds no memory. An incomplete message
/// takes memory for the bytes that have arrived, never for a length that was
/// announced: a header that announces more than max_message is an error. A
/// compressed message is inflated as it arrives, up to the same limit.
class MessageReader {
public:
    /// The most fragments of one message that may be empty. More are an error,
    /// because no other limit ends such a message.
    static constexpr uint32_t kMaxEmptyFragments = 1000;

    /// After so many bytes of a message were inflated, give or take what
    /// kInflatedPiece bytes may stand for, next() returns Inflating, so that
    /// the caller can let others go first. `size` is how many.
    static constexpr size_t kInflatedAtOnce = 64 << 10;

    /// Compressed bytes that are inflated before that is looked at: they stand
    /// for at most a thousand times as many.
    static constexpr size_t kInflatedPiece = 128;

    /// REQUIRES: config outlives the reader.
    explicit MessageReader(const ReaderConfig& config) : config_(&config) {}

    /// Consumes input up to the end of the next message, control frame or error
    /// and returns that. Unmasks payloads in the input buffer. The caller calls
    /// it until it returns NeedMore; after Close or Error it must not call it
    /// again and discards all further input.
    Event next(Bytes& input);

    /// Frees the payload of the last event. next() does that too, but may not
    /// be called for a while.
    void release_last_payload();

    const ReaderConfig& config() const { return *config_; }

    /// Makes every frame an error from now on: only raw objects are accepted.
    void accept_raw_only() { raw_only_ = true; }

    /// Accepts compressed messages from now on, without context takeover.
    void allow_compression() { compression_ = true; }

    /// Frees all memory. REQUIRES: next() is not called again.
    void release_memory();

    /// Returns true if a raw object has begun and not ended.
    bool inside_raw() const { return scanner_.open(); }

    /// Returns true if a message, a control frame or a raw object has begun and
    /// not ended. REQUIRES: the payload of the last event was released.
    bool inside_message() const {
        return scanner_.open() || state_ == State::Payload ||
               !partial_.empty() || message_.type != Opcode::Continuation;
    }

    /// Returns the memory that an incomplete message takes.
    /// REQUIRES: the payload of the last event was released.
    uint64_t partial_size() const {
        return message_.bytes.capacity() +
               (message_.compressed ? Inflater::kMemory : 0);
    }

private:
    enum class State : uint8_t {
        Header,   // the next byte belongs to a header, or begins a raw object
        Payload,  // the next byte belongs to the payload of frame_
        AfterRaw  // as Header, but white space is skipped
    };

    /// Where the payload of the last event lies. It must stay valid until the
    /// next call, which frees that buffer first.
    enum class PayloadIn : uint8_t { Input, Partial, Message };

    struct Compressed {
        Inflater inflater;
        uint64_t size = 0;  // bytes in the frames of the message
    };

    /// The message, of frames, or the raw object that has begun and not ended.
    struct Message {
        Buffer bytes;
        std::unique_ptr<Compressed> compressed;  // null: it is not compressed
        uint32_t empty_fragments = 0;
        Utf8Checker utf8;
        Opcode type = Opcode::Continuation;  // no message has begun
    };

    // Each returns the event that is found, or NeedMore. read_next() decides
    // what the next byte is. A header leads on at once, from begin_frame() by
    // read_payload() to add_to_message() or add_to_control().
    Event read_next(Bytes& input);
    Event read_raw(Bytes& input);
    Event read_header(Bytes& input);
    Event begin_frame(Bytes& input);
    void begin_message();
    Event read_payload(Bytes& input);
    bool fits_limit(const FrameHeader& frame) const;

    // `whole`: the piece is the last one of its frame. `last`: of its message.
    Event add_to_message(std::string_view piece, bool whole);
    Event inflate(std::string_view piece, bool last);
    Event end_message(std::string_view payload);
    Event add_to_control(std::string_view piece, bool whole);

    const ReaderConfig* config_;
    FrameHeader frame_;          // of the payload that is being read
    uint64_t payload_read_ = 0;  // bytes of that payload
    Buffer partial_;  // an incomplete header, or a control frame's payload
    Message message_;
    ObjectScanner scanner_;
    State state_ = State::Header;
    PayloadIn payload_in_ = PayloadIn::Input;
    bool raw_only_ = false;
    bool compression_ = false;
};

}  // namespace wschat
