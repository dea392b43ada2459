// A log whose messages are numbered, and the retention of its newest messages
// for clients that join or resume later. No clock: the caller passes the time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "room/broadcast.h"
#include "room/room_config.h"
#include "util/clock.h"

namespace wschat {

/// Numbers the messages of a log from 1 on; pings have no number. A retained
/// message is one whose frame the log still stores because the history has a
/// cursor there, so retention needs no copy of any message.
class History {
public:
    /// For `stored` see Broadcast. REQUIRES: both outlive the history.
    explicit History(const RetentionConfig& config, uint64_t* stored = nullptr)
        : config_(&config), log_(stored) {}

    /// Announcements have a number and are retained like all messages, but do
    /// not count towards the limit of messages, nor towards those that a new
    /// client is sent: clients that come and go must not push out what others
    /// have said.
    enum class Kind { Message, Announcement };

    Broadcast& log() { return log_; }

    /// Appends a message to the log and retains it as far as the limits allow.
    /// REQUIRES: `now` is not before that of the previous call.
    void append(std::string_view text, Time now, Kind kind = Kind::Message);

    /// Returns the number of the newest message; 0 before the first.
    uint64_t newest() const { return newest_; }

    /// Returns the number of the oldest retained message; newest() + 1 if none
    /// is retained.
    uint64_t oldest() const { return newest_ + 1 - size(); }

    /// Opens a cursor in the log where the message of this number begins, or
    /// at the end for newest() + 1.
    /// REQUIRES: oldest() <= number <= newest() + 1.
    Broadcast::Cursor open_cursor(uint64_t number);

    /// Returns the number of the first of this many newest messages that count,
    /// or of the oldest retained one that counts if there are fewer; newest() +
    /// 1 if there is none.
    uint64_t first_of_newest(size_t messages) const;

    /// Drops the messages that have been retained for the retention time.
    void expire(Time now);

    /// Drops the oldest messages until bytes() <= max_bytes.
    void shrink(uint64_t max_bytes);

    /// Returns when the last retained message expires. REQUIRES: size() > 0.
    Time expires_at() const {
        return entries_.back().appended_at + config_->time;
    }

    /// Returns the number of retained messages.
    size_t size() const { return entries_.size() - dropped_; }

    /// Returns the memory that retention takes: the bytes of the log from the
    /// oldest retained message on, pings included, and an entry per message.
    uint64_t bytes() const;

    /// Returns how many of the bytes that the log counts as stored are there
    /// for what is retained.
    uint64_t stored() const {
        return size() > 0 ? log_.stored_for(cursor_) : 0;
    }

    /// The bytes that retaining a message of this size takes.
    static uint64_t retained_size(size_t message);

private:
    struct Entry {
        uint64_t offset = 0;  // of the message's frame in the log
        Time appended_at{};
        uint64_t counted = 0;  // messages that count, up to this one
    };

    const Entry& oldest_entry() const { return entries_[dropped_]; }
    void drop_oldest();
    void release_dropped();

    const RetentionConfig* config_;
    Broadcast log_;
    Broadcast::Cursor cursor_;  // at oldest(); open only if size() > 0
    std::vector<Entry> entries_;
    size_t dropped_ = 0;  // how many at the front of entries_ were dropped
    uint64_t newest_ = 0;
    uint64_t counted_ = 0;  // messages that count, since the first
    uint64_t dropped_counted_ = 0;  // as counted_, up to the last dropped one
};

}  // namespace wschat
