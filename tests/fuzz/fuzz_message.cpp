// The first two bytes of the input are the reader's settings, the others are
// the stream of a setup. It is read in one piece, and in pieces whose sizes are
// taken from its bytes.
#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include <sanitizer/allocator_interface.h>

#include "ws/message_reader.h"

using namespace wschat;

namespace {

// Aborts if the condition is false. NDEBUG would disable assert().
void require(bool condition) {
    if (!condition) std::abort();
}

struct Setup {
    ReaderConfig config;
    bool sends_frames = true;
    bool compresses = false;
};

/// A copy of an event, which stays valid after the next call.
struct EventCopy {
    Event::Kind kind;
    std::string payload;
    uint16_t code;

    bool operator==(const EventCopy& other) const {
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

void require_legal(const Event& event, const Setup& setup) {
    const std::string_view payload = event.payload;
    switch (event.kind) {
        case Event::Kind::NeedMore:
        case Event::Kind::Inflating:
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
            return require(payload.size() <= setup.config.max_message);
        case Event::Kind::Raw:
            require(setup.config.raw_json && payload.size() >= 2);
            require(payload.front() == '{' && payload.back() == '}');
            require(payload.size() <= setup.config.max_message);
    }
}

/// Reads a stream and collects its events.
class EventReader {
public:
    explicit EventReader(const Setup& setup)
        : setup_(setup), reader_(setup_.config) {
        if (!setup_.sends_frames) reader_.accept_raw_only();
        if (setup_.compresses) reader_.allow_compression();
    }

    /// Reads a copy of exactly this size, so that the sanitizer reports any
    /// read behind its end.
    void feed(std::string_view piece) {
        std::vector<char> copy(piece.begin(), piece.end());
        Bytes input{copy.data(), copy.size()};
        while (!has_ended_) {
            const Event event = reader_.next(input);
            require_legal(event, setup_);
            if (event.kind == Event::Kind::NeedMore) break;
            if (event.kind == Event::Kind::Inflating) continue;
            if (!setup_.sends_frames)
                require(event.kind == Event::Kind::Raw ||
                        event.kind == Event::Kind::Error);
            events_.push_back(
                {event.kind, std::string(event.payload), event.code});
            has_ended_ = is_last(event.kind);
        }
        require(has_ended_ || input.size == 0);
    }

    bool has_ended() const { return has_ended_; }
    const std::vector<EventCopy>& events() const { return events_; }

private:
    Setup setup_;
    MessageReader reader_;
    std::vector<EventCopy> events_;
    bool has_ended_ = false;
};

/// Checks that the memory of a reader is bounded by the message limit and the
/// bytes read, not by the lengths in frame headers.
void require_bounded_memory(const Setup& setup, std::string_view stream) {
    std::vector<char> copy(stream.begin(), stream.end());
    const size_t before = __sanitizer_get_current_allocated_bytes();
    MessageReader reader(setup.config);
    if (setup.compresses) reader.allow_compression();
    Bytes input{copy.data(), copy.size()};
    for (Event event = reader.next(input);
         input.size > 0 && !is_last(event.kind);)
        event = reader.next(input);
    const size_t held = __sanitizer_get_current_allocated_bytes() - before;
    // One deflated byte inflates to at most 1,032; the inflater has a window.
    const size_t most = setup.compresses ? 1032 * stream.size() : stream.size();
    require(held <= 2 * std::min<size_t>(setup.config.max_message, most) + 512 +
                        (setup.compresses ? 64 << 10 : 0));
}

Setup make_setup(unsigned char flags, unsigned char limit) {
    Setup setup;
    setup.config.raw_json = !(flags & 1);
    setup.sends_frames = !(flags & 2) || !setup.config.raw_json;
    if (flags & 4)
        setup.config.max_message = limit + 1u;
    else if (flags & 8)
        setup.config.max_message = uint64_t{1} << 40;
    setup.compresses = flags & 16;
    return setup;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size < 2) return 0;
    const Setup setup = make_setup(data[0], data[1]);
    const std::string_view stream(reinterpret_cast<const char*>(data) + 2,
                                  size - 2);
    EventReader at_once(setup);
    at_once.feed(stream);

    EventReader in_pieces(setup);
    for (size_t taken = 0; taken < stream.size() && !in_pieces.has_ended();) {
        const size_t n = 1 + static_cast<unsigned char>(stream[taken]) % 32;
        in_pieces.feed(stream.substr(taken, n));
        taken += n;
    }
    require(at_once.has_ended() == in_pieces.has_ended());
    require(at_once.events() == in_pieces.events());
    require_bounded_memory(setup, stream);
    return 0;
}
