#include "client.h"

#include <algorithm>
#include <utility>

namespace wschat {

namespace {

// A fast reader with a long backlog lets the others have their turn.
constexpr size_t kMaxFlush = 256 << 10;

}  // namespace

Client::Client(Accepted peer, const ReaderConfig& rules, const TlsContext* tls)
    : stream_(std::move(peer.fd), tls),
      peer_(std::move(peer.peer)),
      head_(std::make_unique<HeadReader>()),
      reader_(rules) {}

std::optional<Admission> Client::shake_hands(Bytes& input,
                                             const RouterConfig& rules) {
    if (input.size == 0) return std::nullopt;
    const bool may_be_raw = peer_.local && reader_.rules().raw_json;
    if (may_be_raw && head_->text().empty() && *input.data == '{') {
        head_.reset();
        reader_.refuse_frames();
        state_ = State::Raw;
        return std::nullopt;
    }
    input.take(head_->feed(input.view()));
    Admission admission;
    admission.visitor.address = peer_.address;
    if (stream_.refused_tls())
        admission.answer = error_response(400, "this port speaks TLS: use https");
    else if (head_->state() == HeadReader::State::NeedMore)
        return std::nullopt;
    else
        admission = admit(*head_, peer_, rules);
    head_.reset();
    peer_.address = admission.visitor.address;
    return admission;
}

void Client::answer(const Admission& admission) {
    const int status = admission.answer.status;
    if (status != 100 && status != 101) return close(admission.answer.bytes);
    send(admission.answer.bytes);
    if (status == 100) {
        state_ = State::Receiving;
        upload_ = std::make_unique<Upload>(admission.upload);
        return;
    }
    state_ = State::Open;
    v1_ = admission.agreement.v1;
    takes_deflated_ = admission.agreement.compression.server_may_deflate;
    if (admission.agreement.compression.client_may_deflate) reader_.allow_compression();
}

std::optional<Upload> Client::receive(Bytes& input) {
    upload_->body.append(
        input.take(upload_->size - upload_->body.size()).view());
    if (upload_->body.size() < upload_->size) return std::nullopt;
    return std::move(*std::exchange(upload_, nullptr));
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

void Client::join(Room& joined, uint64_t first) {
    History& history = joined.history();
    const bool from_history = first <= history.newest();
    Broadcast& deflated = joined.log(true);
    if (takes_deflated_ && !from_history)
        return join_at(deflated, deflated.open_cursor());
    join_at(history.log(), history.open_cursor(first));
    if (takes_deflated_) next_log_ = &deflated;
}

void Client::join_at(Broadcast& log, const Broadcast::Cursor& cursor) {
    log_ = &log;
    cursor_ = cursor;
    joined_ = log.end();
    target_ = cursor.offset();
}

/// It was sent all of its run: the rest comes from the other.
void Client::move_over() {
    if (!next_log_) return;
    log_->close_cursor(cursor_);
    Broadcast& next = *std::exchange(next_log_, nullptr);
    join_at(next, next.open_cursor());
}

void Client::leave() {
    if (log_) std::exchange(log_, nullptr)->close_cursor(cursor_);
}

uint64_t Client::backlog() const {
    if (state_ != State::Open || !log_) return 0;
    const uint64_t old = log_->end_of_last_turn();
    const uint64_t from = std::max(cursor_.offset(), joined_);
    return old > from ? old - from : 0;
}

Client::Own& Client::own() {
    if (!own_) own_ = std::make_unique<Own>();
    return *own_;
}

size_t Client::own_size() const {
    return own_ ? own_->waiting.size() + own_->going.size() - own_->gone : 0;
}

void Client::tell(std::string_view json) {
    if (reader_.takes_frames()) return send(encode_frame(Opcode::Text, json));
    send(json);
    send("\n");
}

void Client::close(std::string last_words) {
    own().last_words = std::move(last_words);
    upload_.reset();
    reader_.forget();
    if (log_) target_ = log_->end();
    state_ = State::Closing;
}

void Client::end_of_input() {
    if (std::exchange(input_ended_, true)) return drop();
    if (state_ == State::Raw || state_ == State::Open) close("");
    if (state_ != State::Closing) drop();
}

Client::Flush Client::begin_flush() {
    Flush flush;
    flush.before = state_;
    flush.was_blocked = blocked_;
    find_next(flush);
    return flush;
}

void Client::find_next(Flush& flush) {
    const IoVec pieces = owed();
    if (pieces.count > 0) {
        flush.next = stream_.outgoing(pieces);
        if (flush.next.count == 0)
            flush.result = {IoResult::State::Failed, 0, "TLS: cannot write"};
        return;
    }
    blocked_ = state_ == State::Closing && !finish();
    if (blocked_) flush.result.state = IoResult::State::Blocked;
}

void Client::go_on(Flush& flush, const IoResult& written) {
    const size_t asked = flush.next.size;
    flush.next = {};
    if (written.state == IoResult::State::Failed) {
        flush.result = written;
        return;
    }
    sent(stream_.sent(written.size));
    flush.result.size += written.size;
    if (written.size == asked && flush.result.size < kMaxFlush)
        return find_next(flush);
    flush.result.state = IoResult::State::Blocked;
    blocked_ = true;
}

IoResult Client::flush() {
    Flush flush = begin_flush();
    while (flush.next.count > 0)
        go_on(flush, send_vec(fd(), flush.next));
    return flush.result;
}

bool Client::waits_for_output() const {
    return blocked_ || stream_.read_waits_to_write();
}

bool Client::can_read(bool readable, bool writable) const {
    return readable || (writable && stream_.read_waits_to_write());
}

/// What goes next, or nothing if that is all for now. Until sent() says
/// that some of it went, it goes on to begin with the same bytes.
IoVec Client::owed() {
    const bool midway = own_ && !own_->going.empty();
    if (!midway && log_ && cursor_.offset() < target_)
        return log_->pending(cursor_, target_);
    if (midway || has_own_turn())
        return IoVec(std::string_view(own_->going).substr(own_->gone));
    if (!log_ || state_ == State::Closing) return {};
    if (cursor_.offset() == log_->end()) move_over();
    target_ = log_->end();
    return log_->pending(cursor_, target_);
}

/// Gives its own bytes their turn, if there are any.
bool Client::has_own_turn() {
    if (!own_) return false;
    own_->going.swap(own_->waiting);
    if (own_->going.empty() && state_ == State::Closing)
        own_->going.swap(own_->last_words);
    if (own_->going.empty()) own_.reset();
    return own_ != nullptr;
}

void Client::sent(size_t n) {
    if (!own_ || own_->going.empty()) return log_->advance(cursor_, n);
    own_->gone += n;
    if (own_->gone < own_->going.size()) return;
    release(own_->going);
    own_->gone = 0;
    if (state_ == State::Open && log_) target_ = log_->end();
}

/// False if the socket takes no more now.
bool Client::finish() {
    if (!stream_.shut_down_writing()) return false;
    leave();
    state_ = input_ended_ ? State::Gone : State::Draining;
    return true;
}

void Client::drop() {
    leave();
    state_ = State::Gone;
}

}  // namespace wschat
