#include "room/history.h"

namespace wschat {

void History::publish(std::string_view text, Time now) {
    ++last_;
    if (rules_->messages == 0) return run_.publish(text);
    if (size() == 0) position_ = run_.join();
    kept_.push_back({run_.end(), now});
    run_.publish(text);
    if (size() > rules_->messages) forget_oldest();
    expire(now);
    shrink(rules_->bytes);
}

Broadcast::Position History::join(uint64_t number) {
    if (number > last_) return run_.join();
    return run_.join(position_, kept_[forgotten_ + (number - first())].offset);
}

void History::expire(Time now) {
    while (size() > 0 && now - oldest().at >= rules_->time) forget_oldest();
    tidy();
}

void History::shrink(uint64_t most) {
    while (size() > 0 && bytes() > most) forget_oldest();
    tidy();
}

uint64_t History::bytes() const {
    if (size() == 0) return 0;
    return run_.end() - oldest().offset + size() * sizeof(Kept);
}

/// Moves on in the run to the oldest that is still kept.
void History::tidy() {
    if (forgotten_ == 0) return;
    if (size() == 0) {
        run_.leave(position_);
        kept_ = std::vector<Kept>();
        forgotten_ = 0;
        return;
    }
    run_.advance(position_,
                 static_cast<size_t>(oldest().offset - position_.offset()));
    if (forgotten_ < kept_.size() / 2) return;
    using Difference = std::vector<Kept>::difference_type;
    kept_.erase(kept_.begin(),
                kept_.begin() + static_cast<Difference>(forgotten_));
    forgotten_ = 0;
}

}  // namespace wschat
