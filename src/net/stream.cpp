#include "net/stream.h"

#include <cerrno>
#include <cstring>
#include <utility>

namespace wschat {

namespace {

constexpr char kTlsHandshake = 0x16;

// Bytes of records that may wait for a peer that does not read. It can make the
// session answer without reading the answers, by KeyUpdate for one (RFC 8446,
// section 4.6.3), so their number needs a limit.
constexpr size_t kMaxPendingRecords = 64 << 10;

}  // namespace

IoResult to_io_result(ssize_t n, int error) {
    if (n > 0) return {IoResult::State::Done, static_cast<size_t>(n)};
    // Only a read returns 0: no send is asked for nothing.
    if (n == 0) return {IoResult::State::Eof};
    if (error == EAGAIN || error == EWOULDBLOCK || error == EINTR)
        return {IoResult::State::Blocked};
    return {IoResult::State::Failed, 0, std::strerror(error)};
}

const msghdr* SendmsgHeader::gather(const IoVec& pieces) {
    for (size_t i = 0; i < pieces.count; ++i)
        parts_[i] = {const_cast<char*>(pieces.piece[i].data()),
                     pieces.piece[i].size()};
    header_.msg_iov = parts_.data();
    header_.msg_iovlen = pieces.count;
    return &header_;
}

IoResult send_vec(int fd, const IoVec& pieces) {
    ssize_t n;
    // One piece is the usual case, and send() costs less than sendmsg().
    if (pieces.count == 1) {
        const std::string_view only = pieces.piece[0];
        n = send(fd, only.data(), only.size(), MSG_NOSIGNAL);
    } else {
        SendmsgHeader header;
        n = sendmsg(fd, header.gather(pieces), MSG_NOSIGNAL);
    }
    return to_io_result(n, errno);
}

bool Stream::is_ready() const {
    if (session_) return !session_->in_handshake();
    return !tls_ || mode_ == Mode::Plain;
}

IoResult Stream::read(char* data, size_t size) {
    if (mode_ == Mode::Unknown && tls_) {
        IoResult detected = detect_mode();
        if (detected.state != IoResult::State::Done) return detected;
    }
    if (session_) return read_tls(data, size);
    const ssize_t n = recv(fd(), data, size, 0);
    return to_io_result(n, errno);
}

/// Decides by the first byte. Only peeks at it, because it belongs to the
/// reader that comes next: OpenSSL reads it as a part of the handshake, and the
/// caller as a part of an HTTP request, which it refuses with a readable error.
IoResult Stream::detect_mode() {
    char first;
    const ssize_t n = recv(fd(), &first, 1, MSG_PEEK);
    IoResult result = to_io_result(n, errno);
    if (result.state != IoResult::State::Done) return result;
    mode_ = first == kTlsHandshake ? Mode::Tls : Mode::Plain;
    if (mode_ == Mode::Tls) session_ = tls_->accept(fd());
    return result;
}

/// Reading may produce records of the session itself (handshake, alerts). They
/// are sent at once, unless records that next_bytes_to_send() has returned are
/// pending: then consume_sent() must count every byte, and they follow those.
IoResult Stream::read_tls(char* data, size_t size) {
    if (plaintext_in_records_ == 0) send_records();
    if (session_->pending_records().size() > kMaxPendingRecords)
        return {IoResult::State::Failed, 0, "TLS: peer does not read"};
    const IoResult result = session_->read(data, size);
    if (plaintext_in_records_ == 0) send_records();
    return result;
}

/// Sends the pending records. Returns false if the socket accepts no more now.
bool Stream::send_records() {
    const std::string& records = session_->pending_records();
    if (records.empty()) return true;
    const IoResult result = send_vec(fd(), IoVec(records));
    if (result.state == IoResult::State::Blocked) return false;
    // After a failure they can't be sent. The next read() reports the failure.
    const bool sent = result.state == IoResult::State::Done;
    session_->consume_records(sent ? result.size : records.size());
    return records.empty();
}

bool Stream::read_waits_to_write() const {
    return session_ && plaintext_in_records_ == 0 &&
           !session_->pending_records().empty();
}

IoVec Stream::next_bytes_to_send(const IoVec& pieces) {
    if (!session_) return pieces;
    const bool has_some = plaintext_in_records_ > 0;
    // Encrypts no more than one record holds. If the socket accepts no more,
    // only these bytes are stored for this client alone. The rest stays in the
    // log, which all clients of a room share.
    for (size_t i = 0; !has_some && i < pieces.count; ++i) {
        const std::string_view part = pieces.piece[i].substr(
            0, TlsSession::kMaxPlaintext - plaintext_in_records_);
        if (!session_->encrypt(part)) return {};
        plaintext_in_records_ += static_cast<uint32_t>(part.size());
    }
    return IoVec(session_->pending_records());
}

size_t Stream::consume_sent(size_t n) {
    if (!session_) return n;
    session_->consume_records(n);
    // A part of a record is of no use to the peer, so bytes count as sent when
    // all records were sent.
    if (!session_->pending_records().empty()) return 0;
    return std::exchange(plaintext_in_records_, 0);
}

bool Stream::shut_down_writing() {
    if (session_) {
        session_->add_close_notify();
        if (!send_records()) return false;
    }
    shutdown(fd(), SHUT_WR);
    return true;
}

}  // namespace wschat
