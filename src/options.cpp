#include "options.h"

#include <algorithm>
#include <iterator>
#include <numeric>
#include <string_view>
#include <utility>
#include <vector>

#include <getopt.h>

#include "http/origin.h"
#include "util/address.h"
#include "util/host.h"
#include "util/text.h"

namespace wschat {

const char kVersion[] = "0.1.0";
const char kUsage[] = "usage: wschat [options] host port";

namespace {

/// What --max-partial must have beside the largest message, so that one that is
/// not unusual can arrive.
constexpr uint64_t kMinPartials = 256 << 10;

constexpr char kIntroduction[] = R"(
Relays JSON messages between all clients that are connected by WebSocket.
host is the name that clients use; if it is an IP address or localhost,
wschat listens there, otherwise on all addresses. Port 0 takes a free one.

)";

/// What has been read of the command line.
struct Parsed {
    Options options;
    // The values of --bind as text. They become endpoints when the port is
    // known, which stands behind all options.
    std::vector<std::string> binds{};
    bool has_announce = false;
    bool has_max_partial = false;
    bool has_rate_bytes = false;
    bool has_max_logs = false;
};

/// An option as it was given, its name as in "--keep". The value is empty if
/// the option takes none.
struct Given {
    std::string name;
    std::string value;
};

void add_bind(Parsed& parsed, const Given& given) {
    parsed.binds.push_back(given.value);
}

void add_trusted_proxy(Parsed& parsed, const Given& given) {
    if (!parsed.options.settings.trusted_proxies.add(given.value))
        throw_bad_value(given.name, given.value,
                        "expected an address, a network such as 10.0.0.0/8, "
                        "loopback or unix");
}

void add_origin(Parsed& parsed, const Given& given) {
    const auto origin = parse_origin(given.value);
    if (!origin)
        throw_bad_value(given.name, given.value,
                        "expected scheme://host[:port], null or *");
    parsed.options.settings.origins.push_back(*origin);
}

void set_announce(Parsed& parsed, const Given& given) {
    for (Announce each : {Announce::Address, Announce::Count, Announce::None})
        if (given.value == announce_name(each)) {
            parsed.options.settings.announce = each;
            parsed.has_announce = true;
            return;
        }
    throw_bad_value(given.name, given.value,
                    "expected address, count or none");
}

void set_max_rooms(Parsed& parsed, const Given& given) {
    const uint64_t number = parse_count(given.name, given.value);
    if (number == 0)
        throw_bad_value(given.name, given.value, "expected at least one");
    parsed.options.settings.rooms_config.most = number;
}

/// NUMBER[,SECONDS]
void set_keep(Parsed& parsed, const Given& given) {
    RetentionConfig& retention =
        parsed.options.settings.rooms_config.retention;
    const size_t comma = given.value.find(',');
    retention.messages = parse_count(given.name, given.value.substr(0, comma));
    if (comma == given.value.npos) return;
    retention.time =
        to_duration(parse_seconds(given.name, given.value.substr(comma + 1)));
}

void set_keep_total(Parsed& parsed, const Given& given) {
    parsed.options.settings.rooms_config.retained_total =
        parse_bytes(given.name, given.value);
}

void set_history(Parsed& parsed, const Given& given) {
    parsed.options.settings.rooms_config.history =
        parse_count(given.name, given.value);
}

void set_max_message(Parsed& parsed, const Given& given) {
    // About what one system call sends.
    constexpr uint64_t kMax = uint64_t{2} << 30;
    const uint64_t bytes = parse_bytes(given.name, given.value);
    if (bytes > kMax)
        throw_bad_value(given.name, given.value, "at most 2G is allowed");
    parsed.options.settings.reader_config.max_message = bytes;
}

void set_max_backlog(Parsed& parsed, const Given& given) {
    parsed.options.settings.max_backlog = parse_bytes(given.name, given.value);
}

void set_max_logs(Parsed& parsed, const Given& given) {
    parsed.options.settings.max_logs = parse_bytes(given.name, given.value);
    parsed.has_max_logs = true;
}

void set_max_partial(Parsed& parsed, const Given& given) {
    parsed.options.settings.limits.max_partial =
        given.value == "0" ? 0 : parse_bytes(given.name, given.value);
    parsed.has_max_partial = true;
}

template <size_t LimitsConfig::*limit>
void set_limit(Parsed& parsed, const Given& given) {
    parsed.options.settings.limits.*limit =
        parse_count(given.name, given.value);
}

template <Rate LimitsConfig::*rate>
void set_rate(Parsed& parsed, const Given& given) {
    parsed.options.settings.limits.*rate =
        parse_rate(given.name, given.value, parse_count);
}

void set_rate_bytes(Parsed& parsed, const Given& given) {
    parsed.options.settings.limits.bytes =
        parse_rate(given.name, given.value, parse_bytes);
    parsed.has_rate_bytes = true;
}

void add_exempt(Parsed& parsed, const Given& given) {
    LimitsConfig& limits = parsed.options.settings.limits;
    if (given.value == "none")
        limits.exempt_local = false;
    else if (!limits.exempt.add(given.value))
        throw_bad_value(given.name, given.value,
                        "expected an address, a network such as 10.0.0.0/8, "
                        "loopback, unix or none");
}

void set_message_timeout(Parsed& parsed, const Given& given) {
    parsed.options.settings.message_timeout =
        parse_seconds_or_zero(given.name, given.value);
}

void set_ping_interval(Parsed& parsed, const Given& given) {
    parsed.options.settings.ping_interval =
        parse_seconds_or_zero(given.name, given.value);
}

void refuse_raw_json(Parsed& parsed, const Given&) {
    parsed.options.settings.reader_config.raw_json = false;
}

template <bool Settings::*setting, bool value>
void set_flag(Parsed& parsed, const Given&) {
    parsed.options.settings.*setting = value;
}

template <std::string Settings::*setting>
void set_file(Parsed& parsed, const Given& given) {
    parsed.options.settings.*setting = parse_file(given.name, given.value);
}

template <Seconds Settings::*setting>
void set_timeout(Parsed& parsed, const Given& given) {
    parsed.options.settings.*setting = parse_seconds(given.name, given.value);
}

template <Log::Level level>
void set_log_level(Parsed& parsed, const Given&) {
    parsed.options.log_level = level;
}

void set_log_time(Parsed& parsed, const Given&) {
    parsed.options.log_times = true;
}

template <Options::Action action>
void set_action(Parsed& parsed, const Given&) {
    parsed.options.action = action;
}

/// One option: everything that is known of it.
struct Row {
    const char* name;  // without hyphens
    char letter;       // of the short form; NUL if there is none
    const char* value;  // how --help calls its value; null if it takes none
    const char* help;   // its meaning and its default; --help wraps it
    void (*apply)(Parsed& parsed, const Given& given);
};

// In the order of --help: where to listen, who may connect, rooms, what is
// switched off, limits, and the program itself.
constexpr Row kRows[] = {
    {"bind", 0, "ADDRESS",
     "listen here and not at the host (repeatable): an IP address, localhost "
     "or unix:PATH[,mode=0660][,group=NAME]",
     add_bind},
    {"tls-cert", 0, "FILE",
     "serve wss:// and https:// with this certificate and its chain (PEM); "
     "SIGHUP loads it again",
     set_file<&Settings::tls_certificate>},
    {"tls-key", 0, "FILE",
     "private key of the certificate (PEM); SIGHUP loads it again",
     set_file<&Settings::tls_key>},
    {"trust-proxy", 0, "NETWORK",
     "take the address of a client from X-Forwarded-For if the peer is in this "
     "network (repeatable): an address, a network such as 10.0.0.0/8, "
     "loopback or unix",
     add_trusted_proxy},
    {"origin", 0, "ORIGIN",
     "admit pages of this origin too (repeatable): scheme://host[:port], null "
     "for files, * for any",
     add_origin},
    {"publish-key", 0, "FILE",
     "accept messages by POST with a key from this file; SIGHUP loads it again",
     set_file<&Settings::publish_key>},
    {"rooms", 0, nullptr, "make each path a room of its own",
     set_flag<&Settings::rooms, true>},
    {"max-rooms", 0, "NUMBER",
     "largest number of rooms; empty ones are deleted first, then new ones are "
     "refused [10000]",
     set_max_rooms},
    {"keep", 0, "NUMBER[,SECONDS]",
     "retain so many messages in a room for clients that resume, and for how "
     "long [1000,600]",
     set_keep},
    {"keep-total", 0, "BYTES",
     "retain at most this in all rooms together [64M]", set_keep_total},
    {"history", 0, "NUMBER",
     "send so many of the retained messages to each new client [0]",
     set_history},
    {"announce", 0, "WHAT",
     "tell a room who joins and leaves: address, count (how many are there) or "
     "none [address if the host is a local one, else count]",
     set_announce},
    {"relay-system", 0, nullptr,
     "let clients send messages of type \"system\"",
     set_flag<&Settings::relay_system, true>},
    {"no-raw", 0, nullptr, "accept WebSocket frames only, no raw JSON",
     refuse_raw_json},
    {"no-deflate", 0, nullptr, "compress nothing, in neither direction",
     set_flag<&Settings::deflate, false>},
    {"no-page", 0, nullptr, "serve neither the chat page nor wschat.js",
     set_flag<&Settings::page, false>},
    {"no-uring", 0, nullptr,
     "send to each client by a system call of its own, not by io_uring",
     set_flag<&Settings::uring, false>},
    {"max-message", 0, "BYTES",
     "largest message of a client; suffix K, M or G [1M]", set_max_message},
    {"max-backlog", 0, "BYTES",
     "drop a client further behind than this [4M]", set_max_backlog},
    {"max-logs", 0, "BYTES",
     "largest sum of what is stored for clients that are behind; over it the "
     "one that is furthest behind is dropped [256M, or 4 times "
     "--max-message]",
     set_max_logs},
    {"max-partial", 0, "BYTES",
     "largest sum of all unfinished messages and bodies; over it the largest "
     "one is refused; 0: no limit [64M, or 4 times --max-message]",
     set_max_partial},
    {"max-clients", 0, "NUMBER",
     "largest number of connections; 0: no limit [descriptors less 64]",
     set_limit<&LimitsConfig::max_clients>},
    {"max-per-address", 0, "NUMBER",
     "connections of one address; 0: no limit [1000]",
     set_limit<&LimitsConfig::max_per_address>},
    {"max-rooms-per-address", 0, "NUMBER",
     "rooms that have members of one address only; 0: no limit [100]",
     set_limit<&LimitsConfig::max_rooms_per_address>},
    {"rate-connect", 0, "NUMBER/SECONDS",
     "handshakes of one address; 0: no limit [60/10]",
     set_rate<&LimitsConfig::connects>},
    {"rate", 0, "NUMBER/SECONDS",
     "messages of one client; ten times as many of one address; 0: no limit "
     "[30/3]",
     set_rate<&LimitsConfig::messages>},
    {"rate-bytes", 0, "BYTES/SECONDS",
     "the same in bytes of inflated messages; 0: no limit [1M/3, or "
     "--max-message/3]",
     set_rate_bytes},
    {"exempt", 0, "NETWORK",
     "no limits for this network (repeatable); none: not for local clients "
     "either [local clients that no proxy forwards]",
     add_exempt},
    {"handshake-timeout", 0, "SECONDS",
     "time for a request to arrive completely [10]",
     set_timeout<&Settings::handshake_timeout>},
    {"message-timeout", 0, "SECONDS",
     "time for a message from its first byte to its last; 0: no limit [60]",
     set_message_timeout},
    {"stall-timeout", 0, "SECONDS",
     "drop a client that takes no data for so long [30]",
     set_timeout<&Settings::stall_timeout>},
    {"close-timeout", 0, "SECONDS",
     "time for each of the two steps of closing a connection [5]",
     set_timeout<&Settings::close_timeout>},
    {"ping-interval", 0, "SECONDS", "time between pings; 0 sends none [25]",
     set_ping_interval},
    {"quiet", 'q', nullptr, "log errors only",
     set_log_level<Log::Level::Error>},
    {"log-time", 0, nullptr, "begin each line of the log with the time",
     set_log_time},
    {"verbose", 'v', nullptr, "log the details of every connection too",
     set_log_level<Log::Level::Debug>},
    {"help", 'h', nullptr, "show this text",
     set_action<Options::Action::ShowHelp>},
    {"version", 0, nullptr, "show the version",
     set_action<Options::Action::ShowVersion>},
};

/// getopt_long() returns this plus an index of kRows for a row without a
/// letter: a value that is no character.
constexpr int kFirstRow = 256;

int returned_for(const Row& row) {
    return row.letter ? row.letter
                      : kFirstRow + static_cast<int>(&row - kRows);
}

/// Returns the row of what getopt_long() returned or put into `optopt`; null if
/// that is the letter of no option.
const Row* find_row(int returned) {
    const auto row = std::find_if(
        std::begin(kRows), std::end(kRows),
        [returned](const Row& each) { return returned_for(each) == returned; });
    return row == std::end(kRows) ? nullptr : row;
}

std::vector<option> long_options() {
    std::vector<option> options;
    for (const Row& row : kRows)
        options.push_back({row.name,
                           row.value ? required_argument : no_argument, nullptr,
                           returned_for(row)});
    options.push_back({nullptr, 0, nullptr, 0});
    return options;
}

std::string short_options() {
    std::string letters = ":";  // a missing value is ':', not '?'
    for (const Row& row : kRows) {
        if (!row.letter) continue;
        letters += row.letter;
        if (row.value) letters += ':';
    }
    return letters;
}

/// Breaks a text at blanks into lines of at most `width` bytes. Puts `indent`
/// blanks before each line but the first. REQUIRES: no word is longer.
std::string wrap(const std::string& text, size_t width, size_t indent) {
    std::string wrapped;
    size_t begin = 0;
    while (text.size() - begin > width) {
        const size_t blank = text.rfind(' ', begin + width);
        wrapped += text.substr(begin, blank - begin) + "\n" +
                   std::string(indent, ' ');
        begin = blank + 1;
    }
    return wrapped + text.substr(begin) + "\n";
}

std::string help_line(const Row& row) {
    constexpr size_t kColumn = 34;
    constexpr size_t kWidth = 80 - kColumn;
    std::string line = "  ";
    if (row.letter) line += std::string("-") + row.letter + ", ";
    line += std::string("--") + row.name;
    if (row.value) line += std::string("=") + row.value;
    line.resize(kColumn, ' ');
    return line + wrap(row.help, kWidth, kColumn);
}

/// Returns how many letters must be added, removed or replaced to make one text
/// of the other.
size_t distance(std::string_view a, std::string_view b) {
    std::vector<size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), size_t{0});
    for (size_t i = 1; i <= a.size(); ++i) {
        size_t diagonal = std::exchange(row[0], i);
        for (size_t j = 1; j <= b.size(); ++j) {
            const size_t replaced = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
        }
    }
    return row.back();
}

/// `text` is a long option, maybe with a value, that getopt_long() has not
/// found, or not chosen between several that begin so.
[[noreturn]] void throw_unknown_option(const std::string& text) {
    const std::string name = text.substr(2, text.find('=') - 2);
    std::string candidates;
    const Row* nearest = kRows;
    for (const Row& row : kRows) {
        if (!name.empty() &&
            std::string_view(row.name).substr(0, name.size()) == name)
            candidates += (candidates.empty() ? "--" : " or --") +
                          std::string(row.name);
        if (distance(name, row.name) < distance(name, nearest->name))
            nearest = &row;
    }
    const std::string option = "option --" + name;
    if (!candidates.empty())
        throw UsageError("ambiguous " + option + ": " + candidates + "?");
    // Farther away nothing similar was meant.
    if (distance(name, nearest->name) > 1 + name.size() / 3)
        throw UsageError("unknown " + option);
    throw UsageError("unknown " + option + ": did you mean --" + nearest->name +
                     "?");
}

/// Throws UsageError for what getopt_long() has just refused: `returned` is ':'
/// or '?'.
[[noreturn]] void throw_bad_option(int argc, char** argv, int returned) {
    const std::string text = argv[std::min(optind, argc) - 1];
    if (returned == ':') throw UsageError("option " + text + " needs a value");
    // In a row of letters `text` is all of them, so the one is named. optopt is
    // also set if a long option was given a value that it does not take.
    const bool is_letter = optopt > 0 && optopt < kFirstRow;
    if (is_letter && !find_row(optopt))
        throw UsageError("unknown option -" + std::string(1, char(optopt)));
    if (optopt) throw UsageError("option " + text + " takes no value");
    throw_unknown_option(text);
}

/// Reads the options up to the first that asks for something else than to
/// serve, or all of them; then `optind` is the index of the host.
Parsed read_options(int argc, char** argv) {
    const std::vector<option> options = long_options();
    const std::string letters = short_options();
    Parsed parsed;
    opterr = 0;  // errors are thrown, not printed
    optind = 0;  // glibc: forgets the previous command line completely
    while (parsed.options.action == Options::Action::Serve) {
        const int returned = getopt_long(argc, argv, letters.c_str(),
                                         options.data(), nullptr);
        if (returned == -1) break;
        const Row* row = find_row(returned);
        if (!row) throw_bad_option(argc, argv, returned);
        row->apply(parsed,
                   {std::string("--") + row->name, optarg ? optarg : ""});
    }
    return parsed;
}

void read_host_and_port(int argc, char** argv, Settings& settings) {
    if (argc - optind < 2) {
        const std::string given = argc > optind ? argv[optind] : "";
        const size_t colon = given.rfind(':');
        const bool is_pair = colon != given.npos &&
                             is_decimal(given.substr(colon + 1)) &&
                             !is_ip_address(without_brackets(given));
        throw UsageError(
            "expected a host and a port, as in " +
            (is_pair ? given.substr(0, colon) + " " + given.substr(colon + 1)
                     : "localhost 9600"));
    }
    if (argc - optind > 2)
        throw UsageError("unexpected argument \"" +
                         std::string(argv[optind + 2]) + "\"");
    settings.host = parse_host(argv[optind]);
    settings.port = parse_port(argv[optind + 1]);
}

void add_tcp(Settings& settings, const std::string& address, bool optional) {
    Endpoint endpoint;
    endpoint.address = address;
    endpoint.port = settings.port;
    endpoint.optional = optional;
    settings.endpoints.push_back(endpoint);
}

/// Adds the endpoints of an IP address or of localhost. Returns false if the
/// host is any other name.
bool add_address(Settings& settings, const std::string& host) {
    if (is_ip_address(host)) {
        add_tcp(settings, host, false);
        return true;
    }
    if (!is_loopback_host(host)) return false;
    // A machine may be without IPv6, or without IPv4.
    add_tcp(settings, "127.0.0.1", true);
    add_tcp(settings, "::1", true);
    return true;
}

void add_endpoint_of_bind(Settings& settings, const std::string& text) {
    constexpr char kBind[] = "--bind";
    if (text.rfind("unix:", 0) == 0)
        settings.endpoints.push_back(parse_unix(kBind, text.substr(5)));
    else if (!add_address(settings, without_brackets(text)))
        // Of another name the addresses are unknown: it is never looked up.
        throw_bad_value(kBind, text,
                        "expected an IP address, localhost or unix:PATH");
}

void add_endpoints_of_host(Settings& settings) {
    if (add_address(settings, settings.host)) return;
    // A name may be that of a proxy, so it does not say where to listen.
    add_tcp(settings, "0.0.0.0", true);
    add_tcp(settings, "::", true);
}

/// Sets what follows from options together.
void derive(Parsed& parsed) {
    Settings& settings = parsed.options.settings;
    LimitsConfig& limits = settings.limits;
    // The tutorial announces addresses. On a public host those of visitors are
    // not for everybody.
    if (!parsed.has_announce && is_local_host(settings.host))
        settings.announce = Announce::Address;
    // The largest message must not be over another default.
    const uint64_t max_message = settings.reader_config.max_message;
    const uint64_t largest = 4 * max_message;
    if (!parsed.has_max_partial)
        limits.max_partial = std::max(limits.max_partial, largest);
    if (!parsed.has_max_logs)
        settings.max_logs = std::max(settings.max_logs, largest);
    if (!parsed.has_rate_bytes)
        limits.bytes.amount = std::max(limits.bytes.amount, max_message);
    // A room retains some of the largest messages. The number of messages
    // bounds what it retains of small ones.
    settings.rooms_config.retention.bytes = largest;
}

void check_together(const Settings& settings) {
    // A message becomes backlog after a second. If it were larger than the
    // limit, each client that has not received all of it by then would be
    // dropped.
    if (settings.max_backlog < settings.reader_config.max_message)
        throw UsageError("--max-backlog, " +
                         std::to_string(settings.max_backlog) +
                         ", must not be less than --max-message");
    if (settings.max_logs < settings.reader_config.max_message)
        throw UsageError("--max-logs, " + std::to_string(settings.max_logs) +
                         ", must not be less than --max-message");
    const uint64_t max_partial = settings.limits.max_partial;
    if (max_partial > 0 && max_partial < kMinPartials + 2 *
                                             settings.reader_config.max_message)
        throw UsageError("--max-partial, " + std::to_string(max_partial) +
                         ", must be 256K more than twice --max-message");
    // A newcomer can't be sent more than the room retains.
    const uint64_t history = settings.rooms_config.history;
    const uint64_t keep = settings.rooms_config.retention.messages;
    if (history > keep)
        throw UsageError("--history, " + std::to_string(history) +
                         ", must not be more than --keep, " +
                         std::to_string(keep));
    if (settings.tls_certificate.empty() != settings.tls_key.empty())
        throw UsageError("--tls-cert and --tls-key go together");
}

}  // namespace

std::string help_text() {
    std::string text = std::string(kUsage) + "\n" + kIntroduction;
    for (const Row& row : kRows) text += help_line(row);
    return text + "\nwschat(8) has the details.\n";
}

Options parse_options(int argc, char** argv) {
    Parsed parsed = read_options(argc, argv);
    if (parsed.options.action != Options::Action::Serve) return parsed.options;
    Settings& settings = parsed.options.settings;
    read_host_and_port(argc, argv, settings);
    for (size_t i = 0; i < parsed.binds.size(); ++i) {
        const auto end = parsed.binds.begin() + static_cast<ptrdiff_t>(i);
        if (std::find(parsed.binds.begin(), end, *end) != end)
            throw UsageError("--bind=" + *end + " is given twice");
        add_endpoint_of_bind(settings, *end);
    }
    if (parsed.binds.empty()) add_endpoints_of_host(settings);
    derive(parsed);
    check_together(settings);
    return parsed.options;
}

}  // namespace wschat
