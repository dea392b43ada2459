#include "util/log.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include <limits.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/text.h"

namespace wschat {

namespace {

// If more bytes than these wait for standard error, new lines are dropped. The
// line that exceeds the limit is still stored.
constexpr size_t kMaxWaiting = 64 << 10;

/// True if standard error is the stream that systemd named: a redirected one
/// inherits the variable too (systemd.exec(5)).
bool stderr_is_journal() {
    const char* journal = std::getenv("JOURNAL_STREAM");
    struct stat file;
    if (!journal || fstat(STDERR_FILENO, &file) < 0) return false;
    return journal == std::to_string(file.st_dev) + ":" +
                          std::to_string(file.st_ino);
}

bool stderr_takes_bytes() {
    pollfd error{STDERR_FILENO, POLLOUT, 0};
    return poll(&error, 1, 0) == 1 && (error.revents & POLLOUT);
}

void append_escaped(std::string& out, std::string_view line) {
    for (char c : line) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte >= 0x20 && byte < 0x7F) {
            out += c;
            continue;
        }
        out += "\\x";
        append_hex(out, byte);
    }
}

}  // namespace

Log::Log(Level level) : level_(level), journal_(stderr_is_journal()) {}

void Log::add(Level level, std::string_view line) {
    if (level > level_) return;
    if (lines_.size() > kMaxWaiting) {
        ++lost_;
        return;
    }
    if (lost_ > 0) {
        const std::string count = std::to_string(std::exchange(lost_, 0));
        // An error, so that every log shows it: under -q the lost lines were
        // errors too.
        add(Level::Error, count + " log lines lost");
    }
    if (journal_)
        lines_ += "<" + std::to_string(static_cast<int>(level)) + ">";
    else
        lines_ += "wschat: ";
    append_escaped(lines_, line);
    lines_ += '\n';
}

void Log::flush() {
    size_t written = 0;
    // Standard error may be shared with other processes, so it can't be made
    // non-blocking. But when poll() reports a pipe as writable, it accepts
    // PIPE_BUF bytes (pipe(7)). The unix socket that systemd gives to a service
    // accepts more: it is reported while most of its send buffer is free.
    while (written < lines_.size() && stderr_takes_bytes()) {
        const size_t size = std::min<size_t>(lines_.size() - written, PIPE_BUF);
        const ssize_t n = write(STDERR_FILENO, lines_.data() + written, size);
        if (n < 0) break;
        written += static_cast<size_t>(n);
    }
    lines_.erase(0, written);
}

}  // namespace wschat
