// Sends bytes to many sockets together: with io_uring, where the kernel permits
// it, by one system call for up to 256 sockets; else by one send() for each
// socket, which is also used for one or two. The results are the same.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "net/stream.h"

namespace wschat {

/// The bytes to send to one socket, and the result.
struct SendRequest {
    int fd = -1;                    // non-blocking
    const IoVec* pieces = nullptr;  // not empty
    IoResult result{};              // set by SendBatch::write()
};

/// Sends batches of requests. When write() returns, all requests are complete:
/// no socket and no byte is used after that.
class SendBatch {
public:
    /// The most requests that one system call sends.
    static constexpr size_t kBatch = 256;

    /// Uses io_uring if `uring` is true and the kernel permits it.
    explicit SendBatch(bool uring);
    SendBatch(const SendBatch&) = delete;
    SendBatch& operator=(const SendBatch&) = delete;
    ~SendBatch();

    /// Returns the method in use, for the log: "io_uring", "send()", or
    /// "send(): " and why io_uring can't be used. Only write() changes it, when
    /// io_uring fails: from then on send() is used.
    const std::string& method() const { return method_; }
    bool uses_ring() const { return ring_ != nullptr; }

    /// Sends each request as send_vec() does and sets its result.
    /// REQUIRES: each socket occurs once.
    void write(std::vector<SendRequest>& all);

private:
    class Ring;

    void write_batch();
    void give_up_ring(int error);

    std::string method_;
    std::unique_ptr<Ring> ring_;  // null: send() is used

    // Null elements: already sent by the ring, or failed there.
    std::vector<SendRequest*> batch_;
};

}  // namespace wschat
