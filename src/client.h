// One connection: its stream, what is read from it, and what it is owed.
// Passive: the server tells it what happened, and it returns messages. No
// clock; the times in it are the server's.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "http/router.h"
#include "ws/message_reader.h"
#include "room/room.h"
#include "net/stream.h"

namespace wschat {

/// A peer from its accept to its end.
///
/// It is owed the run of its room from its position on, and some bytes of its
/// own (answer to the handshake, pongs, notices). Both go out in turns that
/// end with a frame: the run up to `target_`, then the own bytes that there
/// are, then the run up to its end by now, and so on. If it takes deflated
/// messages and begins with kept ones, which are plain, it moves over to the
/// deflated run once it was sent all of the other.
class Client {
public:
    using Time = std::chrono::steady_clock::time_point;

    struct Flush;

    enum class State : uint8_t {
        Handshaking,  // its request head is not whole
        Receiving,    // its request may have a body, which is not whole
        Raw,          // sends raw JSON without a handshake; in no room
        Open,         // a WebSocket, in a room
        Closing,      // gets what it is owed, then its last words
        Draining,     // all was said; what still arrives is thrown away
        Gone          // to be destroyed
    };

    /// With `tls` the peer may speak TLS. REQUIRES: both outlive the client.
    Client(Accepted peer, const ReaderConfig& rules, const TlsContext* tls);

    State state() const { return state_; }
    int fd() const { return stream_.fd(); }

    /// Of the visitor, once its request has told whose it is; else its peer's.
    const std::string& address() const { return peer_.address; }

    /// Whether the subprotocol wschat.v1 was agreed on.
    bool speaks_v1() const { return v1_; }

    const MessageReader& reader() const { return reader_; }

    /// Whether its input still means something.
    bool listens() const { return state_ <= State::Open; }

    /// REQUIRES: size >= Stream::kMinRead.
    IoResult read(char* data, size_t size) { return stream_.read(data, size); }

    /// Whether read() is to be called once more, as poll() won't tell.
    bool has_more() const { return stream_.has_more(); }

    /// Whether bytes can be sent by now: a TLS handshake comes before.
    bool is_ready() const { return stream_.is_ready(); }

    /// Handshaking: takes bytes of the request. Returns the verdict once it is
    /// known; then answer() is next. If a peer that may do so begins with raw
    /// JSON, nothing is taken and the state is Raw.
    std::optional<Admission> shake_hands(Bytes& input, const RouterConfig& rules);

    /// Owes it the answer. With 101 the state is Open, with 100 Receiving, else
    /// Closing.
    void answer(const Admission& admission);

    /// Receiving: takes bytes of the body. Returns the upload once it is whole;
    /// then close() is next.
    std::optional<Upload> receive(Bytes& input);

    /// Open or Raw: the next event, as MessageReader has it, but for the
    /// payload of Close. Pings have been answered, and after Close and Error
    /// the client is Closing.
    Event next(Bytes& input);

    /// From here on it is owed the messages of the room, beginning with this
    /// one. REQUIRES: the room outlives it, and has that number in store or
    /// yet to come.
    void join(Room& room, uint64_t first);

    bool in_room() const { return log_; }

    /// Bytes that were appended after it joined and are old by now, which it
    /// was not sent; 0 if it is not Open.
    uint64_t backlog() const;

    /// Owes it these bytes: whole frames, or lines if it sends no frames.
    void send(std::string_view bytes) { own().waiting.append(bytes); }

    /// A JSON text for it alone: in a frame, or as a line if it sends none.
    void tell(std::string_view json);

    /// How much of its own it has not been sent.
    size_t own_size() const;

    /// Begins to close: after all it is owed now go its last words.
    void close(std::string last_words);

    /// Its peer sends no more. Told a second time, the connection is gone.
    void end_of_input();

    /// Begins to write what it is owed. Until nothing comes next, the caller
    /// sends that to the socket and tells go_on() what came of it. Meanwhile
    /// nothing else may be done with the client.
    Flush begin_flush();
    void go_on(Flush& flush, const IoResult& written);

    /// All of that at once. Returns the result.
    IoResult flush();

    /// Whether the last flush was Blocked.
    bool blocked() const { return blocked_; }

    /// What poll() is to wait for. After that, read() or flush() is to be
    /// called as the next two say.
    bool waits_for_input() const { return !input_ended_; }
    bool waits_for_output() const;
    bool can_read(bool readable, bool writable) const;
    bool can_flush(bool writable) const { return !blocked_ || writable; }

    /// The end, at once.
    void drop();

    Time heard{};               // when it last showed a sign of life
    Time deadline = Time::max();  // of its state
    Time stalled = Time::max();   // when it must have taken bytes
    Room* room = nullptr;         // that it was let into, if any
    Room::Seat seat = 0;          // there, while it is Open
    bool touched = false;         // it is to be looked at in this turn

private:
    /// What it is owed for itself alone. There seldom is any.
    struct Own {
        std::string waiting;  // its turn is yet to come
        std::string going;    // its turn is now
        size_t gone = 0;      // how much of that was sent
        std::string last_words;
    };

    Own& own();
    void find_next(Flush& flush);
    IoVec owed();
    bool has_own_turn();
    void sent(size_t n);
    void join_at(Broadcast& log, const Broadcast::Cursor& cursor);
    void move_over();
    bool finish();
    void leave();

    Stream stream_;
    Peer peer_;
    std::unique_ptr<HeadReader> head_;  // while Handshaking
    std::unique_ptr<Upload> upload_;    // while Receiving
    MessageReader reader_;
    Broadcast* log_ = nullptr;  // of its room, if it is in one
    Broadcast* next_log_ = nullptr;  // to move over to
    Broadcast::Cursor cursor_;
    uint64_t joined_ = 0;  // where the run ended then
    uint64_t target_ = 0;
    std::unique_ptr<Own> own_;
    bool v1_ = false;
    bool takes_deflated_ = false;
    bool blocked_ = false;
    bool input_ended_ = false;
    State state_ = State::Handshaking;
};

/// How a client is written what it is owed, step by step.
struct Client::Flush {
    IoVec next{};  // to be sent; none: it is over

    /// Done: it is owed nothing more. Blocked: the peer takes no more now, or
    /// others should have their turn. `size` is what the socket took in
    /// either case. A client that is Closing and was sent all goes on to
    /// Draining, or Gone if its input has ended.
    IoResult result{IoResult::State::Done};

    State before;      // of the client, when it began
    bool was_blocked;  // whether the one before was
};

}  // namespace wschat
