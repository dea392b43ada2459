#include "client.h"

#include <algorithm>
#include <utility>

namespace wschat {

namespace {

// A client that reads fast and has much to receive gives way to the others
// after this many bytes.
constexpr size_t kMaxFlush = 256 << 10;

}  // namespace

Client::Client(Accepted accepted, const ReaderConfig& config,
               const TlsContext* tls)
    : stream_(std::move(accepted.fd), tls),
      peer_(accepted.peer),
      reader_(config),
      request_(std::make_unique<Request>(HeadReader())) {
    member_.address = peer_;
}

// Input

ClientInput Client::next(Bytes& input) {
    // Before the check below: a body may have no bytes.
    if (state_ == State::Receiving) return read_body(input);
    if (input.size == 0) return input::NeedMore();
    switch (state_) {
        case State::Handshaking: return read_head(input);
        case State::Raw:
        case State::Open: return read_message(input);
        default: break;
    }
    input.take(input.size);
    return input::NeedMore();
}

ClientInput Client::read_head(Bytes& input) {
    auto& head = std::get<HeadReader>(*request_);
    // Raw JSON without a handshake, as the tutorial takes it. Only as the first
    // byte, and only from this machine: else a web page could make a browser
    // send such an object to this port in the body of an HTTP request.
    const bool may_be_raw = peer_.is_local() && reader_.config().raw_json;
    if (may_be_raw && head.text().empty() && *input.data == '{') {
        request_.reset();
        reader_.accept_raw_only();
        sends_frames_ = false;
        state_ = State::Raw;
        return input::RawJsonBegun();
    }
    input.take(head.feed(input.view()));
    if (stream_.refused_tls()) return input::TlsRequired();
    if (head.state() == HeadReader::State::NeedMore) return input::NeedMore();
    return input::RequestHead{&head};
}

ClientInput Client::read_body(Bytes& input) {
    auto& request = std::get<PublishRequest>(*request_);
    request.body.append(
        input.take(request.size - request.body.size()).view());
    if (!request.is_complete()) return input::NeedMore();
    return input::RequestBody{std::move(request)};
}

ClientInput Client::read_message(Bytes& input) {
    using Kind = Event::Kind;
    const Event event = reader_.next(input);
    switch (event.kind) {
        case Kind::NeedMore: return input::NeedMore();
        case Kind::Text:
        case Kind::Raw: return input::Message{event.payload, false};
        case Kind::Binary: return input::Message{event.payload, true};
        case Kind::Pong: return input::ControlFrame();
        case Kind::Ping:
            send(encode_frame(Opcode::Pong, event.payload));
            return input::ControlFrame();
        case Kind::Close:
            close(encode_frame(Opcode::Close, event.payload));
            return input::PeerClosed{event.code};
        case Kind::Error: break;
    }
    close(sends_frames_ ? encode_close(event.code, event.reason) : "");
    return input::ProtocolError{event.code, event.reason};
}

// Replies

void Client::upgrade(const Upgrade& upgrade, std::string_view first_message) {
    request_.reset();
    state_ = State::Open;
    if (upgrade.agreement.compression.client_may_deflate) reader_.allow_compression();
    send(upgrade.response);
    if (!first_message.empty()) tell(first_message);
}

void Client::expect_body(ExpectBody expected) {
    send(expected.interim_response);
    *request_ = std::move(expected.request);
    state_ = State::Receiving;
}

void Client::tell(std::string_view json) {
    if (sends_frames_) return send(encode_frame(Opcode::Text, json));
    send(json);
    send("\n");
}

void Client::close(std::string last_words) {
    own().last_words = std::move(last_words);
    request_.reset();
    reader_.release_memory();
    // What was published until now is still sent; later messages are not.
    if (cursor_.is_started()) target_ = cursor_.end();
    state_ = State::Closing;
}

void Client::end_of_input() {
    if (std::exchange(input_ended_, true)) return drop();
    if (state_ == State::Raw || state_ == State::Open) close("");
    if (state_ != State::Closing) drop();
}

void Client::drop() {
    cursor_.stop();
    state_ = State::Gone;
}

// Output

Client::Flush Client::begin_flush() {
    Flush flush;
    flush.client = this;
    flush.state_before = state_;
    flush.was_blocked = blocked_;
    find_next(flush);
    return flush;
}

void Client::find_next(Flush& flush) {
    const IoVec bytes = next_bytes();
    if (bytes.count > 0) {
        flush.next = stream_.next_bytes_to_send(bytes);
        if (flush.next.count == 0)
            flush.result = {IoResult::State::Failed, 0, "TLS: cannot write"};
        return;
    }
    blocked_ = state_ == State::Closing && !finish();
    if (blocked_) flush.result.state = IoResult::State::Blocked;
}

void Client::continue_flush(Flush& flush, const IoResult& sent) {
    const size_t asked = flush.next.size;
    flush.next = {};
    if (sent.state == IoResult::State::Failed) {
        flush.result = sent;
        return;
    }
    consume(stream_.consume_sent(sent.size));
    flush.result.size += sent.size;
    if (sent.size == asked && flush.result.size < kMaxFlush)
        return find_next(flush);
    flush.result.state = IoResult::State::Blocked;
    blocked_ = true;
}

/// Returns the next bytes to send; none if nothing waits. Returns the same
/// bytes, or more, until consume() is called, as Stream::next_bytes_to_send() requires.
IoVec Client::next_bytes() {
    const bool inside_own = own_ && !own_->current.empty();
    const bool in_log = cursor_.is_started();
    if (!inside_own && in_log && cursor_.offset() < target_)
        return cursor_.pending(target_);
    // The log is at a frame boundary, target_.
    if (inside_own || take_own_bytes())
        return IoVec(std::string_view(own_->current).substr(own_->sent));
    if (!in_log || state_ == State::Closing) return {};
    cursor_.switch_log_at_end();
    target_ = cursor_.end();
    return cursor_.pending(target_);
}

/// Makes the waiting bytes the current ones; when closing, and nothing else
/// waits, the last words. Returns false if there are none.
bool Client::take_own_bytes() {
    if (!own_) return false;
    own_->current.swap(own_->waiting);
    if (own_->current.empty() && state_ == State::Closing)
        own_->current.swap(own_->last_words);
    if (own_->current.empty()) own_.reset();
    return own_ != nullptr;
}

void Client::consume(size_t n) {
    if (!own_ || own_->current.empty()) return cursor_.advance(n);
    own_->sent += n;
    if (own_->sent < own_->current.size()) return;
    release(own_->current);
    own_->sent = 0;
    // The log has its turn, up to its present end, before more own bytes: a
    // client that sends pings without end still receives messages.
    if (state_ == State::Open && cursor_.is_started())
        target_ = cursor_.end();
}

/// Ends the sending direction: everything is sent. Returns false if the socket
/// takes no more now.
bool Client::finish() {
    if (!stream_.shut_down_writing()) return false;
    cursor_.stop();
    // Not closed at once: with unread input the kernel would send a reset, and
    // the peer might lose what was sent last (RFC 6455, section 7.1.1).
    state_ = input_ended_ ? State::Gone : State::Draining;
    return true;
}

Client::Own& Client::own() {
    if (!own_) own_ = std::make_unique<Own>();
    return *own_;
}

size_t Client::own_size() const {
    return own_ ? own_->waiting.size() + own_->current.size() - own_->sent : 0;
}

uint64_t Client::backlog() const {
    return state_ == State::Open ? cursor_.backlog() : 0;
}

bool Client::waits_for_output() const {
    return blocked_ || stream_.read_waits_to_write();
}

bool Client::can_read(bool readable, bool writable) const {
    return readable || (writable && stream_.read_waits_to_write());
}

void complete_flushes(SendBatch& batch, std::vector<Client::Flush>& flushes) {
    std::vector<SendRequest> requests;
    do {
        requests.clear();
        for (const Client::Flush& flush : flushes)
            if (flush.next.count > 0)
                requests.push_back({flush.client->fd(), &flush.next});
        batch.write(requests);
        auto request = requests.begin();
        for (Client::Flush& flush : flushes)
            if (flush.next.count > 0)
                flush.client->continue_flush(flush, request++->result);
    } while (!requests.empty());
}

}  // namespace wschat
