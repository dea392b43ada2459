#include "client.h"

#include <algorithm>
#include <utility>

#include <poll.h>

namespace wschat {

Client::Client(Accepted accepted, const ReaderConfig& config,
               const TlsContext* tls)
    : stream_(std::move(accepted.fd), tls),
      reader_(config),
      request_(new Request{accepted.peer, HeadReader()}) {
    member_.address = accepted.peer;
}

// Input

ClientInput Client::next(Bytes& input) {
    // Before the check below: a body may have no bytes.
    if (state_ == State::ReadingBody) return read_body(input);
    if (input.size == 0) return input::NeedMore();
    switch (state_) {
        case State::ReadingHead: return read_head(input);
        case State::Raw:
        case State::Open: return read_message(input);
        default: break;
    }
    // Nothing that arrives after the client began to close means anything, but
    // it is read all the same, so that the peer can finish sending.
    input.take(input.size);
    return input::NeedMore();
}

ClientInput Client::read_head(Bytes& input) {
    auto& head = std::get<HeadReader>(request_->part);
    // Raw JSON without a handshake, as the tutorial takes it. Only as the first
    // byte, and only from this machine: else a web page could make a browser
    // send such an object to this port in the body of an HTTP request.
    const bool may_be_raw =
        request_->peer.is_local() && reader_.config().raw_json;
    if (may_be_raw && head.text().empty() && *input.data == '{') {
        request_.reset();
        reader_.accept_raw_only();
        sends_frames_ = false;
        state_ = State::Raw;
        return input::RawJsonBegun();
    }
    input.take(head.feed(input.view()));
    // Told as soon as there is a byte: what follows may be no HTTP at all.
    if (stream_.is_plain_on_tls_port()) return input::TlsRequired();
    if (head.state() == HeadReader::State::NeedMore) return input::NeedMore();
    return input::RequestHead{&head, request_->peer};
}

ClientInput Client::read_body(Bytes& input) {
    auto& request = std::get<PublishRequest>(request_->part);
    request.body.append(
        input.take(request.size - request.body.size()).view());
    if (!request.is_complete()) return input::NeedMore();
    return input::RequestBody{std::move(request)};
}

uint64_t Client::partial_size() const {
    if (state_ == State::ReadingBody)
        return std::get<PublishRequest>(request_->part).body.capacity();
    return reader_.partial_size();
}

ClientInput Client::read_message(Bytes& input) {
    using Kind = Event::Kind;
    const Event event = reader_.next(input);
    switch (event.kind) {
        case Kind::NeedMore: return input::NeedMore();
        case Kind::Inflating: return input::Inflating{event.size};
        case Kind::Text:
        case Kind::Raw: return input::Message{event.payload, false};
        case Kind::Binary: return input::Message{event.payload, true};
        case Kind::Pong: return input::ControlFrame();
        case Kind::Ping:
            outbox_.add(encode_frame(Opcode::Pong, event.payload));
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
    // The bytes behind the head, if any, are frames already.
    request_.reset();
    state_ = State::Open;
    if (upgrade.agreement.compression.client_may_deflate)
        reader_.allow_compression();
    outbox_.add(upgrade.response);
    if (!first_message.empty()) tell(first_message);
}

void Client::expect_body(ExpectBody expected) {
    outbox_.add(expected.interim_response);
    request_->part = std::move(expected.request);
    state_ = State::ReadingBody;
}

void Client::tell(std::string_view json) {
    if (sends_frames_) return outbox_.add(encode_frame(Opcode::Text, json));
    outbox_.add(json);
    outbox_.add("\n");
}

void Client::close(std::string last_words) {
    outbox_.close(std::move(last_words));
    release_memory();
    state_ = State::Closing;
}

void Client::release_memory() {
    request_.reset();
    reader_.release_memory();
}

void Client::end_of_input() {
    if (std::exchange(input_ended_, true)) return drop();
    // A peer may end its sending direction and still read: what waits for it is
    // sent. A request or a body without its end can't be answered.
    if (state_ == State::Raw || state_ == State::Open) close("");
    if (state_ != State::Closing) drop();
}

void Client::drop() {
    outbox_.cursor().stop();
    state_ = State::Gone;
}

// Output

Client::Flush Client::begin_flush(size_t most) {
    Flush flush;
    flush.client = this;
    flush.most = most;
    flush.state_before = state_;
    flush.was_blocked = blocked_;
    flush.was_full = is_full_;
    find_next(flush);
    return flush;
}

void Client::find_next(Flush& flush) {
    const IoVec bytes = outbox_.next_bytes();
    if (bytes.count > 0) {
        flush.next = stream_.next_bytes_to_send(bytes);
        if (flush.next.count == 0)
            flush.result = {IoResult::State::Failed, 0, "TLS: cannot write"};
        return;
    }
    // Nothing waits any more.
    blocked_ = is_full_ = false;
    if (state_ != State::Closing || finish()) return;
    blocked_ = is_full_ = true;
    flush.result.state = IoResult::State::Blocked;
}

void Client::continue_flush(Flush& flush, const IoResult& sent) {
    const size_t asked = flush.next.size;
    flush.next = {};
    if (sent.state == IoResult::State::Failed) {
        flush.result = sent;
        return;
    }
    outbox_.consume(stream_.consume_sent(sent.size));
    flush.result.size += sent.size;
    is_full_ = sent.size < asked;
    if (!is_full_ && flush.result.size < flush.most) return find_next(flush);
    // The rest is sent when poll() reports that there is room. If it was only
    // too much for one turn, that is the next one.
    flush.result.state = IoResult::State::Blocked;
    blocked_ = true;
}

/// Ends the sending direction: everything is sent. Returns false if the socket
/// takes no more now.
bool Client::finish() {
    if (!stream_.shut_down_writing()) return false;
    outbox_.cursor().stop();
    // Not closed at once: with unread input the kernel would send a reset, and
    // the peer might lose what was sent last (RFC 6455, section 7.1.1).
    state_ = input_ended_ ? State::Gone : State::Draining;
    return true;
}

short Client::awaited_events() const {
    const bool waits_to_write = blocked_ || stream_.read_waits_to_write();
    return static_cast<short>((input_ended_ ? 0 : POLLIN) |
                              (waits_to_write ? POLLOUT : 0));
}

bool Client::can_read(short events) const {
    // Errors and hang-ups are found by reading, too.
    return (events & ~POLLOUT) ||
           ((events & POLLOUT) && stream_.read_waits_to_write());
}

bool Client::can_flush(short events) const {
    return !is_full_ || (events & POLLOUT);
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
