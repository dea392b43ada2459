#include "options.h"

#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <optional>
#include <string_view>

#include <getopt.h>

#include "address.h"
#include "origin.h"

namespace wschat {

const char kVersion[] = "0.1.0";
const char kUsage[] = "usage: wschat [options] host port";

namespace {

constexpr char kHelp[] = R"(
Relays JSON messages between everyone who is connected by WebSocket.
host is the name that clients use; if it is an IP address or localhost,
wschat listens there, otherwise on all addresses. Port 0 takes a free one.

  --bind=ADDRESS              listen here instead (repeatable): an IP address,
                              localhost, or unix:PATH[,mode=0660][,group=NAME]
  --tls-cert=FILE             speak wss:// and https:// with this certificate
  --tls-key=FILE              and key (PEM); SIGHUP loads both anew
  --trust-proxy=CIDR          take visitors' addresses from X-Forwarded-For of
                              such peers (repeatable; also loopback, unix)
  --origin=ORIGIN             admit pages from there too (repeatable):
                              scheme://host[:port], null for files, * for any
  --announce=WHAT             tell everyone who joins and leaves: address,
                              count (how many are there) or none [address]
  --rooms                     each path is a room of its own
  --max-rooms=NUMBER          refuse to make more rooms [10000]
  --keep=NUMBER[,SECONDS]     messages kept in a room for clients that come
                              back, and for how long [1000,600]
  --keep-total=BYTES          most that all rooms keep together [64M]
  --history=NUMBER            kept messages that any newcomer gets [0]
  --publish-key=FILE          take messages by POST from who shows a key in
                              this file; SIGHUP loads it anew
  --relay-system              let clients send messages of type "system"
  --no-raw                    take no raw JSON, only WebSocket frames
  --no-deflate                compress nothing, neither way
  --no-page                   serve no chat page, only WebSockets
  --no-uring                  send by a system call each, not by io_uring
  --max-message=BYTES         largest message; suffix K, M or G [1M]
  --max-backlog=BYTES         drop a client that is further behind [4M]
  --handshake-timeout=SECONDS [10]
  --stall-timeout=SECONDS     drop a client that takes nothing for so long [30]
  --close-timeout=SECONDS     for a connection to end properly [5]
  --ping-interval=SECONDS     0 is off [25]
  -q, --quiet                 log errors only
  -v, --verbose               log the details of every connection
  -h, --help                  show this
      --version               show the version

wschat(8) has the details.
)";

enum LongOption {
    kAnnounce = 256,
    kBind,
    kCloseTimeout,
    kHandshakeTimeout,
    kHistory,
    kKeep,
    kKeepTotal,
    kMaxBacklog,
    kMaxMessage,
    kMaxRooms,
    kNoDeflate,
    kNoPage,
    kNoRaw,
    kNoUring,
    kOrigin,
    kPingInterval,
    kPublishKey,
    kRelaySystem,
    kRooms,
    kStallTimeout,
    kShowVersion,
    kTlsCert,
    kTlsKey,
    kTrustProxy
};

constexpr char kShortOptions[] = ":hqv";

const option kLongOptions[] = {
    {"announce", required_argument, nullptr, kAnnounce},
    {"bind", required_argument, nullptr, kBind},
    {"close-timeout", required_argument, nullptr, kCloseTimeout},
    {"handshake-timeout", required_argument, nullptr, kHandshakeTimeout},
    {"help", no_argument, nullptr, 'h'},
    {"history", required_argument, nullptr, kHistory},
    {"keep", required_argument, nullptr, kKeep},
    {"keep-total", required_argument, nullptr, kKeepTotal},
    {"max-backlog", required_argument, nullptr, kMaxBacklog},
    {"max-message", required_argument, nullptr, kMaxMessage},
    {"max-rooms", required_argument, nullptr, kMaxRooms},
    {"no-deflate", no_argument, nullptr, kNoDeflate},
    {"no-page", no_argument, nullptr, kNoPage},
    {"no-raw", no_argument, nullptr, kNoRaw},
    {"no-uring", no_argument, nullptr, kNoUring},
    {"origin", required_argument, nullptr, kOrigin},
    {"ping-interval", required_argument, nullptr, kPingInterval},
    {"publish-key", required_argument, nullptr, kPublishKey},
    {"quiet", no_argument, nullptr, 'q'},
    {"relay-system", no_argument, nullptr, kRelaySystem},
    {"rooms", no_argument, nullptr, kRooms},
    {"stall-timeout", required_argument, nullptr, kStallTimeout},
    {"tls-cert", required_argument, nullptr, kTlsCert},
    {"tls-key", required_argument, nullptr, kTlsKey},
    {"trust-proxy", required_argument, nullptr, kTrustProxy},
    {"verbose", no_argument, nullptr, 'v'},
    {"version", no_argument, nullptr, kShowVersion},
    {nullptr, 0, nullptr, 0}};

[[noreturn]] void bad(const std::string& what, const std::string& value,
                      const std::string& wanted) {
    throw UsageError("bad " + what + " \"" + value + "\": " + wanted);
}

/// A whole decimal number up to `max`, nothing around it.
std::optional<uint64_t> parse_number(const std::string& text, uint64_t max) {
    if (text.empty() || text.find_first_not_of("0123456789") != text.npos)
        return std::nullopt;
    errno = 0;
    const unsigned long long number = std::strtoull(text.c_str(), nullptr, 10);
    if (errno || number > max) return std::nullopt;
    return number;
}

int parse_port(const std::string& text) {
    const auto port = parse_number(text, 65535);
    if (!port) bad("port", text, "a number from 0 to 65535 is needed");
    return static_cast<int>(*port);
}

uint64_t parse_bytes(const std::string& what, const std::string& text) {
    constexpr uint64_t kMax = uint64_t{1} << 40;
    constexpr std::string_view kSuffixes = "KMG";
    const size_t suffix =
        text.empty() ? kSuffixes.npos : kSuffixes.find(text.back());
    const bool plain = suffix == kSuffixes.npos;
    const auto number =
        parse_number(plain ? text : text.substr(0, text.size() - 1), kMax);
    const unsigned shift = plain ? 0 : 10 * static_cast<unsigned>(suffix + 1);
    if (!number || *number == 0 || *number > kMax >> shift)
        bad(what, text, "bytes are needed, as in 65536, 64K or 1M");
    return *number << shift;
}

Seconds parse_seconds(const std::string& what, const std::string& text,
                      bool zero_allowed) {
    constexpr double kMax = 1e6;
    char* end = nullptr;
    const double number = std::strtod(text.c_str(), &end);
    // strtod also takes "inf", "nan", hexadecimal and leading space.
    const bool decimal = text.find_first_not_of("0123456789.") == text.npos;
    if (text.empty() || *end || !decimal || number > kMax ||
        (number <= 0 && !zero_allowed))
        bad(what, text, "seconds are needed, as in 10 or 0.5");
    return Seconds(number);
}

std::string without_brackets(const std::string& text) {
    const bool bracketed =
        text.size() > 2 && text.front() == '[' && text.back() == ']';
    return bracketed ? text.substr(1, text.size() - 2) : text;
}

/// Whether a text can be a host name, perhaps with the root's dot. One whose
/// last label is a number is a mistyped address (RFC 1123, section 2.1): it
/// must not bind them all.
bool is_host_name(std::string text) {
    if (!text.empty() && text.back() == '.') text.pop_back();
    const std::string label = text.substr(text.rfind('.') + 1);
    return text.find_first_not_of("abcdefghijklmnopqrstuvwxyz"
                                  "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._") ==
               text.npos &&
           label.find_first_not_of("0123456789") != label.npos;
}

/// A host goes into headers and URLs, so nothing else may be in it.
std::string parse_host(const std::string& text) {
    const std::string host = without_brackets(text);
    if (!is_host_name(host) && !is_ip_address(host))
        bad("host", text, "a name or an IP address is needed");
    return host;
}

mode_t parse_mode(const std::string& text) {
    const bool octal = text.find_first_not_of("01234567") == text.npos;
    const unsigned long mode = std::strtoul(text.c_str(), nullptr, 8);
    if (text.empty() || !octal || mode > 0777)
        bad("mode", text, "octal digits are needed, as in 0660");
    return static_cast<mode_t>(mode);
}

/// PATH[,mode=0660][,group=NAME]
Endpoint parse_unix(const std::string& text) {
    Endpoint endpoint;
    endpoint.is_unix = true;
    size_t comma = text.find(',');
    endpoint.address = text.substr(0, comma);
    while (comma != text.npos) {
        const size_t start = comma + 1;
        comma = text.find(',', start);
        const std::string part = text.substr(start, comma - start);
        if (part.rfind("mode=", 0) == 0)
            endpoint.mode = parse_mode(part.substr(5));
        else if (part.rfind("group=", 0) == 0 && part.size() > 6)
            endpoint.group = part.substr(6);
        else
            bad("--bind", "unix:" + text, "mode=0660 or group=NAME is needed after ,");
    }
    if (endpoint.address.empty())
        bad("--bind", "unix:" + text, "a path is needed");
    return endpoint;
}

void add_tcp(Settings& settings, const std::string& address, bool optional) {
    Endpoint endpoint;
    endpoint.address = address;
    endpoint.port = settings.port;
    endpoint.optional = optional;
    settings.endpoints.push_back(endpoint);
}

/// Adds the addresses that --bind, or else the host, stands for.
void add_endpoints(Settings& settings, const std::string& text, bool is_host) {
    const std::string host = without_brackets(text);
    if (text.rfind("unix:", 0) == 0 && !is_host) {
        settings.endpoints.push_back(parse_unix(text.substr(5)));
    } else if (is_ip_address(host)) {
        add_tcp(settings, host, false);
    } else if (is_loopback_host(host)) {
        add_tcp(settings, "127.0.0.1", true);
        add_tcp(settings, "::1", true);
    } else if (is_host) {
        add_tcp(settings, "0.0.0.0", true);
        add_tcp(settings, "::", true);
    } else {
        bad("--bind", text, "an IP address, localhost or unix:PATH is needed");
    }
}

Announce parse_announce(const std::string& text) {
    if (text == "address") return Announce::Address;
    if (text == "count") return Announce::Count;
    if (text == "none") return Announce::None;
    bad("--announce", text, "address, count or none is needed");
}

uint64_t parse_count(const std::string& what, const std::string& text) {
    const auto count = parse_number(text, 1'000'000'000);
    if (!count) bad(what, text, "a number is needed");
    return *count;
}

/// NUMBER[,SECONDS]
void parse_keep(KeepRules& keep, const std::string& text) {
    const size_t comma = text.find(',');
    keep.messages = parse_count("--keep", text.substr(0, comma));
    if (comma == text.npos) return;
    const Seconds time =
        parse_seconds("--keep", text.substr(comma + 1), false);
    using Clock = std::chrono::steady_clock;
    keep.time = std::chrono::duration_cast<Clock::duration>(time);
}

std::string parse_admitted(const std::string& text) {
    const auto origin = parse_origin(text);
    if (!origin)
        bad("--origin", text, "scheme://host[:port], null or * is needed");
    return *origin;
}

void trust(AddressSet& proxies, const std::string& text) {
    if (!proxies.add(text))
        bad("--trust-proxy", text,
            "an address, a network such as 10.0.0.0/8, loopback or unix is "
            "needed");
}

std::string parse_file(const std::string& what, const std::string& text) {
    if (text.empty()) bad(what, text, "a file is needed");
    return text;
}

[[noreturn]] void refuse_option(int argc, char** argv, int found) {
    const std::string text = argv[std::min(optind, argc) - 1];
    if (found == ':') throw UsageError("option " + text + " needs a value");
    // A long option's short form is there too if it was given a value.
    const bool letter = optopt > 0 && optopt < kAnnounce;
    if (letter && !std::strchr(kShortOptions, optopt))
        throw UsageError("unknown option -" + std::string(1, char(optopt)));
    if (optopt) throw UsageError("option " + text + " takes no value");
    throw UsageError("unknown or ambiguous option " + text);
}

/// Takes an option about rooms. False if it is none.
bool take_room_option(int found, const std::string& value,
                      Settings& settings) {
    RoomRules& rules = settings.room_rules;
    switch (found) {
        case kRooms: settings.rooms = true; return true;
        case kMaxRooms:
            rules.most = parse_count("--max-rooms", value);
            if (rules.most == 0)
                bad("--max-rooms", value, "at least one is needed");
            return true;
        case kKeep: parse_keep(rules.keep, value); return true;
        case kKeepTotal:
            rules.keep_total = parse_bytes("--keep-total", value);
            return true;
        case kHistory:
            rules.history = parse_count("--history", value);
            return true;
        case kPublishKey:
            settings.publish_key = parse_file("--publish-key", value);
            return true;
        default: return false;
    }
}

/// Takes a limit. False if it is none.
bool take_limit(int found, const std::string& value, Settings& settings) {
    switch (found) {
        case kMaxMessage:
            settings.rules.max_message = parse_bytes("--max-message", value);
            return true;
        case kMaxBacklog:
            settings.max_backlog = parse_bytes("--max-backlog", value);
            return true;
        case kHandshakeTimeout:
            settings.handshake_timeout =
                parse_seconds("--handshake-timeout", value, false);
            return true;
        case kStallTimeout:
            settings.stall_timeout =
                parse_seconds("--stall-timeout", value, false);
            return true;
        case kCloseTimeout:
            settings.close_timeout =
                parse_seconds("--close-timeout", value, false);
            return true;
        case kPingInterval:
            settings.ping_interval =
                parse_seconds("--ping-interval", value, true);
            return true;
        default: return false;
    }
}

void take_option(int found, const std::string& value, Options& options) {
    Settings& settings = options.settings;
    switch (found) {
        case kAnnounce: settings.announce = parse_announce(value); break;
        case kRelaySystem: settings.relay_system = true; break;
        case kNoDeflate: settings.deflate = false; break;
        case kNoPage: settings.page = false; break;
        case kNoUring: settings.uring = false; break;
        case kNoRaw: settings.rules.raw_json = false; break;
        case kOrigin: settings.origins.push_back(parse_admitted(value)); break;
        case kTlsCert:
            settings.tls_certificate = parse_file("--tls-cert", value);
            break;
        case kTlsKey: settings.tls_key = parse_file("--tls-key", value); break;
        case kTrustProxy: trust(settings.trusted_proxies, value); break;
        case 'q': options.log_level = Log::Level::Error; break;
        case 'v': options.log_level = Log::Level::Debug; break;
        case 'h': options.action = Options::Action::ShowHelp; break;
        case kShowVersion:
            options.action = Options::Action::ShowVersion;
            break;
        default:
            if (!take_room_option(found, value, settings))
                take_limit(found, value, settings);
    }
}

void take_host_and_port(int argc, char** argv, Settings& settings) {
    if (argc - optind < 2) throw UsageError("a host and a port are needed");
    if (argc - optind > 2)
        throw UsageError("what is \"" + std::string(argv[optind + 2]) +
                         "\" for, behind host and port?");
    settings.host = parse_host(argv[optind]);
    settings.port = parse_port(argv[optind + 1]);
}

}  // namespace

std::string help_text() { return std::string(kUsage) + "\n" + kHelp; }

Options parse_options(int argc, char** argv) {
    Options options;
    Settings& settings = options.settings;
    std::vector<std::string> binds;
    opterr = 0;
    optind = 0;  // glibc: forgets a former call wholly
    int found;
    while ((found = getopt_long(argc, argv, kShortOptions, kLongOptions,
                                nullptr)) != -1) {
        if (found == '?' || found == ':') refuse_option(argc, argv, found);
        if (found == kBind)
            binds.push_back(optarg);
        else
            take_option(found, optarg ? optarg : "", options);
        if (options.action != Options::Action::Serve) return options;
    }
    take_host_and_port(argc, argv, settings);
    for (const std::string& bind : binds) add_endpoints(settings, bind, false);
    if (binds.empty()) add_endpoints(settings, settings.host, true);
    if (settings.max_backlog < settings.rules.max_message)
        throw UsageError("--max-backlog must not be less than --max-message");
    if (settings.tls_certificate.empty() != settings.tls_key.empty())
        throw UsageError("--tls-cert and --tls-key go together");
    return options;
}

}  // namespace wschat
