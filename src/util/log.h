// Lines on standard error: one an event. Never blocks: lines that standard
// error has no room for are counted, not waited for.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace wschat {

/// Collects lines until flush(). Under systemd, which is recognised by
/// JOURNAL_STREAM, lines begin with a syslog priority as sd-daemon(3) has it,
/// else with "wschat: ". All but printable ASCII is escaped as \xHH.
class Log {
public:
    enum class Level { Error = 3, Warning = 4, Info = 6, Debug = 7 };

    /// Shows what is at most this level.
    explicit Log(Level level);
    ~Log() { flush(); }
    Log(const Log&) = delete;
    Log& operator=(const Log&) = delete;

    void error(std::string_view line) { add(Level::Error, line); }
    void warning(std::string_view line) { add(Level::Warning, line); }
    void info(std::string_view line) { add(Level::Info, line); }
    void debug(std::string_view line) { add(Level::Debug, line); }

    /// Writes what has been collected, as far as standard error takes it
    /// now.
    void flush();

private:
    void add(Level level, std::string_view line);

    Level level_;
    bool journal_;
    std::string lines_;
    size_t lost_ = 0;
};

}  // namespace wschat
