#include <cstdio>
#include <cstdlib>
#include <regex>
#include <string>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/log.h"
#include "net/socket.h"

using namespace wschat;
using namespace std::chrono_literals;

using Level = Log::Level;

namespace {

/// Replaces standard error by a pipe that holds one page, while it lives.
class Stderr {
public:
    Stderr() : saved_(dup(STDERR_FILENO)) {
        int ends[2];
        REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
        reading_ = Fd(ends[0]);
        fcntl(ends[0], F_SETFL, O_NONBLOCK);
        fcntl(ends[1], F_SETPIPE_SZ, 4096);
        dup2(ends[1], STDERR_FILENO);
        close(ends[1]);
    }
    ~Stderr() { dup2(saved_.get(), STDERR_FILENO); }
    Stderr(const Stderr&) = delete;
    Stderr& operator=(const Stderr&) = delete;

    /// Returns what was written since the last call.
    std::string text() {
        std::string text;
        char buffer[4096];
        for (ssize_t n; (n = read(reading_.get(), buffer, sizeof buffer)) > 0;)
            text.append(buffer, static_cast<size_t>(n));
        return text;
    }

    /// Closes the reading end.
    void hang_up() { reading_ = Fd(); }

private:
    Fd saved_;
    Fd reading_;
};

std::string device_and_inode_of_stderr() {
    struct stat file;
    REQUIRE(fstat(STDERR_FILENO, &file) == 0);
    return std::to_string(file.st_dev) + ":" + std::to_string(file.st_ino);
}

/// Returns what a log of this level writes for one line of each level.
std::string written_at(Level level) {
    Stderr standard_error;
    {
        Log log(level);
        log.error("e");
        log.warning("w");
        log.info("i");
        log.debug("d");
    }
    return standard_error.text();
}

std::string written(std::string_view line) {
    Stderr standard_error;
    Log(Level::Info).info(line);
    return standard_error.text();
}

/// Returns everything that the log has to write, which may be more than the
/// pipe holds at a time.
std::string flushed(Log& log, Stderr& standard_error) {
    std::string text;
    for (;;) {
        log.flush();
        const std::string more = standard_error.text();
        if (more.empty()) return text;
        text += more;
    }
}

size_t count(const std::string& text, const std::string& part) {
    size_t n = 0;
    for (size_t at = text.find(part); at != text.npos;
         at = text.find(part, at + 1))
        ++n;
    return n;
}

}  // namespace

TEST_CASE("lines are collected and written when flushed") {
    Stderr standard_error;
    Log log(Level::Info);
    log.info("one");
    log.error("two");
    CHECK(standard_error.text() == "");
    log.flush();
    CHECK(standard_error.text() == "wschat: one\nwschat: two\n");
    log.flush();
    CHECK(standard_error.text() == "");
}

TEST_CASE("a log shows lines of its level and of more severe ones") {
    CHECK(written_at(Level::Error) == "wschat: e\n");
    CHECK(written_at(Level::Warning) == "wschat: e\nwschat: w\n");
    CHECK(written_at(Level::Info) == "wschat: e\nwschat: w\nwschat: i\n");
    CHECK(written_at(Level::Debug) ==
          "wschat: e\nwschat: w\nwschat: i\nwschat: d\n");
}

TEST_CASE("bytes that are not printable UTF-8 are escaped") {
    CHECK(written("plain ~ text") == "wschat: plain ~ text\n");
    CHECK(written("a\nwschat: b") == "wschat: a\\x0awschat: b\n");
    CHECK(written("\x1B[31mred\r\t\x7F") ==
          "wschat: \\x1b[31mred\\x0d\\x09\\x7f\n");
    CHECK(written({"a\0b", 3}) == "wschat: a\\x00b\n");
    CHECK(written("caf\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80") ==
          "wschat: caf\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80\n");
    // Not a character, not a whole one, control characters.
    CHECK(written("\xC3\xA9\x9B\xFF") == "wschat: \xC3\xA9\\x9b\\xff\n");
    CHECK(written("\xE2\x82") == "wschat: \\xe2\\x82\n");
    CHECK(written("\xC2\x9B") == "wschat: \\xc2\\x9b\n");
    // From right to left, the end of a line, nothing to see, a tag.
    CHECK(written("\xE2\x80\xAE") == "wschat: \\xe2\\x80\\xae\n");
    CHECK(written("\xE2\x80\xA8") == "wschat: \\xe2\\x80\\xa8\n");
    CHECK(written("\xE2\x80\x8B") == "wschat: \\xe2\\x80\\x8b\n");
    CHECK(written("\xF3\xA0\x81\xB3") == "wschat: \\xf3\\xa0\\x81\\xb3\n");
}

TEST_CASE("the journal gets priorities instead of the name") {
    Stderr standard_error;
    setenv("JOURNAL_STREAM", device_and_inode_of_stderr().c_str(), 1);
    {
        Log log(Level::Debug);
        log.error("e");
        log.warning("w");
        log.info("i");
        log.debug("d");
    }
    unsetenv("JOURNAL_STREAM");
    CHECK(standard_error.text() == "<3>e\n<4>w\n<6>i\n<7>d\n");
}

TEST_CASE("a standard error that is not the journal gets no priorities") {
    for (std::string stream : {"", "0:0", "1:2:3", "x"}) {
        setenv("JOURNAL_STREAM", stream.c_str(), 1);
        CHECK(written("a") == "wschat: a\n");
        unsetenv("JOURNAL_STREAM");
    }
}

TEST_CASE("the same refusal of an address is shown once a minute") {
    for (Level level : {Level::Info, Level::Debug}) {
        Stderr standard_error;
        Log log(level);
        const Time start{};
        log.begin_turn(start + 100s);
        log.about_client("192.0.2.1 #1", "refused: 403 why");
        log.about_client("192.0.2.1 #2", "refused: 403 why");
        log.about_client("192.0.2.1 #3", "refused: 404 why");
        log.about_client("192.0.2.2 #4", "refused: 403 why");
        log.begin_turn(start + 159s);
        log.about_client("192.0.2.1 #5", "refused: 403 why");
        log.begin_turn(start + 160s);
        log.about_client("192.0.2.1 #6", "refused: 403 why");
        const std::string shown = flushed(log, standard_error);
        CHECK(count(shown, "\n") == (level == Level::Info ? 4 : 6));
        CHECK(count(shown, "#6 refused") == 1);
    }
}

TEST_CASE("refusals are remembered up to a limit, and then shown each time") {
    Stderr standard_error;
    Log log(Level::Info);
    std::string shown;
    for (int i = 0; i < 1000; ++i) {
        log.begin_turn(Time() + std::chrono::milliseconds(50 * i + 1));
        log.about_client("192.0.2.1 #1", "refused: " + std::to_string(i));
        shown += flushed(log, standard_error);
    }
    CHECK(count(shown, " refused: ") == 1000);
    log.begin_turn(Time() + 51s);
    for (int i = 0; i < 2; ++i) {
        log.about_client("192.0.2.1 #1", "refused: 0");
        log.about_client("192.0.2.1 #1", "refused: 1000");
    }
    CHECK(count(flushed(log, standard_error), " refused: 1000\n") == 2);
}

TEST_CASE("the time stands in front if that is asked for") {
    Stderr standard_error;
    {
        Log log(Level::Info, true);
        log.info("a");
    }
    CHECK(std::regex_match(
        standard_error.text(),
        std::regex("20\\d\\d-[01]\\d-[0-3]\\dT[0-2]\\d:[0-5]\\d:[0-6]\\d"
                   "\\.\\d\\d\\dZ wschat: a\n")));
}

TEST_CASE("after 20 lines of a kind in a second further ones are counted") {
    Stderr standard_error;
    Log log(Level::Info);
    const Time start{};
    const auto log_lines = [&log](size_t number) {
        for (size_t i = 0; i < number; ++i)
            log.about_client("192.0.2.1", "left: why");
        log.about_client("192.0.2.1", "joined (1 client)");
    };
    log.begin_turn(start + 10s);
    CHECK(log.next_event() == Time::max());
    log_lines(20);
    CHECK(log.next_event() == Time::max());
    log.begin_turn(start + 10500ms);
    log_lines(5);
    CHECK(log.next_event() == start + 11s);
    log.begin_turn(start + 10999ms);
    const std::string first_second = flushed(log, standard_error);
    CHECK(count(first_second, "192.0.2.1 left: why\n") == 20);
    CHECK(count(first_second, "192.0.2.1 joined (1 client)\n") == 2);
    CHECK(count(first_second, "\n") == 22);

    log.begin_turn(start + 11s);
    CHECK(log.next_event() == Time::max());
    log_lines(20);
    const std::string next_second = flushed(log, standard_error);
    CHECK(next_second.rfind("wschat: 5 more \"left\" in 1 s\n", 0) == 0);
    CHECK(count(next_second, "\n") == 22);
    log.begin_turn(start + 12s);
    CHECK(flushed(log, standard_error) == "");
}

TEST_CASE("the end of a log counts the lines that it has not shown") {
    Stderr standard_error;
    {
        Log log(Level::Info);
        for (size_t i = 0; i < Log::kMaxLines + 3; ++i)
            log.about_client("unix", "left: connection ended");
    }
    const std::string text = standard_error.text();
    CHECK(count(text, "wschat: unix left: connection ended\n") == 20);
    CHECK(count(text, "wschat: 3 more \"left\" in 1 s\n") == 1);
}

TEST_CASE("lines of the daemon are never left out, nor any with debug lines") {
    Stderr standard_error;
    std::string text;
    for (Level level : {Level::Info, Level::Debug}) {
        Log log(level);
        for (int i = 0; i < 30; ++i) {
            log.info("SIGHUP: nothing to reload");
            if (level == Level::Debug) log.about_client("unix", "joined");
        }
        CHECK(log.next_event() == Time::max());
        text += flushed(log, standard_error);
    }
    CHECK(count(text, "SIGHUP") == 60);
    CHECK(count(text, "joined\n") == 30);
    CHECK(count(text, "\n") == 90);
}

TEST_CASE("a quiet log neither shows lines about clients nor counts them") {
    Stderr standard_error;
    {
        Log log(Level::Error);
        for (int i = 0; i < 30; ++i) log.about_client("unix", "joined");
        CHECK(log.next_event() == Time::max());
    }
    CHECK(standard_error.text() == "");
}

TEST_CASE("a full standard error does not block the log") {
    Stderr standard_error;
    Log log(Level::Info);
    const size_t lines = 3000;
    const std::string line(100, 'x');
    for (size_t i = 0; i < lines; ++i) {
        log.info(line);
        log.flush();
    }
    std::string text;
    const auto read_all = [&] {
        for (std::string more = standard_error.text(); !more.empty();
             more = standard_error.text()) {
            text += more;
            log.flush();
        }
    };
    read_all();
    log.info("again");
    log.flush();
    read_all();

    const size_t shown = count(text, line + "\n");
    CHECK(shown > 600);
    CHECK(shown < lines);
    CHECK(count(text, "wschat: " + std::to_string(lines - shown) +
                          " log lines lost\nwschat: again\n") == 1);
    CHECK(count(text, "\n") == shown + 2);
}

TEST_CASE("the number of lost lines is shown at every level") {
    for (Level level : {Level::Error, Level::Warning, Level::Debug}) {
        Stderr standard_error;
        Log log(level);
        for (int i = 0; i < 1000; ++i) log.error(std::string(100, 'x'));
        log.flush();
        while (!standard_error.text().empty()) log.flush();
        log.error("again");
        log.flush();
        const std::string text = standard_error.text();
        CHECK(count(text, " log lines lost\nwschat: again\n") == 1);
    }
}

TEST_CASE("a closed standard error is ignored") {
    const auto before = signal(SIGPIPE, SIG_IGN);
    {
        Stderr standard_error;
        standard_error.hang_up();
        Log log(Level::Info);
        log.info("a lost line");
        log.flush();
        log.info("again");
        log.flush();
    }
    signal(SIGPIPE, before);
}
