#include "net/send_batch.h"

#include <cstring>

#ifdef WSCHAT_URING
#include <liburing.h>
#endif

namespace wschat {

#ifdef WSCHAT_URING

namespace {

// Fewer cost less by a call each.
constexpr size_t kWorthwhile = 3;

}  // namespace

/// An io_uring whose requests may not wait for their sockets: so each has
/// completed, as sent, cut short or refused, when the kernel has taken it.
class SendBatch::Ring {
public:
    Ring()
        : error_(-io_uring_queue_init(kBatch, &ring_, 0)), headers_(kBatch) {}
    Ring(const Ring&) = delete;
    Ring& operator=(const Ring&) = delete;
    ~Ring() {
        if (error_ == 0) io_uring_queue_exit(&ring_);
    }

    /// Why there is no ring; 0 if there is one.
    int error() const { return error_; }

    /// Writes those of the batch that the kernel takes, and makes them null.
    /// False if these were not all: the ring is of no use any more.
    bool write(std::vector<SendRequest*>& batch) {
        for (size_t i = 0; i < batch.size(); ++i) prepare(*batch[i], i);
        for (size_t left = batch.size(); left > 0;) {
            const int taken = io_uring_submit_and_wait(
                &ring_, static_cast<unsigned>(left));
            const size_t over = reap(batch);
            if (taken < 0 && over == 0) return false;
            left -= over;
        }
        return true;
    }

private:
    void prepare(const SendRequest& outgoing, size_t i) {
        constexpr int kFlags = MSG_NOSIGNAL | MSG_DONTWAIT;
        io_uring_sqe* entry = io_uring_get_sqe(&ring_);
        const std::string_view first = outgoing.pieces->piece[0];
        if (outgoing.pieces->count == 1)
            io_uring_prep_send(entry, outgoing.fd, first.data(), first.size(),
                               kFlags);
        else
            io_uring_prep_sendmsg(entry, outgoing.fd,
                                  headers_[i].gather(*outgoing.pieces),
                                  kFlags);
        io_uring_sqe_set_data64(entry, i);
    }

    size_t reap(std::vector<SendRequest*>& batch) {
        unsigned head = 0;
        unsigned count = 0;
        io_uring_cqe* entry = nullptr;
        io_uring_for_each_cqe(&ring_, head, entry) {
            SendRequest*& outgoing = batch[io_uring_cqe_get_data64(entry)];
            outgoing->result = to_io_result(entry->res, -entry->res);
            outgoing = nullptr;
            ++count;
        }
        io_uring_cq_advance(&ring_, count);
        return count;
    }

    io_uring ring_;
    int error_;
    std::vector<SendmsgHeader> headers_;
};

SendBatch::SendBatch(bool uring) : way_("send()") {
    if (!uring) return;
    ring_ = std::make_unique<Ring>();
    way_ = "io_uring";
    if (ring_->error() == 0) return;
    way_ = "send(): io_uring: " + std::string(std::strerror(ring_->error()));
    ring_.reset();
}

#else

namespace {

constexpr size_t kWorthwhile = 0;

}  // namespace

class SendBatch::Ring {
public:
    bool write(std::vector<SendRequest*>&) { return false; }
};

SendBatch::SendBatch(bool uring)
    : way_(uring ? "send(): built without io_uring" : "send()") {}

#endif

SendBatch::~SendBatch() = default;

void SendBatch::write(std::vector<SendRequest>& all) {
    for (SendRequest& outgoing : all) {
        batch_.push_back(&outgoing);
        if (batch_.size() == kBatch) write_batch();
    }
    write_batch();
}

void SendBatch::write_batch() {
    if (ring_ && batch_.size() >= kWorthwhile && !ring_->write(batch_))
        ring_.reset();
    for (SendRequest* left : batch_)
        if (left) left->result = send_vec(left->fd, *left->pieces);
    batch_.clear();
}

}  // namespace wschat
