#include "room/outbox.h"

#include <utility>

namespace wschat {

void Outbox::close(std::string last_words) {
    own().last_words = std::move(last_words);
    own().is_closing = true;
    if (!cursor_.is_started()) return;
    // If the client closes in the same segment as its handshake, the response
    // to the handshake still waits. It must be sent before the log.
    if (own_->current.empty() && cursor_.offset() >= target_)
        own_->current.swap(own_->waiting);
    target_ = cursor_.end();
}

IoVec Outbox::next_bytes() {
    const bool is_inside_own = own_ && !own_->current.empty();
    const bool is_in_log = cursor_.is_started();
    if (!is_inside_own && is_in_log && cursor_.offset() < target_)
        return cursor_.pending(target_);
    // Here the log stands at a frame boundary.
    if (is_inside_own || take_own_bytes())
        return IoVec(std::string_view(own_->current).substr(own_->sent));
    if (!is_in_log || is_closing()) return {};
    cursor_.switch_log_at_end();
    target_ = cursor_.end();
    return cursor_.pending(target_);
}

/// Makes the waiting bytes the current ones; when closing, and nothing else
/// waits, the last words. Returns false if there are none.
bool Outbox::take_own_bytes() {
    if (!own_) return false;
    own_->current.swap(own_->waiting);
    if (own_->current.empty() && own_->is_closing)
        own_->current.swap(own_->last_words);
    if (!own_->current.empty()) return true;
    if (!own_->is_closing) own_.reset();
    return false;
}

void Outbox::consume(size_t n) {
    if (!own_ || own_->current.empty()) return cursor_.advance(n);
    own_->sent += n;
    if (own_->sent < own_->current.size()) return;
    release(own_->current);
    own_->sent = 0;
    // The log comes before more own bytes: otherwise a client that sends pings
    // without end would receive pongs only.
    if (!own_->is_closing && cursor_.is_started()) target_ = cursor_.end();
}

Outbox::Own& Outbox::own() {
    if (!own_) own_ = std::make_unique<Own>();
    return *own_;
}

size_t Outbox::own_size() const {
    return own_ ? own_->waiting.size() + own_->current.size() - own_->sent : 0;
}

}  // namespace wschat
