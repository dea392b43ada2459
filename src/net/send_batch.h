// Bytes to many peers in one go: by one system call where the kernel permits
// io_uring, by one each elsewhere. Nobody above it can tell which.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "net/stream.h"

namespace wschat {

/// Bytes for one socket, and what became of them.
struct SendRequest {
    int fd = -1;
    const IoVec* pieces = nullptr;  // not empty
    IoResult result{};
};

/// Everything is over when write() returns: no socket and no byte that it was
/// given is touched later.
class SendBatch {
public:
    /// The most that one system call takes.
    static constexpr size_t kBatch = 256;

    /// Without `uring`, or where that is refused, it writes one by one.
    explicit SendBatch(bool uring);
    SendBatch(const SendBatch&) = delete;
    SendBatch& operator=(const SendBatch&) = delete;
    ~SendBatch();

    /// In which way it writes, and why: words for the log.
    const std::string& way() const { return way_; }

    /// Writes all as send_vec() does and sets the result of each.
    /// REQUIRES: no socket is among them twice.
    void write(std::vector<SendRequest>& all);

private:
    class Ring;

    void write_batch();

    std::string way_;
    std::unique_ptr<Ring> ring_;    // none: one by one
    std::vector<SendRequest*> batch_;  // null: was written
};

}  // namespace wschat
