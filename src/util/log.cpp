#include "util/log.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <utility>

#include <limits.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/text.h"
#include "util/utf8.h"

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

/// How long the same refusal of the same address is not shown again.
constexpr std::chrono::minutes kMinute(1);

/// Refusals that are remembered for that. More are shown.
constexpr size_t kMaxRefusals = 1000;

/// Returns the code point of a whole character.
uint32_t code_point(std::string_view character) {
    const auto first = static_cast<unsigned char>(character[0]);
    if (character.size() == 1) return first;
    uint32_t value = first & (0x7FU >> character.size());
    for (size_t i = 1; i < character.size(); ++i)
        value = value << 6 | (static_cast<unsigned char>(character[i]) & 0x3FU);
    return value;
}

/// Not control characters, nor what changes the direction of a text, ends a
/// line or is not visible.
bool is_printable(uint32_t c) {
    return c >= 0x20 && !(c >= 0x7F && c < 0xA0) && c != 0xAD && c != 0x61C &&
           !(c >= 0x200B && c <= 0x200F) && !(c >= 0x2028 && c <= 0x202E) &&
           !(c >= 0x2060 && c <= 0x206F) && !(c >= 0xE000 && c <= 0xF8FF) &&
           !(c >= 0xFFF0 && c <= 0xFFFB) && c != 0xFEFF && c < 0xE0000;
}

/// Returns the length of the character at the front of a text that is not
/// empty; 0 if there is no whole one.
size_t character_length(std::string_view text) {
    const auto first = static_cast<unsigned char>(text[0]);
    const size_t length =
        first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
    const std::string_view character = text.substr(0, length);
    return valid_utf8_prefix(character) == length ? length : 0;
}

void append_escaped(std::string& out, std::string_view line) {
    while (!line.empty()) {
        const size_t length = character_length(line);
        const std::string_view front =
            line.substr(0, std::max<size_t>(length, 1));
        line.remove_prefix(front.size());
        if (length > 0 && is_printable(code_point(front))) {
            out += front;
            continue;
        }
        for (char c : front) {
            out += "\\x";
            append_hex(out, static_cast<unsigned char>(c));
        }
    }
}

/// Returns the time of the day, as in 2026-01-31T23:59:59.123Z.
std::string time_of_day() {
    using namespace std::chrono;
    const auto now = system_clock::now().time_since_epoch();
    const auto ms = duration_cast<milliseconds>(now).count();
    const auto seconds = static_cast<time_t>(ms / 1000);
    std::tm utc{};
    gmtime_r(&seconds, &utc);
    std::array<char, 64> text;
    std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &utc);
    const std::string thousandths = std::to_string(1000 + ms % 1000);
    return std::string(text.data()) + "." + thousandths.substr(1) + "Z";
}

}  // namespace

Log::Log(Level level, bool times)
    : level_(level), journal_(stderr_is_journal()), times_(times) {}

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
    if (times_) lines_ += time_of_day() + " ";
    if (!journal_) lines_ += "wschat: ";
    append_escaped(lines_, line);
    lines_ += '\n';
}

void Log::about_client(std::string_view who, std::string_view event) {
    if (level_ < Level::Info) return;
    const std::string_view word = event.substr(0, event.find_first_of(": "));
    if (level_ < Level::Debug) {
        if (word == "refused" && was_shown_lately(who, event)) return;
        if (count_line(word) > kMaxLines) return;
    }
    info(std::string(who).append(" ").append(event));
}

/// A page that is refused tries again and again.
bool Log::was_shown_lately(std::string_view who, std::string_view event) {
    std::string refusal(who.substr(0, who.find(' ')));
    refusal.append(" ").append(event);
    if (refusals_.size() < kMaxRefusals)
        return !refusals_.insert(refusal).second;
    return refusals_.count(refusal) > 0;
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
    if (now - minute_begin_ >= kMinute) {
        minute_begin_ = now;
        refusals_.clear();
    }
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
