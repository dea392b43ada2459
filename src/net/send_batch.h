// Sends bytes to many sockets together: by one io_uring system call where the
// kernel permits that, else by one send() each. The result is the same;
// method() tells which one is in use, for the log only.
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

    /// Returns how it sends, for the log: "io_uring", "send()", or "send(): "
    /// and why io_uring can't be used. Not updated if io_uring fails later.
    const std::string& method() const { return method_; }

    /// Sends each request as send_vec() does and sets its result.
    /// REQUIRES: each socket occurs once.
    void write(std::vector<SendRequest>& all);

private:
    class Ring;

    void write_batch();

    std::string method_;
    std::unique_ptr<Ring> ring_;       // null: send() is used
    std::vector<SendRequest*> batch_;  // null: the ring has sent the request
};

}  // namespace wschat
