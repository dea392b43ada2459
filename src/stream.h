// Non-blocking bytes to and from one peer, plain or over TLS. Nobody above it
// knows which.
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <string>

#include "bytes.h"
#include "socket.h"
#include "tls.h"

namespace wschat {

/// What became of a read or a write.
struct Transfer {
    enum class State {
        Done,     // `size` bytes, at least one
        Blocked,  // nothing now; poll() will tell
        Eof,      // read only: the peer sends no more
        Failed    // the connection is gone; see error
    };
    State state = State::Failed;
    size_t size = 0;
    std::string error{};
};

/// What a system call that moves bytes came to: it returned n, or a negative
/// value and this error number.
Transfer transfer(ssize_t n, int error);

/// Pieces as sendmsg() takes them.
class Message {
public:
    /// Valid until the next call, as long as both live where they are.
    const msghdr* gather(const Pieces& pieces);

private:
    msghdr header_{};
    std::array<iovec, Pieces::kMax> parts_{};
};

/// One connection. No call blocks, and no peer can raise SIGPIPE.
class Stream {
public:
    /// The smallest buffer that read() takes: what a TLS record holds, so that
    /// nothing is ever left inside the session where poll() can't see it.
    static constexpr size_t kMinRead = 16 << 10;

    /// REQUIRES: the socket is connected and non-blocking. With `tls`, which
    /// is only used during calls, the peer's first byte says whether it speaks
    /// TLS: 0x16 begins a handshake (RFC 8446, section 5.1).
    Stream(Fd socket, const TlsContext* tls)
        : socket_(std::move(socket)), offered_(tls) {}

    int fd() const { return socket_.get(); }

    /// Whether its bytes go to the socket as they are.
    bool is_plain() const { return !session_; }

    /// REQUIRES: size >= kMinRead.
    Transfer read(char* data, size_t size);

    /// May take fewer bytes than it is given. After Blocked, or fewer bytes,
    /// the next call must begin with the same bytes as were left, and have no
    /// fewer of them. REQUIRES: pieces are not empty.
    Transfer write(const Pieces& pieces);

    /// Tells the peer that no more bytes will come, by a close_notify too.
    /// False if that must be tried again when there is room to write.
    bool shut_down_writing();

    /// Whether TLS was offered and something else has come.
    bool refused_tls() const { return mode_ == Mode::Plain && offered_; }

    /// Whether bytes can be written: it is plain, or past the TLS handshake.
    bool is_ready() const;

    /// Whether read() waits until the socket can be written to.
    bool read_waits_to_write() const { return read_waits_to_write_; }

    /// Whether write() waits until the socket can be read from.
    bool write_waits_to_read() const { return write_waits_to_read_; }

private:
    enum class Mode : uint8_t { Unknown, Plain, Tls };

    Transfer find_mode();
    Transfer read_tls(char* data, size_t size);
    Transfer write_tls(const Pieces& pieces);
    Transfer failed_tls(int result);

    Fd socket_;
    const TlsContext* offered_;  // null: plain
    TlsSession session_;
    Mode mode_ = Mode::Unknown;
    bool read_waits_to_write_ = false;
    bool write_waits_to_read_ = false;
};

}  // namespace wschat
