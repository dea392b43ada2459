// The first bytes of the input are the reader's rules, the others what a peer
// sends; those are read at once and in pieces that their own bytes cut.
#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include <sanitizer/allocator_interface.h>

#include "ws/message_reader.h"

using namespace wschat;

namespace {

// Not assert(), which a build may leave out.
void require(bool condition) {
    if (!condition) std::abort();
}

struct Peer {
    ReaderConfig rules;
    bool sends_frames = true;
    bool compresses = false;
};

/// Something that was found, kept beyond the next call.
struct Found {
    Event::Kind kind;
    std::string payload;
    uint16_t code;

    bool operator==(const Found& other) const {
        return kind == other.kind && payload == other.payload &&
               code == other.code;
    }
};

bool is_last(Event::Kind kind) {
    return kind == Event::Kind::Close || kind == Event::Kind::Error;
}

void require_legal_error(const Event& event) {
    require(event.code == kCloseProtocolError ||
            event.code == kCloseInvalidData ||
            event.code == kClosePolicyViolation || event.code == kCloseTooBig);
    const std::string_view reason = event.reason;
    require(!reason.empty() && reason.size() <= kMaxControlPayload - 2);
    for (char c : reason) require(c >= ' ' && c <= '~');
}

void require_legal_close(const Event& event) {
    require(event.payload.size() <= kMaxControlPayload);
    require(event.code == close_code_of(event.payload));
    if (event.payload.empty()) return;
    require(is_valid_close_code(event.code));
    const std::string_view reason = event.payload.substr(2);
    require(valid_utf8_prefix(reason) == reason.size());
}

void require_legal(const Event& event, const Peer& peer) {
    const std::string_view payload = event.payload;
    switch (event.kind) {
        case Event::Kind::NeedMore:
            return;
        case Event::Kind::Error:
            return require_legal_error(event);
        case Event::Kind::Close:
            return require_legal_close(event);
        case Event::Kind::Ping:
        case Event::Kind::Pong:
            return require(payload.size() <= kMaxControlPayload);
        case Event::Kind::Text:
            require(valid_utf8_prefix(payload) == payload.size());
            [[fallthrough]];
        case Event::Kind::Binary:
            return require(payload.size() <= peer.rules.max_message);
        case Event::Kind::Raw:
            require(peer.rules.raw_json && payload.size() >= 2);
            require(payload.front() == '{' && payload.back() == '}');
            require(payload.size() <= peer.rules.max_message);
    }
}

/// One reading of a stream.
class Reading {
public:
    explicit Reading(const Peer& peer) : peer_(peer), reader_(peer_.rules) {
        if (!peer_.sends_frames) reader_.accept_raw_only();
        if (peer_.compresses) reader_.allow_compression();
    }

    /// A copy of just this size, for the sanitizer to guard.
    void feed(std::string_view piece) {
        std::vector<char> copy(piece.begin(), piece.end());
        Bytes input{copy.data(), copy.size()};
        while (!over_) {
            const Event event = reader_.next(input);
            require_legal(event, peer_);
            if (event.kind == Event::Kind::NeedMore) break;
            if (!peer_.sends_frames)
                require(event.kind == Event::Kind::Raw ||
                        event.kind == Event::Kind::Error);
            found_.push_back(
                {event.kind, std::string(event.payload), event.code});
            over_ = is_last(event.kind);
        }
        require(over_ || input.size == 0);
    }

    bool over() const { return over_; }
    const std::vector<Found>& found() const { return found_; }

private:
    Peer peer_;
    MessageReader reader_;
    std::vector<Found> found_;
    bool over_ = false;
};

/// What the reader of an unfinished stream holds is bounded by the limit, not
/// by the lengths that the peer announces.
void require_bounded_memory(const Peer& peer, std::string_view stream) {
    std::vector<char> copy(stream.begin(), stream.end());
    const size_t before = __sanitizer_get_current_allocated_bytes();
    MessageReader reader(peer.rules);
    if (peer.compresses) reader.allow_compression();
    Bytes input{copy.data(), copy.size()};
    for (Event event = reader.next(input);
         input.size > 0 && !is_last(event.kind);)
        event = reader.next(input);
    const size_t held = __sanitizer_get_current_allocated_bytes() - before;
    // Deflate makes at most 1,032 bytes of one, and has a window.
    const size_t most = peer.compresses ? 1032 * stream.size() : stream.size();
    require(held <= 2 * std::min<size_t>(peer.rules.max_message, most) + 512 +
                        (peer.compresses ? 64 << 10 : 0));
}

Peer peer_of(unsigned char flags, unsigned char limit) {
    Peer peer;
    peer.rules.raw_json = !(flags & 1);
    peer.sends_frames = !(flags & 2) || !peer.rules.raw_json;
    if (flags & 4)
        peer.rules.max_message = limit + 1u;
    else if (flags & 8)
        peer.rules.max_message = uint64_t{1} << 40;
    peer.compresses = flags & 16;
    return peer;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size < 2) return 0;
    const Peer peer = peer_of(data[0], data[1]);
    const std::string_view stream(reinterpret_cast<const char*>(data) + 2,
                                  size - 2);
    Reading at_once(peer);
    at_once.feed(stream);

    Reading in_pieces(peer);
    for (size_t taken = 0; taken < stream.size() && !in_pieces.over();) {
        const size_t n = 1 + static_cast<unsigned char>(stream[taken]) % 32;
        in_pieces.feed(stream.substr(taken, n));
        taken += n;
    }
    require(at_once.over() == in_pieces.over());
    require(at_once.found() == in_pieces.found());
    require_bounded_memory(peer, stream);
    return 0;
}
