#include "room/history.h"

#include <algorithm>

namespace wschat {

void History::append(std::string_view text, Time now, Kind kind) {
    ++newest_;
    if (kind == Kind::Message) ++counted_;
    if (config_->messages == 0) return log_.append(text);
    // The history holds a cursor of its own: without any cursor the log stores
    // nothing, and no client may be in the room when a message is published.
    if (size() == 0) {
        cursor_ = log_.open_cursor();
        dropped_counted_ = counted_ - (kind == Kind::Message ? 1 : 0);
    }
    entries_.push_back({log_.end(), now, counted_});
    log_.append(text);
    while (counted_ - dropped_counted_ > config_->messages) drop_oldest();
    expire(now);
    shrink(config_->bytes);
}

Broadcast::Cursor History::open_cursor(uint64_t number) {
    if (number > newest_) return log_.open_cursor();
    const Entry& entry = entries_[dropped_ + (number - oldest())];
    return log_.open_cursor(cursor_, entry.offset);
}

uint64_t History::first_of_newest(size_t messages) const {
    const uint64_t retained = counted_ - dropped_counted_;
    const uint64_t before = counted_ - std::min<uint64_t>(messages, retained);
    using Difference = std::vector<Entry>::difference_type;
    const auto oldest_retained =
        entries_.begin() + static_cast<Difference>(dropped_);
    const auto first = std::partition_point(
        oldest_retained, entries_.end(),
        [before](const Entry& entry) { return entry.counted <= before; });
    return oldest() + static_cast<uint64_t>(first - oldest_retained);
}

void History::drop_oldest() {
    dropped_counted_ = oldest_entry().counted;
    ++dropped_;
}

void History::expire(Time now) {
    while (size() > 0 && now - oldest_entry().appended_at >= config_->time)
        drop_oldest();
    release_dropped();
}

void History::shrink(uint64_t max_bytes) {
    while (size() > 0 && bytes() > max_bytes) drop_oldest();
    release_dropped();
}

uint64_t History::retained_size(size_t message) {
    char header[kMaxServerHeader];
    return encode_header(header, Opcode::Text, message) + message +
           sizeof(Entry);
}

uint64_t History::bytes() const {
    if (size() == 0) return 0;
    return log_.end() - oldest_entry().offset + size() * sizeof(Entry);
}

/// Moves the cursor to the oldest retained message, so that the log can free
/// the chunks of those that were dropped.
void History::release_dropped() {
    if (dropped_ == 0) return;
    if (size() == 0) {
        log_.close_cursor(cursor_);
        entries_ = std::vector<Entry>();  // clear() would keep its memory
        dropped_ = 0;
        return;
    }
    log_.advance(cursor_,
                 static_cast<size_t>(oldest_entry().offset - cursor_.offset()));
    // Erasing moves all entries that are left. Once half of them were dropped,
    // that is at most one move for each drop; at every drop it would be as many
    // moves as there are messages.
    if (dropped_ < entries_.size() / 2) return;
    using Difference = std::vector<Entry>::difference_type;
    entries_.erase(entries_.begin(),
                   entries_.begin() + static_cast<Difference>(dropped_));
    dropped_ = 0;
}

}  // namespace wschat
