#include "net/stream.h"

#include <cerrno>
#include <cstring>
#include <utility>

namespace wschat {

namespace {

constexpr char kTlsHandshake = 0x16;

// Records for so many bytes wait for a socket that takes no more.
constexpr size_t kMaxSealed = 16 << 10;

// What the session has to say for itself waits there too, up to this.
constexpr size_t kMaxUnsent = 64 << 10;

}  // namespace

IoResult transfer(ssize_t n, int error) {
    if (n > 0) return {IoResult::State::Done, static_cast<size_t>(n)};
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
    if (pieces.count == 1) {
        const std::string_view only = pieces.piece[0];
        n = send(fd, only.data(), only.size(), MSG_NOSIGNAL);
    } else {
        SendmsgHeader header;
        n = sendmsg(fd, header.gather(pieces), MSG_NOSIGNAL);
    }
    return transfer(n, errno);
}

bool Stream::is_ready() const {
    if (session_) return !session_->in_handshake();
    return !offered_ || mode_ == Mode::Plain;
}

IoResult Stream::read(char* data, size_t size) {
    if (mode_ == Mode::Unknown && offered_) {
        IoResult found = find_mode();
        if (found.state != IoResult::State::Done) return found;
    }
    if (session_) return read_tls(data, size);
    const ssize_t n = recv(fd(), data, size, 0);
    return transfer(n, errno);
}

IoResult Stream::find_mode() {
    char first;
    const ssize_t n = recv(fd(), &first, 1, MSG_PEEK);
    IoResult found = transfer(n, errno);
    if (found.state != IoResult::State::Done) return found;
    mode_ = first == kTlsHandshake ? Mode::Tls : Mode::Plain;
    if (mode_ == Mode::Plain) return found;
    session_ = offered_->accept(fd());
    return found;
}

/// The session may have something to say for itself: its part of the handshake,
/// an alert. While records that outgoing() has shown wait, it goes behind them.
IoResult Stream::read_tls(char* data, size_t size) {
    if (sealed_ == 0) send_sealed();
    if (session_->sealed.size() > kMaxUnsent)
        return {IoResult::State::Failed, 0, "TLS: peer does not read"};
    const IoResult result = session_->read(data, size);
    if (sealed_ == 0) send_sealed();
    return result;
}

/// False if the socket takes no more now.
bool Stream::send_sealed() {
    std::string& sealed = session_->sealed;
    if (sealed.empty()) return true;
    const IoResult result = send_vec(fd(), IoVec(sealed));
    if (result.state == IoResult::State::Blocked) return false;
    // A failure is found by whoever reads next.
    sealed.erase(0, result.state == IoResult::State::Done ? result.size
                                                          : sealed.size());
    if (!sealed.empty()) return false;
    release(sealed);
    return true;
}

bool Stream::read_waits_to_write() const {
    return session_ && sealed_ == 0 && !session_->sealed.empty();
}

IoVec Stream::outgoing(const IoVec& pieces) {
    if (!session_) return pieces;
    const bool has_some = sealed_ > 0;
    for (size_t i = 0; !has_some && i < pieces.count; ++i) {
        const std::string_view part =
            pieces.piece[i].substr(0, kMaxSealed - sealed_);
        if (!session_->seal(part)) return {};
        sealed_ += static_cast<uint32_t>(part.size());
    }
    return IoVec(session_->sealed);
}

size_t Stream::sent(size_t n) {
    if (!session_) return n;
    session_->sealed.erase(0, n);
    if (!session_->sealed.empty()) return 0;
    release(session_->sealed);
    return std::exchange(sealed_, 0);
}

bool Stream::shut_down_writing() {
    if (session_) {
        session_->seal_end();
        if (!send_sealed()) return false;
    }
    shutdown(fd(), SHUT_WR);
    return true;
}

}  // namespace wschat
