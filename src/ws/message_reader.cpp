#include "ws/message_reader.h"

#include <algorithm>

namespace wschat {

namespace {

Event failure(uint16_t code, const char* reason) {
    return {Event::Kind::Error, {}, code, reason};
}

/// The most that a text of n bytes can need when it is deflated: 9 bits for a
/// byte, and a little.
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
    release_spent();
    while (input.size > 0) {
        Event event = step(input);
        if (event.kind != Event::Kind::NeedMore) return event;
    }
    return {};
}

void MessageReader::forget() {
    partial_.release();
    message_.release();
    scanner_ = ObjectScanner();
    inflater_.reset();
    spent_ = Spent::None;
}

void MessageReader::release_spent() {
    if (spent_ == Spent::Partial) partial_.release();
    if (spent_ == Spent::Message) message_.release();
    spent_ = Spent::None;
}

Event MessageReader::step(Bytes& input) {
    if (scanner_.open()) return read_raw(input);
    if (expect_ == Expect::Payload) return read_payload(input);
    if (expect_ == Expect::Space && is_json_space(*input.data)) {
        input.take(1);
        return {};
    }
    // 0x7B has reserved bits set: no frame begins with it.
    bool between_messages = partial_.empty() && type_ == Opcode::Continuation;
    if (rules_->raw_json && between_messages && *input.data == '{')
        return read_raw(input);
    if (!frames_) return failure(kCloseProtocolError, "expected a JSON object");
    return read_header(input);
}

Event MessageReader::read_raw(Bytes& input) {
    std::string_view piece = input.take(scanner_.feed(input.view())).view();
    if (piece.size() > rules_->max_message - message_.size())
        return failure(kCloseTooBig, "JSON object too big");
    expect_ = Expect::Space;
    if (message_.empty() && !scanner_.open())
        return {Event::Kind::Raw, piece};
    message_.append(piece);
    if (scanner_.open()) return {};
    spent_ = Spent::Message;
    return {Event::Kind::Raw, message_.view()};
}

Event MessageReader::read_header(Bytes& input) {
    expect_ = Expect::Header;
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
    taken_ = 0;
    expect_ = Expect::Payload;
    if (is_control(frame_.opcode)) return read_payload(input);
    const bool continues = frame_.opcode == Opcode::Continuation;
    if (continues && type_ == Opcode::Continuation)
        return failure(kCloseProtocolError, "continuation frame without a message");
    if (!continues && type_ != Opcode::Continuation)
        return failure(kCloseProtocolError, "message inside a message");
    if (!continues) {
        type_ = frame_.opcode;
        utf8_.reset();
        empty_fragments_ = 0;
        deflated_ = 0;
        if (frame_.compressed) inflater_ = std::make_unique<Inflater>();
    }
    if (!fits(frame_)) return failure(kCloseTooBig, "message too big");
    if (inflater_) deflated_ += frame_.length;
    const bool fragment = continues || !frame_.fin;
    if (frame_.length == 0 && fragment &&
        ++empty_fragments_ > kMaxEmptyFragments)
        return failure(kClosePolicyViolation, "too many empty fragments");
    return read_payload(input);
}

bool MessageReader::fits(const FrameHeader& frame) const {
    const uint64_t limit = rules_->max_message;
    return inflater_ ? frame.length <= deflated_limit(limit) - deflated_
                     : frame.length <= limit - message_.size();
}

Event MessageReader::read_payload(Bytes& input) {
    Bytes piece = input.take(frame_.length - taken_);
    unmask(piece.data, piece.size, frame_.mask, taken_);
    taken_ += piece.size;
    const bool whole = taken_ == frame_.length;
    if (whole) expect_ = Expect::Header;
    return is_control(frame_.opcode) ? add_to_control(piece.view(), whole)
                                     : add_to_message(piece.view(), whole);
}

Event MessageReader::add_to_message(std::string_view piece, bool whole) {
    const bool last = whole && frame_.fin;
    if (inflater_) return inflate(piece, last);
    if (type_ == Opcode::Text && utf8_.feed(piece) < piece.size())
        return failure(kCloseInvalidData, "malformed UTF-8");
    if (last && message_.empty()) return end_of_message(piece);
    message_.append(piece);
    if (!last) return {};
    spent_ = Spent::Message;
    return end_of_message(message_.view());
}

Event MessageReader::inflate(std::string_view piece, bool last) {
    const size_t had = message_.size();
    const uint64_t limit = rules_->max_message;
    std::string& message = message_.text();
    Inflater::Result result = inflater_->inflate(piece, message, limit);
    if (last && result == Inflater::Result::Good)
        result = inflater_->finish(message, limit);
    const std::string_view text = std::string_view(message).substr(had);
    if (type_ == Opcode::Text && utf8_.feed(text) < text.size())
        return failure(kCloseInvalidData, "malformed UTF-8");
    if (result == Inflater::Result::TooBig)
        return failure(kCloseTooBig, "message too big");
    if (result == Inflater::Result::Corrupt)
        return failure(kCloseInvalidData, "malformed deflated data");
    if (!last) return {};
    inflater_.reset();
    spent_ = Spent::Message;
    return end_of_message(message_.view());
}

Event MessageReader::end_of_message(std::string_view payload) {
    const bool text = type_ == Opcode::Text;
    type_ = Opcode::Continuation;
    if (text && !utf8_.complete())
        return failure(kCloseInvalidData, "incomplete UTF-8 at the end");
    return {text ? Event::Kind::Text : Event::Kind::Binary, payload};
}

Event MessageReader::add_to_control(std::string_view piece, bool whole) {
    if (!whole || !partial_.empty()) {
        partial_.append(piece);
        if (!whole) return {};
        piece = partial_.view();
        spent_ = Spent::Partial;
    }
    if (frame_.opcode == Opcode::Close) return close_event(piece);
    return {frame_.opcode == Opcode::Ping ? Event::Kind::Ping
                                          : Event::Kind::Pong,
            piece};
}

}  // namespace wschat
