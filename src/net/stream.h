// Non-blocking bytes to and from one peer, plain or over TLS. Nobody above it
// knows which.
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "util/buffer.h"
#include "net/socket.h"
#include "net/tls.h"

namespace wschat {

/// What a system call that moves bytes came to: it returned n, or a negative
/// value and this error number.
IoResult transfer(ssize_t n, int error);

/// An IoVec as sendmsg() takes it.
class SendmsgHeader {
public:
    /// Valid until the next call, as long as both live where they are.
    const msghdr* gather(const IoVec& pieces);

private:
    msghdr header_{};
    std::array<iovec, IoVec::kMax> parts_{};
};

/// Sends what the socket takes now.
IoResult send_vec(int fd, const IoVec& pieces);

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

    /// REQUIRES: size >= kMinRead.
    IoResult read(char* data, size_t size);

    /// Whether read() is to be called once more, as poll() won't tell.
    bool has_more() const { return session_ && session_->has_more(); }

    /// What is to be sent to the socket for these bytes, or for the first of
    /// them: the same bytes, or records that hold them, until sent() has been
    /// told that all of it went. None if that fails. REQUIRES: pieces are not
    /// empty, and begin with those that are not yet sent.
    IoVec outgoing(const IoVec& pieces);

    /// The socket has taken n of the outgoing bytes. Returns how many bytes of
    /// the pieces have gone by that, in whole records.
    size_t sent(size_t n);

    /// Tells the peer that no more bytes will come, by a close_notify too.
    /// False if that must be tried again when there is room to write.
    bool shut_down_writing();

    /// Whether TLS was offered and something else has come.
    bool refused_tls() const { return mode_ == Mode::Plain && offered_; }

    /// Whether bytes can be written: it is plain, or past the TLS handshake.
    bool is_ready() const;

    /// Whether read() waits until the socket can be written to.
    bool read_waits_to_write() const;

private:
    enum class Mode : uint8_t { Unknown, Plain, Tls };

    IoResult find_mode();
    IoResult read_tls(char* data, size_t size);
    bool send_sealed();

    Fd socket_;
    const TlsContext* offered_;  // null: plain
    std::unique_ptr<TlsSession> session_;
    uint32_t sealed_ = 0;  // bytes of the pieces that are in its records
    Mode mode_ = Mode::Unknown;
};

}  // namespace wschat
