// Non-blocking bytes to and from one peer. Nobody above it knows what carries
// them.
#pragma once

#include <cstddef>

#include "bytes.h"
#include "socket.h"

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
    int error = 0;  // errno
};

/// One connection. No call blocks, and no peer can raise SIGPIPE.
class Stream {
public:
    /// REQUIRES: the socket is connected and non-blocking.
    explicit Stream(Fd socket) : socket_(std::move(socket)) {}

    int fd() const { return socket_.get(); }

    Transfer read(char* data, size_t size);

    /// May take fewer bytes than it is given. REQUIRES: pieces are not empty.
    Transfer write(const Pieces& pieces);

    /// Tells the peer that no more bytes will come.
    void shut_down_writing();

private:
    Fd socket_;
};

}  // namespace wschat
