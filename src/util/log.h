// Log lines on standard error, one for each event. Never blocks: lines for
// which standard error has no room are counted and dropped.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace wschat {

/// Collects lines until flush(). Under systemd, which sets JOURNAL_STREAM, they
/// begin with a syslog priority (sd-daemon(3)), otherwise with "wschat: ". All
/// bytes but printable ASCII are escaped as \xHH, so that no peer can forge a
/// line or send escape sequences to a terminal.
class Log {
public:
    /// The values are those of syslog(3).
    enum class Level { Error = 3, Warning = 4, Info = 6, Debug = 7 };

    /// Shows lines of this level and of more severe ones.
    explicit Log(Level level);
    ~Log() { flush(); }
    Log(const Log&) = delete;
    Log& operator=(const Log&) = delete;

    void error(std::string_view line) { add(Level::Error, line); }
    void warning(std::string_view line) { add(Level::Warning, line); }
    void info(std::string_view line) { add(Level::Info, line); }
    void debug(std::string_view line) { add(Level::Debug, line); }

    /// Writes as many of the collected lines as standard error takes without
    /// blocking. The rest waits for the next call.
    void flush();

private:
    void add(Level level, std::string_view line);

    Level level_;
    bool journal_;
    std::string lines_;
    size_t lost_ = 0;  // lines dropped since the last one that was added
};

}  // namespace wschat
