#include "values.h"

#include <cstdlib>
#include <string_view>

#include "util/address.h"
#include "util/host.h"
#include "util/text.h"

namespace wschat {

namespace {

mode_t parse_mode(const std::string& text) {
    const bool octal = text.find_first_not_of("01234567") == text.npos;
    const unsigned long mode = std::strtoul(text.c_str(), nullptr, 8);
    if (text.empty() || !octal || mode > 0777)
        bad_value("mode", text, "octal digits are needed, as in 0660");
    return static_cast<mode_t>(mode);
}

}  // namespace

void bad_value(const std::string& what, const std::string& value,
               const std::string& wanted) {
    throw UsageError("bad " + what + " \"" + value + "\": " + wanted);
}

int parse_port(const std::string& text) {
    const auto port = parse_decimal(text, 65535);
    if (!port) bad_value("port", text, "a number from 0 to 65535 is needed");
    return static_cast<int>(*port);
}

uint64_t parse_count(const std::string& what, const std::string& text) {
    const auto count = parse_decimal(text, 1'000'000'000);
    if (!count) bad_value(what, text, "a number is needed");
    return *count;
}

uint64_t parse_bytes(const std::string& what, const std::string& text) {
    constexpr uint64_t kMax = uint64_t{1} << 40;
    constexpr std::string_view kSuffixes = "KMG";
    const size_t suffix =
        text.empty() ? kSuffixes.npos : kSuffixes.find(text.back());
    const bool plain = suffix == kSuffixes.npos;
    const auto number =
        parse_decimal(plain ? text : text.substr(0, text.size() - 1), kMax);
    const unsigned shift = plain ? 0 : 10 * static_cast<unsigned>(suffix + 1);
    if (!number || *number == 0 || *number > kMax >> shift)
        bad_value(what, text, "bytes are needed, as in 65536, 64K or 1M");
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
        bad_value(what, text,
                  zero_allowed ? "seconds are needed, as in 10 or 0.5"
                               : "seconds above 0 are needed, as in 10 or 0.5");
    return Seconds(number);
}

std::string parse_file(const std::string& what, const std::string& text) {
    if (text.empty()) bad_value(what, text, "a file is needed");
    return text;
}

std::string parse_host(const std::string& text) {
    const std::string host = without_brackets(text);
    if (!is_dns_name(host) && !is_ip_address(host))
        bad_value("host", text, "a name or an IP address is needed");
    return host;
}

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
            bad_value("--bind", "unix:" + text,
                      "mode=0660 or group=NAME is needed after ,");
    }
    if (endpoint.address.empty())
        bad_value("--bind", "unix:" + text, "a path is needed");
    return endpoint;
}

}  // namespace wschat
