// Log lines on standard error, one for each event. Never blocks: lines for
// which standard error has no room are counted and dropped. Knows no clock.
#pragma once

#include <cstddef>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "util/clock.h"

namespace wschat {

/// Collects lines until flush(). Under systemd, which sets JOURNAL_STREAM, they
/// begin with a syslog priority (sd-daemon(3)), otherwise with "wschat: ". All
/// bytes but printable UTF-8 are escaped as \xHH, so that no peer can forge a
/// line, send escape sequences to a terminal, or turn the direction of a text.
class Log {
public:
    /// The values are those of syslog(3).
    enum class Level { Error = 3, Warning = 4, Info = 6, Debug = 7 };

    /// Lines about clients of one kind that are shown in a second.
    static constexpr size_t kMaxLines = 20;

    /// Shows lines of this level and of more severe ones. `times`: the time of
    /// the day stands in front of each, in UTC (RFC 3339).
    explicit Log(Level level, bool times = false);
    ~Log();
    Log(const Log&) = delete;
    Log& operator=(const Log&) = delete;

    void error(std::string_view line) { add(Level::Error, line); }
    void warning(std::string_view line) { add(Level::Warning, line); }
    void info(std::string_view line) { add(Level::Info, line); }
    void debug(std::string_view line) { add(Level::Debug, line); }

    /// Adds the line "WHO EVENT" at level info. Peers can cause as many of
    /// these as they like, which could fill a disk. So after kMaxLines of a
    /// kind in a second, others are only counted, and the same refusal of the
    /// same address is shown once a minute, unless debug lines are shown: these
    /// tell of each connection, so the others must too. The kind is the first
    /// word of the event. `who` is an address, or begins with one and a blank.
    /// REQUIRES: no peer chooses the word.
    void about_client(std::string_view who, std::string_view event);

    /// Begins a turn of the loop. If a second has passed, adds a line for each
    /// kind of which lines were only counted.
    void begin_turn(Time now);

    /// When begin_turn() has a line to add.
    Time next_event() const;

    /// Writes as many of the collected lines as standard error takes without
    /// blocking. The rest waits for the next call.
    void flush();

private:
    struct Kind {
        std::string word;
        size_t lines;  // in this second
    };

    void add(Level level, std::string_view line);
    size_t count_line(std::string_view word);
    bool was_shown_lately(std::string_view who, std::string_view event);
    void add_counts();

    Level level_;
    bool journal_;
    bool times_;
    std::string lines_;
    size_t lost_ = 0;  // lines dropped since the last one that was added
    std::vector<Kind> kinds_;  // few, because the words are the program's own
    Time second_begin_{};  // the same second for all kinds
    std::set<std::string> refusals_;  // that were shown in this minute
    Time minute_begin_{};
};

}  // namespace wschat
