#include "option_values.h"

#include <charconv>
#include <cstdlib>
#include <string_view>
#include <system_error>

#include "util/address.h"
#include "util/host.h"
#include "util/text.h"

namespace wschat {

namespace {

constexpr double kMinSeconds = 0.001;
constexpr double kMaxSeconds = 1e6;

/// Returns the number that the text is; a negative one if it is none.
double read_seconds(const std::string& name, const std::string& text) {
    char* end = nullptr;
    const double number = std::strtod(text.c_str(), &end);
    // strtod() also reads "inf", "nan", hexadecimal digits and leading space.
    const bool decimal = text.find_first_not_of("0123456789.") == text.npos;
    if (text.empty() || *end || !decimal) return -1;
    if (number > kMaxSeconds)
        throw_bad_value(name, text, "at most 1000000 seconds are allowed");
    return number;
}

mode_t parse_mode(const std::string& name, const std::string& text) {
    unsigned mode = 0;
    const char* const end = text.data() + text.size();
    const auto result = std::from_chars(text.data(), end, mode, 8);
    if (result.ec != std::errc() || result.ptr != end || mode > 0777)
        throw_bad_value("mode of " + name, text,
                        "expected octal digits up to 0777, as in 0660");
    return static_cast<mode_t>(mode);
}

}  // namespace

void throw_bad_value(const std::string& name, const std::string& text,
                     const std::string& wanted) {
    throw UsageError("bad " + name + " \"" + text + "\": " + wanted);
}

int parse_port(const std::string& text) {
    // 0 is allowed: tests, and several daemons on a machine, let the kernel
    // choose.
    const auto port = parse_decimal(text, 65535);
    if (!port)
        throw_bad_value("port", text, "expected a number from 0 to 65535");
    return static_cast<int>(*port);
}

uint64_t parse_count(const std::string& name, const std::string& text) {
    const auto count = parse_decimal(text, 1'000'000'000);
    if (count) return *count;
    throw_bad_value(name, text,
                    is_decimal(text) ? "at most 1000000000 is allowed"
                                     : "expected a number");
}

uint64_t parse_bytes(const std::string& name, const std::string& text) {
    constexpr uint64_t kMax = uint64_t{1} << 40;
    constexpr std::string_view kSuffixes = "KMG";
    std::string_view digits = text;
    unsigned shift = 0;
    if (!text.empty() && kSuffixes.find(text.back()) != kSuffixes.npos) {
        shift = 10 * static_cast<unsigned>(kSuffixes.find(text.back()) + 1);
        digits.remove_suffix(1);
    }
    // Compared before it is shifted, which could overflow.
    const auto number = parse_decimal(digits, kMax >> shift);
    if (!number && is_decimal(digits))
        throw_bad_value(name, text, "at most 1024G is allowed");
    if (!number || *number == 0)
        throw_bad_value(name, text, "expected bytes, as in 65536, 64K or 1M");
    return *number << shift;
}

Seconds parse_seconds(const std::string& name, const std::string& text) {
    const double number = read_seconds(name, text);
    // 0 is a number of seconds, so the text must say why it is refused.
    if (number < kMinSeconds)
        throw_bad_value(name, text,
                        "expected at least 0.001 seconds, as in 10 or 0.5");
    return Seconds(number);
}

Seconds parse_seconds_or_zero(const std::string& name,
                              const std::string& text) {
    const double number = read_seconds(name, text);
    if (number < 0)
        throw_bad_value(name, text, "expected seconds, as in 10 or 0.5");
    if (number > 0 && number < kMinSeconds)
        throw_bad_value(name, text, "expected 0 or at least 0.001 seconds");
    return Seconds(number);
}

Rate parse_rate(const std::string& name, const std::string& text,
                uint64_t parse_number(const std::string&,
                                      const std::string&)) {
    if (text == "0") return {};
    const size_t slash = text.find('/');
    if (slash == text.npos)
        throw_bad_value(name, text, "expected NUMBER/SECONDS, or 0");
    const uint64_t amount = parse_number(name, text.substr(0, slash));
    if (amount == 0)
        throw_bad_value(name, text, "expected a number above 0, or 0 alone");
    return {amount, parse_seconds(name, text.substr(slash + 1))};
}

std::string parse_file(const std::string& name, const std::string& text) {
    if (text.empty()) throw_bad_value(name, text, "expected a file");
    return text;
}

std::string parse_host(const std::string& text) {
    const std::string host = without_brackets(text);
    if (!is_dns_name(host) && !is_ip_address(host))
        throw_bad_value("host", text, "expected a name or an IP address");
    return host;
}

Endpoint parse_unix(const std::string& name, const std::string& text) {
    Endpoint endpoint;
    endpoint.is_unix = true;
    std::string_view rest = text;
    endpoint.address = take_until(rest, ',');
    // Behind a comma at the very end there is an empty part, which is refused.
    bool more = endpoint.address.size() < text.size();
    while (more) {
        more = rest.find(',') != rest.npos;
        const std::string part(take_until(rest, ','));
        if (part.rfind("mode=", 0) == 0)
            endpoint.mode = parse_mode(name, part.substr(5));
        else if (part.rfind("group=", 0) == 0 && part.size() > 6)
            endpoint.group = part.substr(6);
        else
            throw_bad_value(name, "unix:" + text,
                            "expected mode=0660 or group=NAME after the comma");
    }
    if (endpoint.address.empty())
        throw_bad_value(name, "unix:" + text, "expected a path");
    return endpoint;
}

}  // namespace wschat
