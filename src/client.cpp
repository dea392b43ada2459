#include "client.h"

#include <algorithm>
#include <utility>

namespace wschat {

namespace {

// A fast reader with a long backlog lets the others have their turn.
constexpr size_t kMaxFlush = 256 << 10;

}  // namespace

Client::Client(Accepted peer, const ReaderRules& rules, const TlsContext* tls)
    : stream_(std::move(peer.fd), tls),
      peer_(std::move(peer.peer)),
      head_(std::make_unique<HeadReader>()),
      reader_(rules) {}

std::optional<Admission> Client::shake_hands(Bytes& input,
                                             const GateRules& rules) {
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
        admission.answer = refuse(400, "this port speaks TLS: use https");
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
    takes_deflated_ = admission.agreement.compression.gives;
    if (admission.agreement.compression.takes) reader_.allow_compression();
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
    const bool from_history = first <= history.last();
    Broadcast& deflated = joined.run(true);
    if (takes_deflated_ && !from_history)
        return join_at(deflated, deflated.join());
    join_at(history.run(), history.join(first));
    if (takes_deflated_) next_run_ = &deflated;
}

void Client::join_at(Broadcast& run, const Broadcast::Position& position) {
    run_ = &run;
    position_ = position;
    joined_ = run.end();
    target_ = position.offset();
}

/// It was sent all of its run: the rest comes from the other.
void Client::move_over() {
    if (!next_run_) return;
    run_->leave(position_);
    Broadcast& next = *std::exchange(next_run_, nullptr);
    join_at(next, next.join());
}

void Client::leave() {
    if (run_) std::exchange(run_, nullptr)->leave(position_);
}

uint64_t Client::backlog() const {
    if (state_ != State::Open || !run_) return 0;
    const uint64_t old = run_->marked();
    const uint64_t from = std::max(position_.offset(), joined_);
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
    if (run_) target_ = run_->end();
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
    const Pieces pieces = owed();
    if (pieces.count > 0) {
        flush.next = stream_.outgoing(pieces);
        if (flush.next.count == 0)
            flush.result = {Transfer::State::Failed, 0, "TLS: cannot write"};
        return;
    }
    blocked_ = state_ == State::Closing && !finish();
    if (blocked_) flush.result.state = Transfer::State::Blocked;
}

void Client::go_on(Flush& flush, const Transfer& written) {
    const size_t asked = flush.next.size;
    flush.next = {};
    if (written.state == Transfer::State::Failed) {
        flush.result = written;
        return;
    }
    sent(stream_.sent(written.size));
    flush.result.size += written.size;
    if (written.size == asked && flush.result.size < kMaxFlush)
        return find_next(flush);
    flush.result.state = Transfer::State::Blocked;
    blocked_ = true;
}

Transfer Client::flush() {
    Flush flush = begin_flush();
    while (flush.next.count > 0)
        go_on(flush, send_pieces(fd(), flush.next));
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
Pieces Client::owed() {
    const bool midway = own_ && !own_->going.empty();
    if (!midway && run_ && position_.offset() < target_)
        return run_->pending(position_, target_);
    if (midway || has_own_turn())
        return Pieces(std::string_view(own_->going).substr(own_->gone));
    if (!run_ || state_ == State::Closing) return {};
    if (position_.offset() == run_->end()) move_over();
    target_ = run_->end();
    return run_->pending(position_, target_);
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
    if (!own_ || own_->going.empty()) return run_->advance(position_, n);
    own_->gone += n;
    if (own_->gone < own_->going.size()) return;
    release(own_->going);
    own_->gone = 0;
    if (state_ == State::Open && run_) target_ = run_->end();
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
