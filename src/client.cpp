#include "client.h"

#include <utility>

namespace wschat {

namespace {

// A fast reader with a long backlog lets the others have their turn.
constexpr size_t kMaxFlush = 256 << 10;

}  // namespace

Client::Client(Accepted peer, const ReaderRules& rules)
    : stream_(std::move(peer.fd)),
      address_(std::move(peer.address)),
      head_(std::make_unique<HeadReader>()),
      reader_(rules),
      local_(peer.local) {}

std::optional<Answer> Client::shake_hands(Bytes& input, const Site& site) {
    if (input.size == 0) return std::nullopt;
    const bool may_be_raw = local_ && reader_.rules().raw_json;
    if (may_be_raw && head_->text().empty() && *input.data == '{') {
        head_.reset();
        reader_.refuse_frames();
        state_ = State::Raw;
        return std::nullopt;
    }
    input.take(head_->feed(input.view()));
    const HeadReader::State found = head_->state();
    if (found == HeadReader::State::NeedMore) return std::nullopt;
    Answer answer = found == HeadReader::State::Complete
                        ? answer_request(head_->text(), site)
                    : found == HeadReader::State::TooLarge
                        ? refuse(431, "request head too large")
                        : refuse(400, "control byte in the request head");
    if (answer.status == 101) {
        state_ = State::Open;
        send(answer.bytes);
    } else {
        close(answer.bytes);
    }
    head_.reset();
    return answer;
}

Event Client::next(Bytes& input) {
    if (!listens()) return {};
    Event event = reader_.next(input);
    if (event.kind == Event::Kind::Ping)
        send(encode_frame(Opcode::Pong, event.payload));
    else if (event.kind == Event::Kind::Close)
        close(encode_frame(Opcode::Close, event.payload));
    else if (event.kind == Event::Kind::Error)
        close(state_ == State::Raw ? ""
                                   : encode_close(event.code, event.reason));
    return event;
}

void Client::join(Broadcast& run) {
    run_ = &run;
    position_ = run.join();
    target_ = position_.offset();
}

void Client::leave() {
    if (run_) std::exchange(run_, nullptr)->leave(position_);
}

uint64_t Client::backlog(uint64_t end) const {
    const bool behind = state_ == State::Open && position_.offset() < end;
    return behind ? end - position_.offset() : 0;
}

void Client::tell(std::string_view json) {
    if (reader_.takes_frames()) return send(encode_frame(Opcode::Text, json));
    send(json);
    send("\n");
}

void Client::close(std::string last_words) {
    last_words_ = std::move(last_words);
    reader_.forget();
    if (run_) target_ = run_->end();
    state_ = State::Closing;
}

void Client::end_of_input() {
    if (std::exchange(input_ended_, true)) return drop();
    if (state_ == State::Raw || state_ == State::Open) close("");
    if (state_ != State::Closing) drop();
}

Transfer Client::flush() {
    size_t written = 0;
    while (written < kMaxFlush) {
        const Pieces pieces = owed();
        if (pieces.count == 0) {
            if (state_ == State::Closing) finish();
            return {Transfer::State::Done, written, 0};
        }
        const Transfer result = stream_.write(pieces);
        if (result.state == Transfer::State::Failed) return result;
        sent(result.size);
        written += result.size;
        if (result.size < pieces.size) break;
    }
    return {Transfer::State::Blocked, written, 0};
}

/// What goes next, or nothing if that is all for now. Until sent() says
/// that some of it went, it goes on to begin with the same bytes.
Pieces Client::owed() {
    if (going_.empty() && run_ && position_.offset() < target_)
        return run_->pending(position_, target_);
    if (going_.empty()) going_.swap(own_);
    if (going_.empty() && state_ == State::Closing) going_.swap(last_words_);
    if (!going_.empty())
        return Pieces(std::string_view(going_).substr(gone_));
    if (!run_ || state_ == State::Closing) return {};
    target_ = run_->end();
    return run_->pending(position_, target_);
}

void Client::sent(size_t n) {
    if (going_.empty()) return run_->advance(position_, n);
    gone_ += n;
    if (gone_ < going_.size()) return;
    release(going_);
    gone_ = 0;
    if (state_ == State::Open && run_) target_ = run_->end();
}

void Client::finish() {
    stream_.shut_down_writing();
    leave();
    state_ = input_ended_ ? State::Gone : State::Draining;
}

void Client::drop() {
    leave();
    state_ = State::Gone;
}

}  // namespace wschat
