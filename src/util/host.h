// Hosts: names and IP addresses as texts. Three sources need three grammars,
// each stricter than the one before:
//
// - A Host header may hold any name that a client has for this server; it only
//   has to be one host with an optional port (RFC 9112, section 3.2). Names
//   that no DNS server knows, and those in UTF-8, must be answered.
// - An Origin comes from a browser, which writes hosts in printable ASCII. It
//   is split into scheme, host and port, so its host has no byte that separates
//   parts of a URL or elements of a list.
// - The host on the command line is copied into headers and URLs, and decides
//   where to listen, so it must be a name that DNS can resolve.
//
// Also the forms of a host with a port or in brackets. No sockets.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace wschat {

/// True if the text may be the value of a Host header: not empty, and without
/// blanks and the bytes that separate a host from other parts of a URL or from
/// another element of a list. Control bytes are not looked for, since the
/// reader of request heads refuses them.
bool is_host_header(std::string_view text);

/// True if the text may be the host of an Origin: an IP address without
/// brackets, or printable ASCII without separators.
bool is_origin_host(const std::string& text);

/// True if the text may be a name in DNS: letters, digits, hyphens, dots and
/// underscores, perhaps with the root's dot at the end. False if a label is
/// empty, or if the last one is a number, because that is a mistyped IP address
/// (RFC 1123, section 2.1).
bool is_dns_name(std::string_view text);

/// Returns the text without the brackets that an IPv6 address has in URLs, if
/// it has them.
std::string without_brackets(const std::string& text);

/// True if the name or address always means this machine: localhost, in upper
/// or lower case, or a loopback address.
bool is_loopback_host(const std::string& host);

/// True for the host of a development machine, as the tutorial's server tells
/// it: a loopback host, or a name with "local." in it, in upper or lower case.
bool is_development_host(const std::string& host);

/// True for a host that only this machine or its network reaches: that of a
/// development machine, or a private or link-local address.
bool is_local_host(const std::string& host);

/// Returns a host as it is written in a URL: IPv6 addresses in brackets.
std::string host_in_url(const std::string& host);

/// Returns the part before an optional port, without brackets: the host of
/// "example.com:80" or "[::1]:80". Returns nothing if the text does not have
/// this form. Does not check the bytes of the host.
std::optional<std::string> host_before_port(std::string_view text);

}  // namespace wschat
