// Rooms from outside: clients that join one, what they are told first, and
// publishers over HTTP.
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

/// A client that has joined the room of this target.
Peer join_room(const Daemon& daemon, std::string_view target, Where at = {});

/// One that takes deflated messages.
Peer join_deflating(const Daemon& daemon, std::string_view target = "/",
                    Where at = {});

/// What a client that speaks wschat.v1 is told first.
struct Hello {
    std::string room, epoch;
    uint64_t first = 0, last = 0, clients = 0;
    bool recovered = false;
};

/// A client that speaks wschat.v1 and has heard its hello.
struct Member {
    Peer peer;
    Hello hello;
};
Member join_v1(const Daemon& daemon, std::string_view target = "/",
               std::string_view more = {}, Where at = {});

/// The target with which a client comes back that has everything up to this
/// number.
std::string since(const Hello& hello, uint64_t number);

/// The message by which tests know its number, and those from one to another.
std::string numbered(uint64_t number);
void say_numbered(Peer& peer, uint64_t first, uint64_t last, Where at = {});
void hears_numbered(Peer& peer, uint64_t first, uint64_t last, Where at = {});

/// The peer was sent all that was published until now, and hears nothing of
/// that any more. It says and hears a message of its own.
void hears_no_more(Peer& peer, Where at = {});

/// Keys of publishers, in a file.
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

/// The header line that shows a key.
std::string bearer(std::string_view key = KeyFile::kKey);

/// A POST with these header lines beside Host, and this body.
std::string post_with(std::string_view lines, std::string_view body,
                      std::string_view target = "/");

/// A POST of this body in due form; `more` is further header lines.
std::string post(std::string_view body, std::string_view target = "/",
                 std::string_view more = {});

constexpr char kLines[] = "Content-Type: application/x-ndjson\r\n";

/// What a publisher is told.
struct Receipt {
    std::string room;
    uint64_t clients = 0, number = 0;
};

/// Sends a request and waits for the receipt, in due form, and the end.
Receipt publish(Peer publisher, std::string_view request, Where at = {});

/// Sends a request and waits for the refusal and the end.
void is_refused(const Daemon& daemon, std::string_view request, int status,
                Where at = {});

}  // namespace wschat::test
