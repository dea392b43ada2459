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

constexpr std::chrono::seconds kSecond(1);

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

Log::~Log() {
    add_counts();
    flush();
}

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

void Log::about_client(std::string_view address, std::string_view event) {
    if (level_ < Level::Info) return;
    const std::string_view word = event.substr(0, event.find_first_of(": "));
    if (level_ < Level::Debug && count_line(word) > kMaxLines) return;
    info(std::string(address).append(" ").append(event));
}

/// Returns how many lines of this kind there were in this second, this one
/// included.
size_t Log::count_line(std::string_view word) {
    for (Kind& kind : kinds_)
        if (kind.word == word) return ++kind.lines;
    kinds_.push_back({std::string(word), 1});
    return 1;
}

void Log::begin_turn(Time now) {
    if (now - second_begin_ < kSecond) return;
    second_begin_ = now;
    add_counts();
}

void Log::add_counts() {
    for (Kind& kind : kinds_) {
        if (kind.lines > kMaxLines)
            info(std::to_string(kind.lines - kMaxLines) + " more \"" +
                 kind.word + "\" in 1 s");
        kind.lines = 0;
    }
}

Time Log::next_event() const {
    const bool has_count =
        std::any_of(kinds_.begin(), kinds_.end(),
                    [](const Kind& kind) { return kind.lines > kMaxLines; });
    return has_count ? second_begin_ + kSecond : Time::max();
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
