#include "stream.h"

#include <cerrno>
#include <cstring>

#include <openssl/err.h>

namespace wschat {

namespace {

constexpr char kTlsHandshake = 0x16;

}  // namespace

Transfer transfer(ssize_t n, int error) {
    if (n > 0) return {Transfer::State::Done, static_cast<size_t>(n)};
    if (n == 0) return {Transfer::State::Eof};
    if (error == EAGAIN || error == EWOULDBLOCK || error == EINTR)
        return {Transfer::State::Blocked};
    return {Transfer::State::Failed, 0, std::strerror(error)};
}

const msghdr* Message::gather(const Pieces& pieces) {
    for (size_t i = 0; i < pieces.count; ++i)
        parts_[i] = {const_cast<char*>(pieces.piece[i].data()),
                     pieces.piece[i].size()};
    header_.msg_iov = parts_.data();
    header_.msg_iovlen = pieces.count;
    return &header_;
}

bool Stream::is_ready() const {
    if (session_) return !SSL_in_init(session_.get());
    return !offered_ || mode_ == Mode::Plain;
}

Transfer Stream::read(char* data, size_t size) {
    if (mode_ == Mode::Unknown && offered_) {
        Transfer found = find_mode();
        if (found.state != Transfer::State::Done) return found;
    }
    if (session_) return read_tls(data, size);
    const ssize_t n = recv(fd(), data, size, 0);
    return transfer(n, errno);
}

Transfer Stream::find_mode() {
    char first;
    const ssize_t n = recv(fd(), &first, 1, MSG_PEEK);
    Transfer found = transfer(n, errno);
    if (found.state != Transfer::State::Done) return found;
    mode_ = first == kTlsHandshake ? Mode::Tls : Mode::Plain;
    if (mode_ == Mode::Plain) return found;
    session_ = offered_->accept(fd());
    if (!session_) return {Transfer::State::Failed, 0, tls_error()};
    return found;
}

Transfer Stream::read_tls(char* data, size_t size) {
    ERR_clear_error();
    size_t n = 0;
    const int result = SSL_read_ex(session_.get(), data, size, &n);
    read_waits_to_write_ = false;
    if (result == 1) return {Transfer::State::Done, n};
    Transfer failed = failed_tls(result);
    read_waits_to_write_ = SSL_want_write(session_.get());
    return failed;
}

Transfer Stream::failed_tls(int result) {
    const int error = errno;
    switch (SSL_get_error(session_.get(), result)) {
        case SSL_ERROR_WANT_READ:
        case SSL_ERROR_WANT_WRITE: return {Transfer::State::Blocked};
        case SSL_ERROR_ZERO_RETURN: return {Transfer::State::Eof};
        case SSL_ERROR_SYSCALL:
            return {Transfer::State::Failed, 0, std::strerror(error)};
        default: break;
    }
    const unsigned long code = ERR_peek_error();
    // Whoever leaves without a close_notify has left all the same: messages
    // have lengths of their own, so nothing can be cut off unnoticed.
    if (ERR_GET_REASON(code) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
        ERR_clear_error();
        return {Transfer::State::Eof};
    }
    return {Transfer::State::Failed, 0, "TLS: " + tls_error()};
}

Transfer Stream::write(const Pieces& pieces) {
    if (session_) return write_tls(pieces);
    ssize_t n;
    if (pieces.count == 1) {
        const std::string_view only = pieces.piece[0];
        n = send(fd(), only.data(), only.size(), MSG_NOSIGNAL);
    } else {
        Message message;
        n = sendmsg(fd(), message.gather(pieces), MSG_NOSIGNAL);
    }
    return transfer(n, errno);
}

Transfer Stream::write_tls(const Pieces& pieces) {
    size_t written = 0;
    write_waits_to_read_ = false;
    for (size_t i = 0; i < pieces.count; ++i) {
        std::string_view rest = pieces.piece[i];
        while (!rest.empty()) {
            ERR_clear_error();
            size_t n = 0;
            const int result = SSL_write_ex(session_.get(), rest.data(),
                                            rest.size(), &n);
            if (result != 1) {
                Transfer failed = failed_tls(result);
                write_waits_to_read_ = SSL_want_read(session_.get());
                if (written > 0 && failed.state == Transfer::State::Blocked)
                    return {Transfer::State::Done, written};
                return failed;
            }
            rest.remove_prefix(n);
            written += n;
        }
    }
    return {Transfer::State::Done, written};
}

bool Stream::shut_down_writing() {
    if (session_ && is_ready()) {
        ERR_clear_error();
        const int result = SSL_shutdown(session_.get());
        if (result < 0 && SSL_want_write(session_.get())) return false;
        ERR_clear_error();
    }
    shutdown(fd(), SHUT_WR);
    return true;
}

}  // namespace wschat
