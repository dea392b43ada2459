// One connection: its stream, what is read from it, and what is sent to it.
// Passive: it is given bytes and tells what they mean, and is asked for bytes
// to send. No clock, no poller; it joins no room by itself.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "http/http.h"
#include "http/publish_request.h"
#include "http/router.h"
#include "net/send_batch.h"
#include "net/stream.h"
#include "room/outbox.h"
#include "room/room.h"
#include "ws/message_reader.h"

namespace wschat {

/// What a client's bytes amount to. Texts and pointers in it are valid until
/// the next call of Client::next() or release_input().
namespace input {

/// All bytes are used up.
struct NeedMore {};

/// The request head is complete, or can't become a valid one: see
/// HeadReader::state(). The caller must call upgrade(), expect_body() or
/// close() then.
struct RequestHead {
    const HeadReader* head;
    Address peer;  // the other end of the connection, maybe a proxy
};

/// The peer began a request without TLS, which this port requires. The
/// caller must call close() then.
struct TlsRequired {};

/// The body of a POST is complete. The caller must call close() then.
struct RequestBody {
    PublishRequest request;
};

/// The peer sends raw JSON without a handshake.
struct RawJsonBegun {};

/// A message to be relayed. Valid UTF-8 if it came in a text frame; else, also
/// if it is raw JSON, any bytes.
struct Message {
    std::string_view text;
    bool is_binary = false;  // relaying makes no difference, echoing does
};

/// A part of a compressed message was inflated, which is not complete. The rest
/// of the input may wait.
struct Inflating {
    uint64_t size;  // bytes
};

/// A ping or pong, which the client has dealt with.
struct ControlFrame {};

/// A close frame. The client is Closing.
struct PeerClosed {
    uint16_t code;  // kCloseNoStatus if it has none
};

/// The peer broke a rule. The client is Closing.
struct ProtocolError {
    uint16_t code;
    const char* reason;  // static text
};

}  // namespace input

using ClientInput =
    std::variant<input::NeedMore, input::RequestHead, input::TlsRequired,
                 input::RequestBody, input::RawJsonBegun, input::Inflating,
                 input::Message, input::ControlFrame, input::PeerClosed,
                 input::ProtocolError>;

/// A peer's connection from its accept to its end.
///
/// What is read from it goes through a HeadReader, then through the body of a
/// request or a MessageReader; what is sent to it comes from its Outbox. The
/// Stream between them and the socket speaks TLS where that is required.
class Client {
public:
    // In the order of a connection's life: up to Open, input means something.
    enum class State : uint8_t {
        ReadingHead,  // its request head is not complete
        ReadingBody,  // its request has a body, which is not complete
        Raw,          // it sends raw JSON without a handshake; in no room
        Open,         // a WebSocket, member of a room
        Closing,      // it is sent what waits, then its last words
        Draining,     // all is sent; what still arrives is discarded
        Gone          // to be destroyed
    };

    /// If `tls` is not null, the peer must speak TLS, unless it sends raw JSON
    /// from this machine. REQUIRES: config and tls outlive the client.
    Client(Accepted accepted, const ReaderConfig& config,
           const TlsContext* tls);

    State state() const { return state_; }
    int fd() const { return stream_.fd(); }

    /// The client as its room sees it. Its address is that of the peer until a
    /// request head says which client is behind the peer.
    Member& member() { return member_; }
    const Member& member() const { return member_; }

    /// What waits to be sent to it.
    Outbox& outbox() { return outbox_; }
    const Outbox& outbox() const { return outbox_; }

    // Input

    /// Reads what the socket has. REQUIRES: size >= Stream::kMinRead.
    IoResult read(char* data, size_t size) { return stream_.read(data, size); }

    /// True if read() must be called again although poll() won't report input.
    bool has_more() const { return stream_.has_more(); }

    /// Takes the next thing from the front of the bytes that were read, in
    /// whatever state the client is. To be called until it returns NeedMore.
    ClientInput next(Bytes& input);

    /// Frees what next() has returned, which was dealt with. To be called each
    /// time: a large message must not stay until the next one.
    void release_input() { reader_.release_last_payload(); }

    /// True while input still means something.
    bool accepts_input() const { return state_ <= State::Open; }

    /// True if a raw JSON object has begun and not ended.
    bool is_inside_object() const { return reader_.inside_raw(); }

    /// True if a message or a control frame has begun and not ended.
    bool is_inside_message() const { return reader_.inside_message(); }

    /// Returns the memory that an incomplete message or body takes.
    uint64_t partial_size() const;

    /// Frees it. REQUIRES: no more input is handled.
    void release_memory();

    /// True if bytes can be sent: under TLS, the TLS handshake is complete.
    bool can_send() const { return stream_.is_ready(); }

    // Replies

    /// Makes it a WebSocket: sends the response, then `first_message`, a JSON
    /// text, unless that is empty, then what the cursor finds in the room's
    /// log.
    void upgrade(const Upgrade& upgrade, std::string_view first_message);

    /// Waits for the body of its request.
    void expect_body(ExpectBody expected);

    /// Sends a JSON text to it alone: in a frame, or as a line if it sends raw
    /// JSON without a handshake.
    void tell(std::string_view json);

    /// Starts closing: sends the messages published until now and its own
    /// bytes, also those that are added later, then these last words.
    void close(std::string last_words);

    /// Notes that the peer sends no more: starts closing what is open, drops
    /// what is incomplete. Drops the client if it is noted a second time, which
    /// happens when the socket reports an error after the end of input.
    void end_of_input();

    /// Ends the connection at once, without a goodbye.
    void drop();

    // Output

    struct Flush;

    /// Begins to send what waits. While `next` is not empty, the caller sends
    /// it and reports the result to continue_flush(). In between nothing else
    /// may be done with the client. When `most` bytes were sent, it gives way
    /// to the others. REQUIRES: can_flush(), and it is not Gone.
    Flush begin_flush(size_t most);
    void continue_flush(Flush& flush, const IoResult& sent);

    /// Bytes of messages that it could have been sent but was not (see
    /// RoomCursor::backlog()); 0 if it is in no room.
    uint64_t backlog(Time now) const { return outbox_.cursor().backlog(now); }

    /// Returns the events that poll() must wait for.
    short awaited_events() const;

    /// Returns whether events that poll() has reported permit to read.
    bool can_read(short events) const;

    /// Returns true unless the socket was full and `events` lacks POLLOUT.
    bool can_flush(short events) const;

private:
    /// A request that is not complete: its head, then maybe its body. Nothing
    /// of it is needed later, so the many clients that are Open hold none.
    struct Request {
        Address peer;
        std::variant<HeadReader, PublishRequest> part;
    };

    ClientInput read_head(Bytes& input);
    ClientInput read_body(Bytes& input);
    ClientInput read_message(Bytes& input);
    void find_next(Flush& flush);
    bool finish();

    Stream stream_;
    Member member_;
    Outbox outbox_;
    MessageReader reader_;
    std::unique_ptr<Request> request_;  // while ReadingHead and ReadingBody
    bool sends_frames_ = true;  // false: raw JSON without a handshake
    bool blocked_ = false;      // the last flush was not completed
    bool is_full_ = false;      // because the socket took no more
    bool input_ended_ = false;
    State state_ = State::ReadingHead;
};

/// A flush in progress.
struct Client::Flush {
    IoVec next{};  // to be sent; empty: the flush is over

    /// Done: nothing waits any more. Blocked: the socket takes no more now, or
    /// so much was sent that other clients come first. `size` is what the
    /// socket took in either case.
    IoResult result{IoResult::State::Done};

    Client* client;
    size_t most;         // bytes to send
    State state_before;  // when it began
    bool was_blocked;    // the flush before was not completed
    bool was_full;       // because the socket took no more
};

/// Sends to many clients what waits for each, until none takes more, and sets
/// the result of each flush.
void complete_flushes(SendBatch& batch, std::vector<Client::Flush>& flushes);

}  // namespace wschat
