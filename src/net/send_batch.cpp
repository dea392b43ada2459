#include "net/send_batch.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <utility>

#ifdef WSCHAT_URING
#include <liburing.h>
#endif

namespace wschat {

#ifdef WSCHAT_URING

namespace {

// One or two send() calls cost less than filling, entering and emptying the
// ring. That is the usual case when few clients are in a room.
constexpr size_t kMinRing = 3;

// Linux 6.18 fails a request of 2 GiB, which is a negative int, and no kernel
// sends so much at a time. The rest is another request, as after any partial
// send.
constexpr size_t kMaxSend = std::numeric_limits<int>::max();

}  // namespace

/// An io_uring that sends a batch and waits for all of it in the same system
/// call. The requests refer to memory that others own, the chunks of a log
/// above all, which may be freed as soon as write() returns: so none may still
/// be under way then. MSG_DONTWAIT makes sure that this wait is short: the
/// kernel completes such a request when it takes it. Without the flag a request
/// for a full socket would complete only when its peer reads.
class SendBatch::Ring {
public:
    Ring()
        : error_(-io_uring_queue_init(kBatch, &ring_, 0)), headers_(kBatch) {}
    Ring(const Ring&) = delete;
    Ring& operator=(const Ring&) = delete;
    ~Ring() {
        if (error_ == 0) io_uring_queue_exit(&ring_);
    }

    /// Returns the errno with which creating the ring failed; 0 if it did not.
    int error() const { return error_; }

    /// Sends the batch and sets each request that has a result to null. Returns
    /// 0, or the errno with which the kernel took no others: then the ring must
    /// not be used again.
    int write(std::vector<SendRequest*>& batch) {
        for (size_t i = 0; i < batch.size(); ++i) prepare(*batch[i], i);
        size_t taken = 0;  // by the kernel, from the front of the batch
        for (size_t left = batch.size(); left > 0;) {
            const int result = io_uring_submit_and_wait(
                &ring_, static_cast<unsigned>(left));
            const size_t complete = collect_results(batch);
            left -= complete;
            // With an error the call has taken no request. It may also be an
            // error of the wait alone, for requests of an earlier call.
            if (result > 0) taken += static_cast<size_t>(result);
            if (result >= 0 || result == -EINTR || complete > 0) continue;
            fail_taken(batch, taken, -result);
            return -result;
        }
        return 0;
    }

private:
    void prepare(const SendRequest& request, size_t i) {
        constexpr int kFlags = MSG_NOSIGNAL | MSG_DONTWAIT;
        io_uring_sqe* entry = io_uring_get_sqe(&ring_);
        const std::string_view first = request.pieces->piece[0];
        if (request.pieces->count == 1)
            io_uring_prep_send(entry, request.fd, first.data(),
                               std::min(first.size(), kMaxSend), kFlags);
        else
            io_uring_prep_sendmsg(entry, request.fd,
                                  headers_[i].gather(*request.pieces),
                                  kFlags);
        io_uring_sqe_set_data64(entry, i);
    }

    /// Fails the requests that the kernel has taken and not completed. With
    /// MSG_DONTWAIT there should be none. If there are, their bytes may have
    /// been sent, and must not be sent a second time.
    static void fail_taken(std::vector<SendRequest*>& batch, size_t taken,
                           int error) {
        for (size_t i = 0; i < taken; ++i) {
            SendRequest* request = std::exchange(batch[i], nullptr);
            if (request)
                request->result = {IoResult::State::Failed, 0,
                                   std::string("io_uring: ") +
                                       std::strerror(error)};
        }
    }

    /// Sets the results of the requests that are complete. Returns how many.
    size_t collect_results(std::vector<SendRequest*>& batch) {
        unsigned head = 0;
        unsigned count = 0;
        io_uring_cqe* entry = nullptr;
        io_uring_for_each_cqe(&ring_, head, entry) {
            SendRequest*& request = batch[io_uring_cqe_get_data64(entry)];
            request->result = to_io_result(entry->res, -entry->res);
            request = nullptr;
            ++count;
        }
        io_uring_cq_advance(&ring_, count);
        return count;
    }

    io_uring ring_;
    int error_;
    std::vector<SendmsgHeader> headers_;
};

SendBatch::SendBatch(bool uring) : method_("send()") {
    if (!uring) return;
    ring_ = std::make_unique<Ring>();
    method_ = "io_uring";
    if (ring_->error() != 0) give_up_ring(ring_->error());
}

#else

namespace {

constexpr size_t kMinRing = 0;

}  // namespace

/// Never created: the build has no liburing.
class SendBatch::Ring {
public:
    int write(std::vector<SendRequest*>&) { return 0; }
};

SendBatch::SendBatch(bool uring)
    : method_(uring ? "send(): built without io_uring" : "send()") {}

#endif

SendBatch::~SendBatch() = default;

void SendBatch::write(std::vector<SendRequest>& all) {
    for (SendRequest& request : all) {
        batch_.push_back(&request);
        if (batch_.size() == kBatch) write_batch();
    }
    write_batch();
}

/// Uses send() from now on. For good: what makes a call to the ring fail, such
/// as a filter of system calls, makes the next one fail too, and each would
/// cost time in which nothing is sent.
void SendBatch::give_up_ring(int error) {
    method_ = "send(): io_uring: " + std::string(std::strerror(error));
    ring_.reset();
}

void SendBatch::write_batch() {
    if (ring_ && batch_.size() >= kMinRing)
        if (const int error = ring_->write(batch_)) give_up_ring(error);
    // Null: the ring has set the result.
    for (SendRequest* request : batch_)
        if (request) request->result = send_vec(request->fd, *request->pieces);
    batch_.clear();
}

}  // namespace wschat
