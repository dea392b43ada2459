#include "options.h"

#include <algorithm>
#include <cstring>

#include <getopt.h>

#include "util/address.h"
#include "http/origin.h"
#include "util/host.h"

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
  --max-rooms=NUMBER          error_response to make more rooms [10000]
  --keep=NUMBER[,SECONDS]     messages kept in a room for clients that come
                              back, and for how long [1000,600]
  --keep-total=BYTES          most that all rooms keep together [64M]
  --history=NUMBER            kept messages that any newcomer gets [0]
  --publish-key=FILE          take messages by POST from who shows a key in
                              this file; SIGHUP loads it anew
  --relay-system              let clients send messages of type "system"
  --no-raw                    take no raw JSON, only WebSocket frames
  --no-deflate                compress nothing, neither way
  --no-page                   serve neither the chat page nor wschat.js
  --no-uring                  send by a system call each, not by io_uring
  --max-message=BYTES         largest message; suffix K, M or G [1M]
  --max-backlog=BYTES         drop a client that is further behind [4M]
  --handshake-timeout=SECONDS for a request to be complete [10]
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
        bad_value("--bind", text,
                  "an IP address, localhost or unix:PATH is needed");
    }
}

Announce parse_announce(const std::string& text) {
    if (text == "address") return Announce::Address;
    if (text == "count") return Announce::Count;
    if (text == "none") return Announce::None;
    bad_value("--announce", text, "address, count or none is needed");
}

/// NUMBER[,SECONDS]
void parse_keep(RetentionConfig& keep, const std::string& text) {
    const size_t comma = text.find(',');
    keep.messages = parse_count("--keep", text.substr(0, comma));
    if (comma == text.npos) return;
    const Seconds time =
        parse_seconds("--keep", text.substr(comma + 1), false);
    keep.time = to_duration(time);
}

std::string parse_admitted(const std::string& text) {
    const auto origin = parse_origin(text);
    if (!origin)
        bad_value("--origin", text,
                  "scheme://host[:port], null or * is needed");
    return *origin;
}

void trust(AddressSet& proxies, const std::string& text) {
    if (!proxies.add(text))
        bad_value("--trust-proxy", text,
                  "an address, a network such as 10.0.0.0/8, loopback or unix "
                  "is needed");
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
    RoomsConfig& rules = settings.room_rules;
    switch (found) {
        case kRooms: settings.rooms = true; return true;
        case kMaxRooms:
            rules.most = parse_count("--max-rooms", value);
            if (rules.most == 0)
                bad_value("--max-rooms", value, "at least one is needed");
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
        throw UsageError("unexpected argument \"" +
                         std::string(argv[optind + 2]) + "\"");
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
        throw UsageError("--max-backlog, " +
                         std::to_string(settings.max_backlog) +
                         ", must not be less than --max-message");
    if (settings.tls_certificate.empty() != settings.tls_key.empty())
        throw UsageError("--tls-cert and --tls-key go together");
    return options;
}

}  // namespace wschat
