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
struct Outgoing {
    int fd = -1;
    const Pieces* pieces = nullptr;  // not empty
    Transfer result{};
};

/// Everything is over when write() returns: no socket and no byte that it was
/// given is touched later.
class Outflow {
public:
    /// The most that one system call takes.
    static constexpr size_t kBatch = 256;

    /// Without `uring`, or where that is refused, it writes one by one.
    explicit Outflow(bool uring);
    Outflow(const Outflow&) = delete;
    Outflow& operator=(const Outflow&) = delete;
    ~Outflow();

    /// In which way it writes, and why: words for the log.
    const std::string& way() const { return way_; }

    /// Writes all as send_pieces() does and sets the result of each.
    /// REQUIRES: no socket is among them twice.
    void write(std::vector<Outgoing>& all);

private:
    class Ring;

    void write_batch();

    std::string way_;
    std::unique_ptr<Ring> ring_;    // none: one by one
    std::vector<Outgoing*> batch_;  // null: was written
};

}  // namespace wschat
