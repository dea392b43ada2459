#include "room/history.h"

namespace wschat {

void History::append(std::string_view text, Time now) {
    ++newest_;
    if (rules_->messages == 0) return log_.append(text);
    if (size() == 0) cursor_ = log_.open_cursor();
    retained_.push_back({log_.end(), now});
    log_.append(text);
    if (size() > rules_->messages) drop_oldest();
    expire(now);
    shrink(rules_->bytes);
}

Broadcast::Cursor History::open_cursor(uint64_t number) {
    if (number > newest_) return log_.open_cursor();
    return log_.open_cursor(cursor_, retained_[dropped_ + (number - oldest())].offset);
}

void History::expire(Time now) {
    while (size() > 0 && now - oldest_retained().at >= rules_->time) drop_oldest();
    release_dropped();
}

void History::shrink(uint64_t most) {
    while (size() > 0 && bytes() > most) drop_oldest();
    release_dropped();
}

uint64_t History::bytes() const {
    if (size() == 0) return 0;
    return log_.end() - oldest_retained().offset + size() * sizeof(Retained);
}

uint64_t History::retained_size(size_t message) {
    char header[kMaxServerHeader];
    return encode_header(header, Opcode::Text, message) + message +
           sizeof(Retained);
}

/// Moves on in the log to the oldest that is still kept.
void History::release_dropped() {
    if (dropped_ == 0) return;
    if (size() == 0) {
        log_.close_cursor(cursor_);
        retained_ = std::vector<Retained>();
        dropped_ = 0;
        return;
    }
    log_.advance(cursor_,
                 static_cast<size_t>(oldest_retained().offset - cursor_.offset()));
    if (dropped_ < retained_.size() / 2) return;
    using Difference = std::vector<Retained>::difference_type;
    retained_.erase(retained_.begin(),
                retained_.begin() + static_cast<Difference>(dropped_));
    dropped_ = 0;
}

}  // namespace wschat
