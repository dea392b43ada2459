// The other end of a connection: a client of the daemon, or whatever else may
// dial it. Each wait ends with a failure when patience does.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <sys/socket.h>

#include "daemon.h"
#include "net/socket.h"
#include "support.h"
#include "wire.h"

namespace wschat::test {

/// Where to dial.
class SocketAddress {
public:
    static SocketAddress v4(uint16_t port, const char* host = "127.0.0.1");
    static SocketAddress v6(uint16_t port);
    static SocketAddress unix_socket(const std::string& path);

    int family() const { return storage_.ss_family; }
    const sockaddr* get() const;
    socklen_t size() const { return size_; }

private:
    sockaddr_storage storage_{};
    socklen_t size_ = 0;
};

/// A frame as it came: whole, unmasked and in its shortest form, which
/// Peer::next() has made sure of.
struct Frame {
    int opcode = 0;
    std::string payload;    // inflated
    bool deflated = false;  // it came so
};

/// An answer in HTTP.
struct ReceivedResponse {
    int status = 0;
    std::string head;  // with the status line and the empty line
    std::string body;  // unless the status is 101

    /// The value of the header line of this name in any case; empty if there
    /// is none or more than one.
    std::string header(std::string_view name) const;
};

/// What a room is told of a client at 127.0.0.1.
constexpr char kConnected[] =
    R"({"type":"system","message":"127.0.0.1 connected"})";
constexpr char kDisconnected[] =
    R"({"type":"system","message":"127.0.0.1 disconnected"})";

class Peer {
public:
    /// Connects. A receive buffer other than 0 is asked for before.
    explicit Peer(const SocketAddress& address, int receive_buffer = 0,
                  Where at = {});
    explicit Peer(const Daemon& daemon, Where at = {})
        : Peer(SocketAddress::v4(daemon.port()), 0, at) {}
    /// One that is connected already.
    explicit Peer(Fd connected) : fd_(std::move(connected)) {}

    // What it does.

    /// Sends all of it.
    void send(std::string_view bytes, Where at = {});
    /// Sends all of it unless the connection breaks meanwhile. Returns whether
    /// it is still there.
    bool send_if_possible(std::string_view bytes, Where at = {});
    void say(std::string_view message, Where at = {}) {
        send(text_frame(message), at);
    }
    /// Ends its own direction.
    void half_close();
    void hang_up() { fd_ = Fd(); }
    /// Ends both directions with a reset.
    void reset();

    // What comes to it.

    ReceivedResponse answer(Where at = {});
    /// The head of an answer alone: the status line, header lines and the empty
    /// line.
    std::string answer_head(Where at = {});
    Frame next(Where at = {});
    /// The payload of the next frame, which must be a text message.
    std::string next_text(Where at = {});
    void hears(std::string_view message, Where at = {});
    void hears_pong(std::string_view payload, Where at = {});
    /// The next message is an error notice that holds `part`.
    void hears_notice(std::string_view part, Where at = {});
    /// A close frame with this code, then the end.
    void is_closed(int code, Where at = {});
    void hears_close(int code, Where at = {});
    /// A refusal in due form, then the end.
    void is_refused(int status, Where at = {});
    /// The orderly end of what it is sent.
    void hears_end(Where at = {});
    /// The connection's end in either manner, after whatever comes before.
    void is_gone(Where at = {});
    /// A line without its end; for whoever has not shaken hands.
    std::string line(Where at = {});

    /// Waits for the answer to a ping: the daemon has read all that was sent
    /// before. Other frames that come meanwhile are kept for next().
    void sync(Where at = {});

    /// Reads up to so many bytes of what has arrived or will, and forgets
    /// them.
    void take(size_t size, Where at = {});

    /// Whether there is something to read within this time.
    bool has_input(int milliseconds);

    /// Shakes hands and checks the answer; `target` and `more` are as
    /// handshake() has them.
    void shake_hands(Where at = {}) { shake_hands("/", {}, at); }
    void shake_hands(std::string_view target, std::string_view more,
                     Where at = {});

    /// From now on messages may come deflated.
    void take_deflated() { takes_deflated_ = true; }

    int fd() const { return fd_.get(); }

private:
    bool fill(Where at);
    bool cut_frame(Frame& frame, Where at);
    std::string_view unread() const;
    std::string cut(size_t size);

    Fd fd_;
    std::string in_;
    size_t read_ = 0;     // bytes of in_ that have been dealt with
    bool reset_ = false;  // the end was a reset
    bool takes_deflated_ = false;
    std::deque<Frame> kept_;
    int syncs_ = 0;
};

/// Whether somebody listens there.
bool accepts(const SocketAddress& address);

/// A client: connected and through its handshake.
Peer join(const SocketAddress& address, int receive_buffer = 0, Where at = {});
Peer join(const Daemon& daemon, Where at = {});
std::vector<Peer> join(const Daemon& daemon, int clients, Where at = {});

/// Another daemon, whose deadline for handshakes passes time.
class Ticker {
public:
    /// Waits for half a second.
    void tick() { Peer(daemon_).is_refused(408); }

private:
    Daemon daemon_{{timed("--handshake-timeout", 0.5)}};
};

/// Sends bytes so that the daemon reads them in two pieces, or one by one:
/// `pacer`, another client of the same daemon, asks for a pong in between.
void send_in_two(Peer& peer, std::string_view bytes, size_t cut, Peer& pacer);
void send_one_by_one(Peer& peer, std::string_view bytes, Peer& pacer);

}  // namespace wschat::test
