// The test's end of a connection to the daemon. Each function that waits fails
// the test after max_wait().
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

/// An address to connect to.
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

/// A received frame. Peer::next_frame() has checked that it is not fragmented,
/// not masked, and has the shortest form of its length.
struct Frame {
    int opcode = 0;
    std::string payload;    // inflated
    bool deflated = false;  // it was sent with RSV1
};

/// An HTTP response.
struct ReceivedResponse {
    int status = 0;
    std::string head;  // with the status line and the empty line
    std::string body;  // unless the status is 101

    /// Returns the value of the header with this name, in any case; empty if
    /// there is none or more than one.
    std::string header(std::string_view name) const;
};

/// The announcements of a client at 127.0.0.1.
constexpr char kConnected[] =
    R"({"type":"system","message":"127.0.0.1 connected"})";
constexpr char kDisconnected[] =
    R"({"type":"system","message":"127.0.0.1 disconnected"})";

/// A connection to the daemon, used as a WebSocket client, an HTTP client or a
/// publisher of raw JSON.
class Peer {
public:
    /// Connects, with a receive buffer of this size unless it is 0.
    explicit Peer(const SocketAddress& address, int receive_buffer = 0,
                  SourceLine at = {});
    explicit Peer(const Daemon& daemon, SourceLine at = {})
        : Peer(SocketAddress::v4(daemon.port()), 0, at) {}
    /// Takes a connected socket.
    explicit Peer(Fd connected) : fd_(std::move(connected)) {}

    // Sending

    /// Sends all bytes.
    void send(std::string_view bytes, SourceLine at = {});
    /// Sends all bytes. Returns false if the connection breaks meanwhile.
    bool send_if_possible(std::string_view bytes, SourceLine at = {});
    void send_message(std::string_view message, SourceLine at = {}) {
        send(text_frame(message), at);
    }
    /// Shuts down the sending direction.
    void half_close();
    void close_socket() { fd_ = Fd(); }
    /// Closes the socket with a reset.
    void reset();

    // Receiving. A function named expect_... fails the test if the next thing
    // received is another one.

    ReceivedResponse read_response(SourceLine at = {});
    /// Reads only the head of a response: the status line, the header lines and
    /// the empty line.
    std::string read_response_head(SourceLine at = {});
    Frame next_frame(SourceLine at = {});
    /// Reads a text message. Returns its payload.
    std::string next_text(SourceLine at = {});
    /// Expects exactly this text message.
    void expect_message(std::string_view message, SourceLine at = {});
    void expect_pong(std::string_view payload, SourceLine at = {});
    /// Expects an error notice that contains `part`.
    void expect_notice(std::string_view part, SourceLine at = {});
    /// Expects a close frame with this code, and then EOF.
    void expect_closed(int code, SourceLine at = {});
    void expect_close_frame(int code, SourceLine at = {});
    /// Expects a well-formed HTTP error response, and then EOF.
    void expect_refused(int status, SourceLine at = {});
    /// Expects EOF without a reset.
    void expect_eof(SourceLine at = {});
    /// Discards all input until EOF or a reset.
    void expect_gone(SourceLine at = {});
    /// Reads a line, without its LF. For peers without a handshake.
    std::string read_line(SourceLine at = {});

    /// Sends a ping and waits for its pong: then the daemon has handled all
    /// bytes sent before. Frames received meanwhile are kept for next_frame().
    void sync(SourceLine at = {});

    /// Reads and discards `size` bytes.
    void discard(size_t size, SourceLine at = {});

    /// Returns true if there is input within this time.
    bool has_input(int milliseconds);

    /// Sends a handshake and checks the response. For `target` and `more` see
    /// handshake().
    void do_handshake(SourceLine at = {}) { do_handshake("/", {}, at); }
    void do_handshake(std::string_view target, std::string_view more,
                      SourceLine at = {});

    /// Accepts deflated messages from now on.
    void allow_deflated() { allows_deflated_ = true; }

    int fd() const { return fd_.get(); }

private:
    bool receive(SourceLine at);
    bool take_frame(Frame& frame, SourceLine at);
    std::string_view unread() const;
    std::string take_bytes(size_t size);

    Fd fd_;
    std::string in_;
    size_t read_ = 0;     // bytes of in_ that were consumed
    bool reset_ = false;  // the connection ended with a reset
    bool allows_deflated_ = false;
    std::deque<Frame> queued_;
    int syncs_ = 0;
};

/// Returns true if a server accepts connections at this address.
bool can_connect(const SocketAddress& address);

/// Connects and completes the handshake.
Peer join(const SocketAddress& address, int receive_buffer = 0,
          SourceLine at = {});
Peer join(const Daemon& daemon, SourceLine at = {});
std::vector<Peer> join(const Daemon& daemon, int clients, SourceLine at = {});

/// A clock without sleeping: another daemon, which answers a silent peer with
/// 408 after its handshake timeout.
class Timer {
public:
    /// Waits for half a second, multiplied by slowdown().
    void wait() { Peer(daemon_).expect_refused(408); }

private:
    Daemon daemon_{{timed("--handshake-timeout", 0.5)}};
};

/// Send bytes that the daemon reads in two pieces, or one by one: `observer`,
/// another client of the same daemon, waits for a pong after each piece.
void send_in_two(Peer& peer, std::string_view bytes, size_t cut,
                 Peer& observer);
void send_one_by_one(Peer& peer, std::string_view bytes, Peer& observer);

}  // namespace wschat::test
