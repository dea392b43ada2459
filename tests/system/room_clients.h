// Clients of rooms, with and without wschat.v1, and publishers over HTTP.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "daemon.h"
#include "peer.h"
#include "support.h"

namespace wschat::test {

/// Header lines for a handshake.
constexpr char kV1[] = "Sec-WebSocket-Protocol: wschat.v1\r\n";
constexpr char kDeflate[] = "Sec-WebSocket-Extensions: permessage-deflate\r\n";

/// Joins the room of this target.
Peer join_room(const Daemon& daemon, std::string_view target,
               SourceLine at = {});

/// Joins as a client that accepts deflated messages.
Peer join_with_deflate(const Daemon& daemon, std::string_view target = "/",
                       SourceLine at = {});

/// The first message to a client that speaks wschat.v1.
struct Hello {
    std::string room, epoch;
    uint64_t first = 0, last = 0, clients = 0;
    bool recovered = false;
};

/// A client that speaks wschat.v1 and has received its hello.
struct Member {
    Peer peer;
    Hello hello;
};
Member join_v1(const Daemon& daemon, std::string_view target = "/",
               std::string_view more = {}, SourceLine at = {});

/// Returns the target with which a client resumes after this number.
std::string resume_target(const Hello& hello, uint64_t number);

/// A test message that contains its number; send and expect such messages from
/// `first` to `last`.
std::string numbered_message(uint64_t number);
void send_numbered(Peer& peer, uint64_t first, uint64_t last,
                   SourceLine at = {});
void expect_numbered(Peer& peer, uint64_t first, uint64_t last,
                     SourceLine at = {});

/// Checks that no earlier message is still on its way to the peer: it sends a
/// message, and must receive that one next.
void expect_nothing_else(Peer& peer, SourceLine at = {});

/// A file with the keys of publishers.
class KeyFile {
public:
    explicit KeyFile(const std::string& content = std::string(kKey) + "\n") {
        replace(content);
    }
    void replace(const std::string& content) { write_file(path(), content); }

    std::string path() const { return scratch_ / "keys"; }
    std::string option() const { return "--publish-key=" + path(); }

    static constexpr char kKey[] = "the-publishers_key";

private:
    ScratchDirectory scratch_;
};

/// Returns the Authorization header line with this key.
std::string bearer(std::string_view key = KeyFile::kKey);

/// Returns a POST with a Host header, these header lines and this body.
std::string post_with(std::string_view lines, std::string_view body,
                      std::string_view target = "/");

/// Returns a valid POST of this body; `more` is further header lines.
std::string post(std::string_view body, std::string_view target = "/",
                 std::string_view more = {});

constexpr char kJsonLines[] = "Content-Type: application/x-ndjson\r\n";

/// The response to a publisher.
struct Receipt {
    std::string room;
    uint64_t clients = 0, number = 0;
};

/// Sends a request. Expects a well-formed receipt, and then EOF.
Receipt publish(Peer publisher, std::string_view request, SourceLine at = {});

/// Sends a request. Expects an error response with this status, and then EOF.
void expect_refused(const Daemon& daemon, std::string_view request, int status,
                    SourceLine at = {});

}  // namespace wschat::test
