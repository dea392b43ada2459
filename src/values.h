// What options and arguments say, read from their texts: numbers, bytes,
// seconds, hosts, sockets. Which option it is, is not known here.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

#include "settings.h"

namespace wschat {

/// Bad arguments. what() is one line.
struct UsageError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// A text that cannot be read throws UsageError, which names `what` it is.

/// Says what is wanted in place of a value.
[[noreturn]] void bad_value(const std::string& what, const std::string& value,
                            const std::string& wanted);

/// 0 to 65535.
int parse_port(const std::string& text);

/// 0 to 1,000,000,000.
uint64_t parse_count(const std::string& what, const std::string& text);

/// From 1 byte to 1 TiB, with a suffix K, M or G for KiB, MiB or GiB.
uint64_t parse_bytes(const std::string& what, const std::string& text);

/// Up to 1,000,000, with a fraction if need be.
Seconds parse_seconds(const std::string& what, const std::string& text,
                      bool zero_allowed);

/// Not empty; whether it is there is not looked at.
std::string parse_file(const std::string& what, const std::string& text);

/// A name or an IP address, which may stand in brackets. It goes into headers
/// and URLs, so nothing else may be in it.
std::string parse_host(const std::string& text);

/// PATH[,mode=0660][,group=NAME], as it follows unix: in --bind.
Endpoint parse_unix(const std::string& text);

}  // namespace wschat
