#include "ws/message_reader.h"

#include <algorithm>

namespace wschat {

namespace {

Event failure(uint16_t code, const char* reason) {
    return {Event::Kind::Error, {}, code, reason};
}

/// Returns the most bytes that a message of n bytes takes when it is compressed
/// by any reasonable means: at worst 9 bits for each byte, and the overhead of
/// blocks. More than that is padding, so it is refused like a message too long.
uint64_t deflated_limit(uint64_t n) { return n + n / 8 + 64; }

Event close_event(std::string_view payload) {
    if (payload.size() == 1)
        return failure(kCloseProtocolError, "close frame payload of 1 byte");
    const uint16_t code = close_code_of(payload);
    if (!payload.empty() && !is_valid_close_code(code))
        return failure(kCloseProtocolError, "invalid close code");
    const std::string_view reason =
        payload.substr(std::min<size_t>(2, payload.size()));
    if (valid_utf8_prefix(reason) < reason.size())
        return failure(kCloseInvalidData, "malformed UTF-8 in a close frame");
    return {Event::Kind::Close, payload, code, ""};
}

}  // namespace

Event MessageReader::next(Bytes& input) {
    release_last_payload();
    const size_t had = message_.bytes.size();
    while (input.size > 0) {
        Event event = read_next(input);
        if (event.kind != Event::Kind::NeedMore) return event;
        // A few bytes may stand for a message of a megabyte.
        const size_t added = message_.bytes.size() - had;
        if (message_.compressed && added >= kInflatedAtOnce && input.size > 0)
            return {Event::Kind::Inflating, {}, 0, "", added};
    }
    return {};
}

void MessageReader::release_memory() {
    partial_.release();
    message_.bytes.release();
    scanner_ = ObjectScanner();
    message_.compressed.reset();
    payload_in_ = PayloadIn::Input;
}

void MessageReader::release_last_payload() {
    if (payload_in_ == PayloadIn::Partial) partial_.release();
    if (payload_in_ == PayloadIn::Message) message_.bytes.release();
    payload_in_ = PayloadIn::Input;
}

Event MessageReader::read_next(Bytes& input) {
    if (scanner_.open()) return read_raw(input);
    if (state_ == State::Payload) return read_payload(input);
    if (state_ == State::AfterRaw && is_json_space(*input.data)) {
        input.take(1);
        return {};
    }
    // No frame begins with '{', which is 0x7B: it has RSV2 and RSV3 set, and no
    // extension that defines them is ever negotiated. So one byte is enough to
    // tell a raw object from a frame.
    const bool between_messages =
        partial_.empty() && message_.type == Opcode::Continuation;
    if (config_->raw_json && between_messages && *input.data == '{')
        return read_raw(input);
    if (raw_only_)
        return failure(kCloseProtocolError, "expected a JSON object");
    return read_header(input);
}

Event MessageReader::read_raw(Bytes& input) {
    std::string_view piece = input.take(scanner_.feed(input.view())).view();
    if (piece.size() > config_->max_message - message_.bytes.size())
        return failure(kCloseTooBig, "JSON object too big");
    // Clients that send raw JSON usually end an object with a line break.
    state_ = State::AfterRaw;
    if (message_.bytes.empty() && !scanner_.open())
        return {Event::Kind::Raw, piece};
    message_.bytes.append(piece);
    if (scanner_.open()) return {};
    payload_in_ = PayloadIn::Message;
    return {Event::Kind::Raw, message_.bytes.view()};
}

Event MessageReader::read_header(Bytes& input) {
    state_ = State::Header;
    // A header that arrives whole, as nearly all do, is decoded where it lies.
    const size_t had = partial_.size();
    if (had)
        partial_.append(input.view().substr(0, kMaxClientHeader - had));
    DecodedHeader decoded = decode_header(
        had ? partial_.view() : input.view(), compression_);
    if (decoded.error) return failure(kCloseProtocolError, decoded.error);
    if (!decoded.size) {
        if (!had) partial_.append(input.view());
        input.take(input.size);
        return {};
    }
    input.take(decoded.size - had);
    partial_.release();
    frame_ = decoded.header;
    return begin_frame(input);
}

Event MessageReader::begin_frame(Bytes& input) {
    payload_read_ = 0;
    state_ = State::Payload;
    if (is_control(frame_.opcode)) return read_payload(input);
    const bool continues = frame_.opcode == Opcode::Continuation;
    const bool inside_message = message_.type != Opcode::Continuation;
    if (continues && !inside_message)
        return failure(kCloseProtocolError,
                       "continuation frame without a message");
    if (!continues && inside_message)
        return failure(kCloseProtocolError, "message inside a message");
    if (!continues) begin_message();
    if (!fits_limit(frame_)) return failure(kCloseTooBig, "message too big");
    if (message_.compressed) message_.compressed->size += frame_.length;
    // Empty fragments never reach max_message. Without a limit of their own, a
    // client could send them for ever and its message would never end.
    const bool fragment = continues || !frame_.fin;
    if (frame_.length == 0 && fragment &&
        ++message_.empty_fragments > kMaxEmptyFragments)
        return failure(kClosePolicyViolation, "too many empty fragments");
    // Not left to the next call: an empty payload needs no further input.
    return read_payload(input);
}

void MessageReader::begin_message() {
    message_.type = frame_.opcode;
    message_.utf8.reset();
    message_.empty_fragments = 0;
    if (frame_.compressed) message_.compressed = std::make_unique<Compressed>();
}

/// Returns true if a message may have this frame too. The header decides: a
/// message that is too long is refused before its payload arrives. What was
/// accepted so far is never over the limit, so no subtraction wraps.
bool MessageReader::fits_limit(const FrameHeader& frame) const {
    const uint64_t limit = config_->max_message;
    if (message_.compressed)
        return frame.length <=
               deflated_limit(limit) - message_.compressed->size;
    return frame.length <= limit - message_.bytes.size();
}

Event MessageReader::read_payload(Bytes& input) {
    uint64_t most = frame_.length - payload_read_;
    // What this much may stand for is looked at before more is inflated.
    if (message_.compressed && !is_control(frame_.opcode))
        most = std::min<uint64_t>(most, kInflatedPiece);
    Bytes piece = input.take(most);
    unmask(piece.data, piece.size, frame_.mask, payload_read_);
    payload_read_ += piece.size;
    // Payloads are passed on as they arrive, so that malformed UTF-8 fails the
    // connection at once and not at the end of a long message.
    const bool whole = payload_read_ == frame_.length;
    if (whole) state_ = State::Header;
    return is_control(frame_.opcode) ? add_to_control(piece.view(), whole)
                                     : add_to_message(piece.view(), whole);
}

/// Adds a piece of a frame's payload; `whole` if it is the last of the frame.
Event MessageReader::add_to_message(std::string_view piece, bool whole) {
    const bool last = whole && frame_.fin;
    if (message_.compressed) return inflate(piece, last);
    if (message_.type == Opcode::Text &&
        message_.utf8.feed(piece) < piece.size())
        return failure(kCloseInvalidData, "malformed UTF-8");
    // A message that arrives whole is returned where it lies, without a copy.
    if (last && message_.bytes.empty()) return end_message(piece);
    message_.bytes.append(piece);
    if (!last) return {};
    payload_in_ = PayloadIn::Message;
    return end_message(message_.bytes.view());
}

/// Inflates each piece as it arrives and stops at the limit. No header tells
/// the length of the inflated message: 1 MiB of input may stand for 1 GiB. Also
/// finds malformed UTF-8 as early as in a message that is not compressed.
Event MessageReader::inflate(std::string_view piece, bool last) {
    const size_t had = message_.bytes.size();
    const uint64_t limit = config_->max_message;
    std::string& message = message_.bytes.text();
    Inflater& inflater = message_.compressed->inflater;
    Inflater::Result result = inflater.inflate(piece, message, limit);
    if (last && result == Inflater::Result::Good)
        result = inflater.finish(message, limit);
    const std::string_view added = std::string_view(message).substr(had);
    if (message_.type == Opcode::Text &&
        message_.utf8.feed(added) < added.size())
        return failure(kCloseInvalidData, "malformed UTF-8");
    if (result == Inflater::Result::TooBig)
        return failure(kCloseTooBig, "message too big");
    if (result == Inflater::Result::Corrupt)
        return failure(kCloseInvalidData, "malformed deflated data");
    if (!last) return {};
    message_.compressed.reset();
    payload_in_ = PayloadIn::Message;
    return end_message(message_.bytes.view());
}

Event MessageReader::end_message(std::string_view payload) {
    const bool text = message_.type == Opcode::Text;
    message_.type = Opcode::Continuation;
    if (text && !message_.utf8.complete())
        return failure(kCloseInvalidData, "incomplete UTF-8 at the end");
    return {text ? Event::Kind::Text : Event::Kind::Binary, payload};
}

/// Control frames may come between the fragments of a message, so that their
/// payload has a buffer of its own (RFC 6455, section 5.4).
Event MessageReader::add_to_control(std::string_view piece, bool whole) {
    if (!whole || !partial_.empty()) {
        partial_.append(piece);
        if (!whole) return {};
        piece = partial_.view();
        payload_in_ = PayloadIn::Partial;
    }
    if (frame_.opcode == Opcode::Close) return close_event(piece);
    return {frame_.opcode == Opcode::Ping ? Event::Kind::Ping
                                          : Event::Kind::Pong,
            piece};
}

}  // namespace wschat
