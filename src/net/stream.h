// Sends and receives the bytes of one connection, plain or over TLS, without
// blocking. Callers read and write in the same way for both. They can only ask
// whether the TLS handshake is over, and whether a peer does not speak TLS
// where it must. Knows no protocol but TLS.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include <sys/socket.h>
#include <sys/uio.h>

#include "net/socket.h"
#include "net/tls.h"
#include "util/buffer.h"

namespace wschat {

/// Returns the result of a system call that moved n bytes, or failed with
/// n < 0 and this errno. EAGAIN, EWOULDBLOCK and EINTR are Blocked.
IoResult to_io_result(ssize_t n, int error);

/// The header with which sendmsg() sends an IoVec.
class SendmsgHeader {
public:
    /// Fills the header in and returns it. Valid until the next call, and as
    /// long as neither this object nor the bytes move.
    const msghdr* gather(const IoVec& pieces);

private:
    msghdr header_{};
    std::array<iovec, IoVec::kMax> parts_{};
};

/// Sends as many bytes as the socket accepts now, in one system call. Raises no
/// SIGPIPE. REQUIRES: the socket is non-blocking, and pieces are not empty.
IoResult send_vec(int fd, const IoVec& pieces);

/// One connection. No call blocks, and none raises SIGPIPE.
class Stream {
public:
    /// The smallest buffer for read(), in bytes. With less, a part of a TLS
    /// record would stay inside the session, and poll() does not report it.
    static constexpr size_t kMinRead = TlsSession::kMaxPlaintext;

    /// Takes a connected socket. If `tls` is null the connection is plain, else
    /// the first byte decides: 0x16 begins a TLS handshake (RFC 8446, section
    /// 5.1), any other byte makes it plain.
    /// REQUIRES: the socket is non-blocking, and `tls` outlives the stream.
    Stream(Fd socket, const TlsContext* tls)
        : socket_(std::move(socket)), tls_(tls) {}

    int fd() const { return socket_.get(); }

    /// Reads up to `size` bytes, and performs the TLS handshake meanwhile.
    /// Blocked means: read again when poll() reports input, or output if
    /// read_waits_to_write(). REQUIRES: size >= kMinRead.
    IoResult read(char* data, size_t size);

    /// Returns true if read() has another result at once, which poll() does not
    /// report.
    bool has_more() const { return session_ && session_->has_more(); }

    /// Returns the bytes to write to the socket for these pieces: the pieces
    /// themselves, or under TLS records that hold the first 16 KiB of them.
    /// While such records are unsent, returns the rest of them and ignores the
    /// argument. Returns no piece if encryption fails: the connection is lost.
    /// REQUIRES: is_ready(), and pieces are not empty and begin with the first
    /// byte that consume_sent() has not returned as sent.
    IoVec next_bytes_to_send(const IoVec& pieces);

    /// Removes the first n bytes of next_bytes_to_send(), which the socket has
    /// accepted. Returns how many bytes of the pieces were sent by that: n, or
    /// under TLS 0 until all records were sent and then the bytes in them.
    size_t consume_sent(size_t n);

    /// Tells the peer that no more bytes will come, by close_notify and FIN.
    /// Returns false if the socket accepts no more bytes: call it again when
    /// poll() reports output.
    bool shut_down_writing();

    /// Returns true if the port requires TLS and the peer does not speak it.
    bool is_plain_on_tls_port() const { return mode_ == Mode::Plain && tls_; }

    /// Returns true if bytes can be sent: the connection is plain, or the TLS
    /// handshake is over.
    bool is_ready() const;

    /// Returns true if records of the session itself (handshake, alerts) wait
    /// until the socket accepts them: call read(), which sends them, when
    /// poll() reports output.
    bool read_waits_to_write() const;

private:
    enum class Mode : uint8_t { Unknown, Plain, Tls };

    IoResult detect_mode();
    IoResult read_tls(char* data, size_t size);
    bool send_records();

    Fd socket_;
    const TlsContext* tls_;  // null: plain
    std::unique_ptr<TlsSession> session_;
    uint32_t plaintext_in_records_ = 0;  // bytes of the pieces, not yet sent
    Mode mode_ = Mode::Unknown;
};

}  // namespace wschat
