// Reads the values of options and arguments: numbers, bytes, seconds, hosts,
// unix sockets. Does not know what an option means: callers pass its name, for
// errors.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

#include "limits_config.h"
#include "net/endpoint.h"
#include "util/clock.h"

namespace wschat {

/// A mistake on the command line. what() is one line.
struct UsageError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// Each parse function throws UsageError if it can't read the text. `name` is
// the option or argument that the text was given for, as in "--keep".

/// Throws UsageError: bad NAME "TEXT": WANTED. `wanted` says what is needed.
[[noreturn]] void throw_bad_value(const std::string& name,
                                  const std::string& text,
                                  const std::string& wanted);

/// Reads a TCP port, 0 to 65535.
int parse_port(const std::string& text);

/// Reads a number from 0 to 1,000,000,000.
uint64_t parse_count(const std::string& name, const std::string& text);

/// Reads 1 byte to 1 TiB; a suffix K, M or G stands for KiB, MiB or GiB.
uint64_t parse_bytes(const std::string& name, const std::string& text);

/// Reads a span of time up to 1,000,000 seconds, perhaps with a fraction, as in
/// 10 or 0.5. It must be at least 0.001: less is no time at all for the loop,
/// and what is below a nanosecond would become 0 as a Duration.
Seconds parse_seconds(const std::string& name, const std::string& text);

/// The same, but 0 is allowed too.
Seconds parse_seconds_or_zero(const std::string& name, const std::string& text);

/// Reads a rate, NUMBER/SECONDS; the number is read by `parse_number`, so it is
/// one of parse_count() or parse_bytes(). 0 alone is no limit.
Rate parse_rate(const std::string& name, const std::string& text,
                uint64_t parse_number(const std::string&, const std::string&));

/// Reads the path of a file, which must not be empty. Does not look for the
/// file.
std::string parse_file(const std::string& name, const std::string& text);

/// Reads a DNS name or an IP address, which may be in brackets and is returned
/// without them. The host is copied into headers and URLs, so it can have no
/// other bytes.
std::string parse_host(const std::string& text);

/// Reads the part after unix: of an address to listen on:
/// PATH[,mode=0660][,group=NAME]. Does not look for the group.
Endpoint parse_unix(const std::string& name, const std::string& text);

}  // namespace wschat
