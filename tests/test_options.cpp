#include <initializer_list>
#include <list>
#include <sstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "options.h"

using namespace wschat;

using Action = Options::Action;
using Level = Log::Level;

namespace {

using Words = std::vector<std::string>;

/// Parses a command line. getopt() may look at an earlier one again, so all of
/// them are kept.
Options parse(const Words& words) {
    static std::list<Words> kept;
    kept.push_back(words);
    kept.back().insert(kept.back().begin(), "wschat");
    std::vector<char*> argv;
    for (std::string& word : kept.back()) argv.push_back(word.data());
    argv.push_back(nullptr);
    return parse_options(static_cast<int>(argv.size()) - 1, argv.data());
}

/// Parses these options, followed by a valid host and port.
Options parse_with(Words options) {
    options.insert(options.end(), {"localhost", "9600"});
    return parse(options);
}

Settings settings_with(const std::string& option) {
    return parse_with({option}).settings;
}

/// Returns the error for a command line, or an empty text if it is valid.
std::string usage_error(const Words& words) {
    try {
        parse(words);
    } catch (const UsageError& error) {
        return error.what();
    }
    return "";
}

std::string option_error(const std::string& option) {
    return usage_error({option, "localhost", "9600"});
}

/// Checks that the error is one line that names `what`.
void check_refused(const Words& words, const std::string& what) {
    CAPTURE(what);
    const std::string why = usage_error(words);
    CHECK(why != "");
    CHECK(why.find(what) != std::string::npos);
    CHECK(why.find('\n') == std::string::npos);
}

void check_option_refused(const std::string& option, const std::string& what) {
    check_refused({option, "localhost", "9600"}, what);
}

/// Returns the addresses to listen on: "127.0.0.1:9600 [::1]:9600 ".
std::string endpoints(const Words& words) {
    std::string text;
    for (const Endpoint& endpoint : parse(words).settings.endpoints)
        text += endpoint.to_string() + " ";
    return text;
}

const std::string kLocal = "127.0.0.1:9600 [::1]:9600 ";
const std::string kEverywhere = "0.0.0.0:9600 [::]:9600 ";

// Every option but --help and --version.
const char* const kFlags[] = {"--relay-system", "--no-raw",   "--no-deflate",
                              "--no-page",      "--no-uring", "--rooms",
                              "--quiet",        "--verbose"};
const char* const kWithValue[] = {
    "--announce=none",   "--bind=127.0.0.1",  "--max-message=1K",
    "--max-backlog=8M",  "--stall-timeout=1", "--handshake-timeout=1",
    "--close-timeout=1", "--ping-interval=1", "--max-rooms=1",
    "--keep=1,2",        "--keep-total=1M",   "--history=1",
    "--publish-key=f",   "--max-logs=1M",     "--max-partial=8M",
    "--max-clients=1",   "--rate=1/2",        "--max-per-address=1",
    "--rate-bytes=1/2",  "--exempt=none",     "--rate-connect=1/2",
    "--message-timeout=1", "--max-rooms-per-address=1",
};

bool operator==(const Rate& left, const Rate& right) {
    return left.amount == right.amount && left.per == right.per;
}

/// Returns the limits with these options.
LimitsConfig limits_with(const Words& options) {
    return parse_with(options).settings.limits;
}

}  // namespace

TEST_CASE("a host and a port are sufficient") {
    const Options options = parse({"chat.example.com", "9600"});
    CHECK((options.action == Action::Serve));
    CHECK((options.log_level == Level::Info));
    CHECK(options.settings.host == "chat.example.com");
    CHECK(options.settings.port == 9600);
}

TEST_CASE("the defaults are those of the manual") {
    const Settings settings = parse({"localhost", "9600"}).settings;
    CHECK((settings.announce == Announce::Address));
    CHECK_FALSE(settings.relay_system);
    CHECK(settings.reader_config.raw_json);
    CHECK(settings.reader_config.max_message == 1 << 20);
    CHECK(settings.max_backlog == 4 << 20);
    CHECK(settings.handshake_timeout.count() == 10);
    CHECK(settings.stall_timeout.count() == 30);
    CHECK(settings.close_timeout.count() == 5);
    CHECK(settings.ping_interval.count() == 25);
    CHECK_FALSE(settings.rooms);
    CHECK(settings.rooms_config.most == 10'000);
    CHECK(settings.rooms_config.retention.messages == 1000);
    CHECK(settings.rooms_config.retention.time == std::chrono::minutes(10));
    CHECK(settings.rooms_config.retention.bytes == 4 << 20);
    CHECK(settings.rooms_config.retained_total == 64 << 20);
    CHECK(settings.rooms_config.history == 0);
    CHECK(settings.publish_key == "");
    CHECK(settings.deflate);
    CHECK(settings.page);
    CHECK(settings.uring);
    CHECK(settings.max_logs == 256 << 20);
    CHECK(settings.message_timeout.count() == 60);
    CHECK(settings.limits.max_clients == LimitsConfig::kByDescriptors);
    CHECK(settings.limits.max_per_address == 1000);
    CHECK(settings.limits.max_rooms_per_address == 100);
    CHECK(settings.limits.max_partial == 64 << 20);
    CHECK((settings.limits.connects == Rate{60, Seconds(10)}));
    CHECK((settings.limits.messages == Rate{30, Seconds(3)}));
    CHECK((settings.limits.bytes == Rate{1 << 20, Seconds(3)}));
    CHECK(settings.limits.exempt_local);
}

// Host and port

TEST_CASE("exactly one host and one port are required") {
    check_refused({}, "host and a port");
    check_refused({"localhost"}, "host and a port");
    check_refused({"localhost", "9600", "9601"}, "9601");
    check_refused({"--no-raw", "--quiet"}, "host and a port");
}

TEST_CASE("options may be anywhere but behind two hyphens") {
    CHECK((parse({"-q", "localhost", "9600"}).log_level == Level::Error));
    CHECK((parse({"localhost", "-q", "9600"}).log_level == Level::Error));
    CHECK((parse({"localhost", "9600", "-q"}).log_level == Level::Error));
    CHECK(parse({"-q", "--", "localhost", "9600"}).settings.port == 9600);
    check_refused({"localhost", "9600", "--", "-q"}, "-q");
}

TEST_CASE("a port is a number from 0 to 65535") {
    CHECK(parse({"localhost", "0"}).settings.port == 0);
    CHECK(parse({"localhost", "1"}).settings.port == 1);
    CHECK(parse({"localhost", "65535"}).settings.port == 65535);
    for (std::string port :
         {"", "abc", "70000", "65536", "99999999999999999999", "96OO", "9600x",
          " 9600", "9600 ", "+9600", "0x50", "96.0", "1e3", "http"}) {
        check_refused({"localhost", port}, "port \"" + port + "\"");
    }
    check_refused({"localhost", "-1"}, "-1");
    check_refused({"--", "localhost", "-1"}, "port \"-1\"");
}

TEST_CASE("a host is a name or an IP address") {
    for (std::string host : {"a", "localhost", "chat.example.com", "site.local",
                             "a-b_c.example.", "127.0.0.1", "0.0.0.0", "::1",
                             "::", "2001:db8::7", "4chan.org", "1.example"}) {
        CAPTURE(host);
        CHECK(parse({host, "9600"}).settings.host == host);
    }
    CHECK(parse({"[::1]", "9600"}).settings.host == "::1");
    CHECK(parse({"[2001:db8::7]", "9600"}).settings.host == "2001:db8::7");
}

TEST_CASE("a host has no byte that could break a URL or a header") {
    for (std::string host :
         {"", " ", "a b", "a\r\nX: y", "http://a", "a/b", "a:9600", "[]",
          "[::1", "::1]", "::g", "1:2", "user@a", "a?b", "a#b", "caf\xC3\xA9",
          "fe80::1%lo", "unix:/tmp/a", "*"})
        CHECK(usage_error({host, "9600"}).find("host") != std::string::npos);
}

TEST_CASE("a mistyped IP address is not taken for a host name") {
    for (std::string host : {"127.0.0.256", "127.1", "127.0.0.01", "10.0.0",
                             "1.2.3.4.5", "127.0.0.1.", "2130706433", "9600"}) {
        CAPTURE(host);
        check_refused({host, "9600"}, "host \"" + host + "\"");
    }
}

// Addresses to listen on

TEST_CASE("an address is listened on itself, localhost on both loopback ones") {
    CHECK(endpoints({"127.0.0.1", "9600"}) == "127.0.0.1:9600 ");
    CHECK(endpoints({"203.0.113.7", "9600"}) == "203.0.113.7:9600 ");
    CHECK(endpoints({"::1", "9600"}) == "[::1]:9600 ");
    CHECK(endpoints({"[2001:db8::7]", "80"}) == "[2001:db8::7]:80 ");
    CHECK(endpoints({"0.0.0.0", "0"}) == "0.0.0.0:0 ");
    CHECK(endpoints({"localhost", "9600"}) == kLocal);
    CHECK(endpoints({"LocalHost", "9600"}) == kLocal);
}

TEST_CASE("any other host name means all addresses") {
    CHECK(endpoints({"chat.example.com", "9600"}) == kEverywhere);
    CHECK(endpoints({"localhost.example.com", "9600"}) == kEverywhere);
}

TEST_CASE("only addresses that were not given as numbers may be absent") {
    const auto optional = [](const Words& words) {
        std::string text;
        for (const Endpoint& endpoint : parse(words).settings.endpoints)
            text += endpoint.optional ? "optional " : "needed ";
        return text;
    };
    CHECK(optional({"localhost", "9600"}) == "optional optional ");
    CHECK(optional({"chat.example.com", "9600"}) == "optional optional ");
    CHECK(optional({"::1", "9600"}) == "needed ");
    CHECK(optional({"127.0.0.1", "9600"}) == "needed ");
    CHECK(optional({"--bind=localhost", "--bind=::1", "a", "1"}) ==
          "optional optional needed ");
    CHECK(optional({"--bind=unix:chat", "a", "1"}) == "needed ");
}

TEST_CASE("--bind replaces the addresses of the host, and may be repeated") {
    const Words host = {"chat.example.com", "9600"};
    const auto endpoints_with = [&](Words options) {
        options.insert(options.end(), host.begin(), host.end());
        return endpoints(options);
    };
    CHECK(endpoints_with({"--bind=127.0.0.1"}) == "127.0.0.1:9600 ");
    CHECK(endpoints_with({"--bind", "127.0.0.1"}) == "127.0.0.1:9600 ");
    CHECK(endpoints_with({"--bind=::1"}) == "[::1]:9600 ");
    CHECK(endpoints_with({"--bind=[::1]"}) == "[::1]:9600 ");
    CHECK(endpoints_with({"--bind=localhost"}) == kLocal);
    CHECK(endpoints_with({"--bind=0.0.0.0"}) == "0.0.0.0:9600 ");
    CHECK(endpoints_with({"--bind=unix:/run/chat"}) == "unix:/run/chat ");
    CHECK(endpoints_with(
              {"--bind=10.0.0.1", "--bind=unix:chat", "--bind=::"}) ==
          "10.0.0.1:9600 unix:chat [::]:9600 ");
    CHECK(parse_with({"--bind=127.0.0.1"}).settings.host == "localhost");
}

TEST_CASE("--bind accepts no name but localhost") {
    for (std::string address :
         {"", "example.com", "127.0.0.1:9600", "[::1]:9600", "127.0.0.256", "*",
          "/run/chat", "UNIX:/run/chat", "eth0", "127.0.0.1,::1", " ::1"})
        check_option_refused("--bind=" + address, "--bind");
    check_refused({"--bind=example.com", "--help-me", "a", "1"}, "--help-me");
}

TEST_CASE("a unix socket has a mode and a group") {
    const auto endpoint = [](const std::string& bind) {
        return parse_with({"--bind=unix:" + bind}).settings.endpoints.at(0);
    };
    CHECK(endpoint("/run/chat").is_unix);
    CHECK(endpoint("/run/chat").address == "/run/chat");
    CHECK(endpoint("/run/chat").mode == 0660);
    CHECK(endpoint("/run/chat").group == "");
    CHECK(endpoint("/run/chat,mode=0666").mode == 0666);
    CHECK(endpoint("/run/chat,mode=600").mode == 0600);
    CHECK(endpoint("/run/chat,group=www-data").group == "www-data");
    const Endpoint all = endpoint("/run/chat,group=www-data,mode=0777");
    CHECK(all.address == "/run/chat");
    CHECK(all.mode == 0777);
    CHECK(all.group == "www-data");
}

TEST_CASE("a bad mode, group or path of a unix socket is refused") {
    for (std::string bind :
         {"", ",mode=0660", "/a,", "/a,,mode=0660", "/a,mode", "/a,mode=",
          "/a,mode=rw", "/a,mode=0680", "/a,mode=01000", "/a,mode=-1",
          "/a,mode=+660", "/a,mode= 660", "/a,mode=0660x", "/a,mode=0x1",
          "/a,owner=x", "/a,Mode=0660", "/a,group=", "/a,group"}) {
        CAPTURE(bind);
        CHECK(option_error("--bind=unix:" + bind) != "");
    }
    CHECK(option_error("--bind=unix:/a,mode=rw").find("--bind") !=
          std::string::npos);
}

// Options

TEST_CASE("every option is accepted and named by --help") {
    for (std::string option : kFlags) {
        CAPTURE(option);
        CHECK(option_error(option) == "");
        CHECK(help_text().find(option) != std::string::npos);
    }
    for (std::string option : kWithValue) {
        CAPTURE(option);
        const size_t equals = option.find('=');
        const std::string name = option.substr(0, equals);
        CHECK(option_error(option) == "");
        CHECK(usage_error({name, option.substr(equals + 1), "localhost",
                         "9600"}) == "");
        CHECK(help_text().find(name + "=") != std::string::npos);
    }
    for (std::string name : {"-q,", "-v,", "-h,", "--help", "--version"})
        CHECK(help_text().find(name) != std::string::npos);
}

TEST_CASE("an option that needs a value is refused without one") {
    for (std::string option : kWithValue) {
        const std::string name = option.substr(0, option.find('='));
        check_refused({"localhost", "9600", name}, name);
        check_option_refused(name + "=", name);
    }
}

TEST_CASE("an option that takes no value is refused with one") {
    for (std::string option : {"--relay-system", "--no-raw", "--no-deflate",
                               "--no-page", "--no-uring", "--rooms", "--quiet",
                               "--verbose", "--log-time", "--help",
                               "--version"})
        check_option_refused(option + "=yes",
                             "option " + option + "=yes takes no value");
}

TEST_CASE("the error names the option that was probably meant") {
    CHECK(option_error("--roms") ==
          "unknown option --roms: did you mean --rooms?");
    CHECK(option_error("--tls-crt=a") ==
          "unknown option --tls-crt: did you mean --tls-cert?");
    CHECK(option_error("--anounce=none") ==
          "unknown option --anounce: did you mean --announce?");
    CHECK(option_error("--frobnicate") == "unknown option --frobnicate");
    CHECK(option_error("--x") == "unknown option --x");
    CHECK(option_error("--rate-=1") ==
          "ambiguous option --rate-: --rate-connect or --rate-bytes?");
}

TEST_CASE("the error shows how a host and a port are given") {
    CHECK(usage_error({}) ==
          "expected a host and a port, as in localhost 9600");
    CHECK(usage_error({"localhost"}) ==
          "expected a host and a port, as in localhost 9600");
    CHECK(usage_error({"example.com:80"}) ==
          "expected a host and a port, as in example.com 80");
    CHECK(usage_error({"[::1]:80"}) ==
          "expected a host and a port, as in [::1] 80");
    CHECK(usage_error({"::1"}) ==
          "expected a host and a port, as in localhost 9600");
}

TEST_CASE("the same --bind is refused the second time") {
    check_refused({"--bind=unix:a", "--bind=::1", "--bind=unix:a", "a", "1"},
                  "--bind=unix:a is given twice");
}

TEST_CASE("the error names the unknown option") {
    check_option_refused("--frob", "--frob");
    check_option_refused("--frob=1", "--frob");
    check_option_refused("-x", "-x");
    check_option_refused("-4", "-4");
    check_option_refused("-qx", "-x");
    check_option_refused("-xq", "unknown option -x");
    check_refused({"--no-raw", "-xq", "localhost", "9600"},
                  "unknown option -x");
    check_option_refused("--m=1K", "ambiguous option --m: ");
    check_refused({"localhost", "9600", "--frob"}, "--frob");
}

TEST_CASE("a command line can be parsed after one that was refused") {
    for (std::string bad : {"-xq", "-1234", "--frob", "--bind"}) {
        CAPTURE(bad);
        CHECK(usage_error({"localhost", "9600", bad}) != "");
        CHECK((parse({"localhost", "9600"}).log_level == Level::Info));
    }
}

TEST_CASE("help and version are shown whatever else is given") {
    for (std::string word : {"-h", "--help"}) {
        CHECK((parse({word}).action == Action::ShowHelp));
        CHECK((parse({"localhost", "9600", word}).action == Action::ShowHelp));
        CHECK((parse({word, "--frob"}).action == Action::ShowHelp));
    }
    CHECK((parse({"--version"}).action == Action::ShowVersion));
    CHECK((parse({"--version", "-h"}).action == Action::ShowVersion));
}

// Regression: the longest names were cut where the second column begins.
TEST_CASE("help names each option with its whole value, then blanks") {
    std::istringstream help(help_text());
    int options = 0;
    for (std::string line; std::getline(help, line);) {
        if (line.rfind("  -", 0) != 0) continue;
        CAPTURE(line);
        ++options;
        CHECK(line.find("  ", 2) != std::string::npos);
    }
    CHECK(options > 30);
    for (std::string option :
         {"--max-rooms-per-address=NUMBER", "--rate-connect=NUMBER/SECONDS"})
        CHECK(help_text().find("\n  " + option + "  ") != std::string::npos);
}

TEST_CASE("help begins with the usage line and fits a terminal") {
    const std::string help = help_text();
    CHECK(help.rfind(std::string(kUsage) + "\n", 0) == 0);
    CHECK(help.back() == '\n');
    for (size_t begin = 0; begin < help.size();) {
        const size_t end = help.find('\n', begin);
        CHECK(end - begin <= 80);
        begin = end + 1;
    }
}

TEST_CASE("each flag changes its setting") {
    CHECK(settings_with("--relay-system").relay_system);
    CHECK_FALSE(settings_with("--no-raw").reader_config.raw_json);
    CHECK_FALSE(settings_with("--no-deflate").deflate);
    CHECK_FALSE(settings_with("--no-page").page);
    CHECK_FALSE(settings_with("--no-uring").uring);
    CHECK(settings_with("--rooms").rooms);
    CHECK((settings_with("--announce=none").announce == Announce::None));
    CHECK((settings_with("--announce=count").announce == Announce::Count));
    CHECK((settings_with("--announce=address").announce == Announce::Address));
    CHECK((parse_with({"--announce=none", "--announce=address"})
               .settings.announce == Announce::Address));
    for (std::string value : {"", "Address", "nobody", "yes", "address "})
        check_option_refused("--announce=" + value, "--announce");
}

TEST_CASE("addresses are announced by default if the host is a local one") {
    for (std::string host : {"localhost", "127.0.0.1", "[::1]", "192.168.1.2",
                             "fe80::1", "shop.local.example"})
        CHECK((parse({host, "9600"}).settings.announce == Announce::Address));
    for (std::string host : {"chat.example.com", "203.0.113.7", "0.0.0.0"}) {
        CAPTURE(host);
        CHECK((parse({host, "9600"}).settings.announce == Announce::Count));
        CHECK((parse({"--announce=address", host, "9600"}).settings.announce ==
               Announce::Address));
    }
    CHECK((parse({"--announce=count", "localhost", "9600"}).settings.announce ==
           Announce::Count));
}

TEST_CASE("the last of -q and -v wins") {
    CHECK((parse_with({"-q"}).log_level == Level::Error));
    CHECK((parse_with({"--quiet"}).log_level == Level::Error));
    CHECK((parse_with({"-v"}).log_level == Level::Debug));
    CHECK(!parse_with({}).log_times);
    CHECK(parse_with({"--log-time"}).log_times);
    CHECK((parse_with({"--verbose"}).log_level == Level::Debug));
    CHECK((parse_with({"-q", "-v"}).log_level == Level::Debug));
    CHECK((parse_with({"-vq"}).log_level == Level::Error));
}

TEST_CASE("bytes may have a binary suffix") {
    struct {
        std::string text;
        uint64_t bytes;
    } const numbers[] = {
        {"1", 1},
        {"65536", 65536},
        {"065536", 65536},
        {"1K", 1 << 10},
        {"64K", 64 << 10},
        {"1M", 1 << 20},
        {"2G", uint64_t{2} << 30},
        {"1024G", uint64_t{1} << 40},
        {"1099511627776", uint64_t{1} << 40},
    };
    for (const auto& row : numbers) {
        CAPTURE(row.text);
        CHECK(parse_with({"--keep-total=" + row.text})
                  .settings.rooms_config.retained_total == row.bytes);
        CHECK(parse_with({"--max-message=1", "--max-backlog=" + row.text})
                  .settings.max_backlog == row.bytes);
    }
}

TEST_CASE("malformed numbers of bytes are refused") {
    for (std::string name : {"--max-message", "--max-backlog"})
        for (std::string bytes :
             {"", "0", "0K", "-1", "+1", "1k", "1T", "1KB", "1 K", "K", "1.5M",
              "1e6", "0x10", " 1", "1099511627777", "1025G",
              "18446744073709551616", "17179869184G",
              "99999999999999999999999K"})
            check_option_refused(name + "=" + bytes,
                                 name + " \"" + bytes + "\"");
}

TEST_CASE("the backlog must not be smaller than a message") {
    CHECK(option_error("--max-message=4M") == "");
    check_option_refused("--max-message=5M", "--max-backlog");
    check_option_refused("--max-backlog=1048575", "--max-backlog");
    CHECK(option_error("--max-backlog=1M") == "");
    for (Words order : {Words{"--max-message=5M", "--max-backlog=5M"},
                        Words{"--max-backlog=5M", "--max-message=5M"}})
        CHECK(parse_with(order).settings.max_backlog == 5 << 20);
}

// Limits

TEST_CASE("--max-logs is a number of bytes") {
    CHECK(settings_with("--max-logs=1M").max_logs == 1 << 20);
    CHECK(settings_with("--max-logs=512M").max_logs == 512 << 20);
    for (std::string bytes : {"", "0", "-1", "1k", "x", "1.5M", "1025G"})
        check_option_refused("--max-logs=" + bytes,
                             "--max-logs \"" + bytes + "\"");
}

TEST_CASE("the largest message is not over another default") {
    const Settings large =
        parse_with({"--max-message=100M", "--max-backlog=100M"}).settings;
    CHECK(large.max_logs == 400 << 20);
    CHECK(large.limits.max_partial == 400 << 20);
    CHECK(large.limits.bytes.amount == 100 << 20);
    CHECK(large.rooms_config.retention.bytes == 400 << 20);
    const Settings given =
        parse_with({"--max-message=2M", "--max-logs=2M", "--max-partial=8M",
                    "--rate-bytes=1M/1"})
            .settings;
    CHECK(given.max_logs == 2 << 20);
    CHECK(given.limits.max_partial == 8 << 20);
    CHECK(given.limits.bytes.amount == 1 << 20);
    check_refused({"--max-message=2M", "--max-logs=1M", "localhost", "9600"},
                  "--max-logs");
}

TEST_CASE("--max-partial is a number of bytes, or 0 for no limit") {
    CHECK(limits_with({"--max-partial=16M"}).max_partial == 16 << 20);
    CHECK(limits_with({"--max-partial=0"}).max_partial == 0);
    for (std::string bytes : {"", "00", "0K", "-1", "1k", "x", "1.5M", "1025G"})
        check_option_refused("--max-partial=" + bytes,
                             "--max-partial \"" + bytes + "\"");
}

TEST_CASE("--max-partial must have room for two of the largest messages") {
    constexpr uint64_t kLeast = (2 << 20) + (256 << 10);  // of 1 MiB
    CHECK(option_error("--max-partial=" + std::to_string(kLeast)) == "");
    check_option_refused("--max-partial=" + std::to_string(kLeast - 1),
                         "--max-partial, 2359295, must be");
    for (Words order : {Words{"--max-message=4M", "--max-partial=8M"},
                        Words{"--max-partial=8M", "--max-message=4M"}}) {
        order.insert(order.end(), {"localhost", "9600"});
        check_refused(order, "--max-partial, 8388608, must be");
    }
    CHECK(limits_with({"--max-message=4M", "--max-partial=9M"}).max_partial ==
          9 << 20);
    CHECK(limits_with({"--max-message=4M", "--max-partial=0"}).max_partial ==
          0);
}

TEST_CASE("by default --max-partial grows with --max-message") {
    const auto with = [](const std::string& max_message) {
        return limits_with({"--max-message=" + max_message,
                            "--max-backlog=2G"})
            .max_partial;
    };
    CHECK(with("1") == 64 << 20);
    CHECK(with("16M") == 64 << 20);
    CHECK(with("17M") == 68 << 20);
    CHECK(with("2G") == uint64_t{8} << 30);
}

TEST_CASE("limits of clients and rooms are numbers, or 0 for none") {
    struct {
        std::string option;
        size_t LimitsConfig::*limit;
    } const rows[] = {
        {"--max-clients", &LimitsConfig::max_clients},
        {"--max-per-address", &LimitsConfig::max_per_address},
        {"--max-rooms-per-address", &LimitsConfig::max_rooms_per_address},
    };
    for (const auto& row : rows) {
        CAPTURE(row.option);
        for (const size_t number :
             {size_t{0}, size_t{1}, size_t{1'000'000'000}})
            CHECK(limits_with({row.option + "=" + std::to_string(number)}).*
                      row.limit ==
                  number);
        for (std::string number :
             {"", "-1", "+1", "1K", "1.5", "1/2", " 1", "x", "1000000001"})
            check_option_refused(row.option + "=" + number,
                                 row.option + " \"" + number + "\"");
    }
}

TEST_CASE("each rate is a number in a number of seconds, or 0 for none") {
    struct {
        std::string option;
        Rate LimitsConfig::*rate;
    } const rows[] = {
        {"--rate-connect", &LimitsConfig::connects},
        {"--rate", &LimitsConfig::messages},
        {"--rate-bytes", &LimitsConfig::bytes},
    };
    for (const auto& row : rows) {
        CAPTURE(row.option);
        const auto rate = [&](const std::string& value) {
            return limits_with({row.option + "=" + value}).*row.rate;
        };
        CHECK((rate("1/1") == Rate{1, Seconds(1)}));
        CHECK((rate("500/60") == Rate{500, Seconds(60)}));
        CHECK((rate("5/0.5") == Rate{5, Seconds(0.5)}));
        CHECK((rate("1000000000/1000000") ==
               Rate{1'000'000'000, Seconds(1'000'000)}));
        CHECK(rate("0").amount == 0);
        // Above 0 also if it is off, because it is divided by.
        CHECK(rate("0").per.count() > 0);
    }
}

TEST_CASE("each rate changes its own limit alone") {
    const LimitsConfig defaults, changed = limits_with({"--rate=7/8"});
    CHECK((changed.messages == Rate{7, Seconds(8)}));
    CHECK((changed.bytes == defaults.bytes));
    CHECK((changed.connects == defaults.connects));
}

TEST_CASE("--rate-bytes may have a suffix, rates of other things have none") {
    CHECK((limits_with({"--rate-bytes=64K/2"}).bytes ==
           Rate{64 << 10, Seconds(2)}));
    check_option_refused("--rate=1K/2", "--rate \"1K\"");
    check_option_refused("--rate-connect=1K/2", "--rate-connect \"1K\"");
}

TEST_CASE("malformed rates are refused") {
    for (std::string option : {"--rate", "--rate-connect", "--rate-bytes"})
        for (std::string rate :
             {"", "5", "/", "5/", "/3", "0/3", "0/0", "5/0", "5/-1", "-5/3",
              "x/3", "5/x", "5/3/1", "5 /3", "5/ 3", "5,3", "5/3s", "5/inf",
              "1.5/3", "5/0.0001", "5/1000001", "1099511627777/3", "00"}) {
            CAPTURE(rate);
            check_option_refused(option + "=" + rate, option + " \"");
        }
}

TEST_CASE("--exempt adds networks to the local clients") {
    const LimitsConfig limits =
        limits_with({"--exempt=10.0.0.0/8", "--exempt=2001:db8::1"});
    CHECK(limits.exempt_local);
    CHECK(limits.exempt.contains(*Address::parse("10.9.9.9")));
    CHECK(limits.exempt.contains(*Address::parse("2001:db8::1")));
    CHECK_FALSE(limits.exempt.contains(*Address::parse("2001:db8::2")));
    CHECK_FALSE(limits.exempt.contains(*Address::parse("127.0.0.1")));
}

TEST_CASE("with --exempt=none local clients are not exempt") {
    for (Words options : {Words{"--exempt=none", "--exempt=10.0.0.1"},
                          Words{"--exempt=10.0.0.1", "--exempt=none"}}) {
        const LimitsConfig limits = limits_with(options);
        CHECK_FALSE(limits.exempt_local);
        CHECK(limits.exempt.contains(*Address::parse("10.0.0.1")));
    }
    for (std::string network : {"", "None", "all", "10.0.0.0/33", "10.0.0",
                                "example.com", "10.0.0.1,10.0.0.2"})
        check_option_refused("--exempt=" + network,
                             "--exempt \"" + network + "\"");
}

TEST_CASE("times are seconds, perhaps with a fraction") {
    CHECK(settings_with("--handshake-timeout=0.5").handshake_timeout.count() ==
          0.5);
    CHECK(settings_with("--stall-timeout=60").stall_timeout.count() == 60);
    CHECK(settings_with("--close-timeout=.25").close_timeout.count() == 0.25);
    CHECK(settings_with("--ping-interval=1.").ping_interval.count() == 1);
    CHECK(settings_with("--ping-interval=0").ping_interval.count() == 0);
    CHECK(settings_with("--ping-interval=0.001").ping_interval.count() ==
          0.001);
    CHECK(settings_with("--stall-timeout=1000000").stall_timeout.count() ==
          1e6);
    CHECK(settings_with("--message-timeout=0").message_timeout.count() == 0);
    CHECK(settings_with("--message-timeout=2.5").message_timeout.count() ==
          2.5);
}

TEST_CASE("malformed times are refused") {
    for (std::string name : {"--handshake-timeout", "--stall-timeout",
                             "--close-timeout", "--ping-interval",
                             "--message-timeout"}) {
        for (std::string seconds :
             {"", ".", "-1", "+1", "1s", "1,5", "1e3", "0x1", "inf", "nan",
              "1.2.3", " 1", "1 ", "1000001", "99999999999999999999"})
            check_option_refused(name + "=" + seconds,
                                 name + " \"" + seconds + "\"");
    }
}

TEST_CASE("a number that is too large is refused with the largest one") {
    check_option_refused("--history=1000000001", "at most 1000000000 is");
    check_option_refused("--keep-total=1099511627777", "at most 1024G is");
    check_option_refused("--keep-total=1025G", "at most 1024G is");
    check_option_refused("--max-message=2147483649", "at most 2G is");
    CHECK(parse_with({"--max-message=2G", "--max-backlog=2G"})
              .settings.reader_config.max_message == uint64_t{2} << 30);
    check_option_refused("--stall-timeout=1000001",
                         "at most 1000000 seconds are");
}

// Regression: 0.0000000001 was accepted, and became 0 nanoseconds. These are
// numbers of seconds, so the error must say why they are refused.
TEST_CASE("a time below a thousandth of a second is refused") {
    for (std::string option : {"--handshake-timeout=", "--stall-timeout=",
                               "--close-timeout=", "--keep=10,"})
        for (std::string text : {"0", "0.0", "0.0000000001", "0.000999"})
            check_option_refused(option + text,
                                 "\"" + text +
                                     "\": expected at least 0.001 seconds");
    for (std::string option : {"--ping-interval=", "--message-timeout="})
        check_option_refused(option + "0.0000000001",
                             "expected 0 or at least 0.001 seconds");
}

// Rooms

TEST_CASE("--max-rooms is a number from 1") {
    CHECK(settings_with("--max-rooms=1").rooms_config.most == 1);
    CHECK(settings_with("--max-rooms=1000000000").rooms_config.most ==
          1'000'000'000);
    for (std::string number :
         {"", "0", "-1", "+1", "1K", "1.5", "1e3", " 1", "0x10", "many",
          "1000000001", "18446744073709551617"})
        check_option_refused("--max-rooms=" + number,
                             "--max-rooms \"" + number + "\"");
}

TEST_CASE("--keep is a number of messages, perhaps with a time") {
    using namespace std::chrono_literals;
    const auto keep = [](const std::string& value) {
        return settings_with("--keep=" + value).rooms_config.retention;
    };
    CHECK(keep("5").messages == 5);
    CHECK(keep("5").time == 600s);
    CHECK(keep("0").messages == 0);
    CHECK(keep("5,60").messages == 5);
    CHECK(keep("5,60").time == 60s);
    CHECK(keep("5,0.25").time == 250ms);
    CHECK(keep("5,1000000").time == 1'000'000s);
    for (std::string value :
         {"",     ",",      ",60",  "5,",         "5,0",       "5,-1", "5,x",
          "5,1s", "5,60,7", "5;60", "-1",         "1K",        "1.5",  " 5",
          "5 ",   "5, 60",  "x",    "1000000001", "5,1000001", "5,inf"}) {
        CAPTURE(value);
        check_option_refused("--keep=" + value, "--keep");
    }
}

TEST_CASE("--keep-total is a number of bytes") {
    const auto total = [](const std::string& value) {
        return settings_with("--keep-total=" + value)
            .rooms_config.retained_total;
    };
    CHECK(total("1") == 1);
    CHECK(total("64K") == 64 << 10);
    CHECK(total("2G") == uint64_t{2} << 30);
    for (std::string bytes : {"", "0", "-1", "1k", "x", "1.5M", "1025G"})
        check_option_refused("--keep-total=" + bytes,
                             "--keep-total \"" + bytes + "\"");
}

TEST_CASE("--history is at most --keep, whichever comes first") {
    CHECK(settings_with("--history=1000").rooms_config.history == 1000);
    check_option_refused("--history=1001",
                         "--history, 1001, must not be more than --keep, 1000");
    CHECK_NOTHROW(parse_with({"--history=1001", "--keep=1001"}));
    CHECK_NOTHROW(parse_with({"--keep=4", "--history=4"}));
    CHECK_THROWS_AS(parse_with({"--history=5", "--keep=4"}), UsageError);
    CHECK_THROWS_AS(parse_with({"--keep=0", "--history=1"}), UsageError);
}

TEST_CASE("--history is a number of messages") {
    CHECK(settings_with("--history=0").rooms_config.history == 0);
    CHECK(settings_with("--history=50").rooms_config.history == 50);
    for (std::string number : {"", "-1", "x", "1K", "50,60", "1000000001"})
        check_option_refused("--history=" + number,
                             "--history \"" + number + "\"");
}

TEST_CASE("--publish-key is the name of a file") {
    CHECK(settings_with("--publish-key=/etc/keys").publish_key == "/etc/keys");
    CHECK(parse_with({"--publish-key", "keys"}).settings.publish_key == "keys");
    check_option_refused("--publish-key=", "--publish-key");
}

TEST_CASE("the version is a number of three parts") {
    CHECK(std::string(kVersion) == "0.1.0");
}
