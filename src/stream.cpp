#include "stream.h"

#include <cerrno>

#include <sys/socket.h>
#include <sys/uio.h>

namespace wschat {

namespace {

Transfer transfer(ssize_t n) {
    if (n > 0)
        return {Transfer::State::Done, static_cast<size_t>(n), 0};
    if (n == 0) return {Transfer::State::Eof, 0, 0};
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)
        return {Transfer::State::Blocked, 0, 0};
    return {Transfer::State::Failed, 0, errno};
}

}  // namespace

Transfer Stream::read(char* data, size_t size) {
    return transfer(recv(fd(), data, size, 0));
}

Transfer Stream::write(const Pieces& pieces) {
    const std::string_view first = pieces.piece[0];
    if (pieces.count == 1)
        return transfer(send(fd(), first.data(), first.size(), MSG_NOSIGNAL));
    std::array<iovec, Pieces::kMax> parts;
    for (size_t i = 0; i < pieces.count; ++i)
        parts[i] = {const_cast<char*>(pieces.piece[i].data()),
                    pieces.piece[i].size()};
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = pieces.count;
    return transfer(sendmsg(fd(), &message, MSG_NOSIGNAL));
}

void Stream::shut_down_writing() { shutdown(fd(), SHUT_WR); }

}  // namespace wschat
