// Publishing by POST: who may, what, to which room, and what is refused.
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "daemon.h"
#include "peer.h"
#include "proc.h"
#include "room_clients.h"
#include "tls_tunnel.h"

using namespace wschat::test;

namespace {

const std::string kLength3 = "Content-Length: 3\r\n";

// Nothing else was published to the room of this client.
void check_nothing_published(Peer& client, Where at = {}) {
    hears_no_more(client, at);
}

// Sends a request, and a good one right after it, of which nothing may come.
void check_smuggles_nothing(const Daemon& daemon, Peer& client,
                            const std::string& request, int status,
                            Where at = {}) {
    Peer publisher(daemon, at);
    publisher.send(request + post("\"smuggled\""), at);
    publisher.is_refused(status, at);
    check_nothing_published(client, at);
}

void check_cannot_start(const std::string& path, const std::string& part) {
    const Outcome outcome =
        run(command({"--publish-key=" + path, "127.0.0.1", "0"}));
    CAPTURE(outcome.err);
    CHECK(outcome.status == 1);
    CHECK(outcome.err.find(part) != std::string::npos);
    CHECK(count(outcome.err, "\n") == 1);
    CHECK(count(outcome.err, "listening") == 0);
}

}  // namespace

TEST_CASE("what is posted goes to everyone, and its publisher is told so") {
    KeyFile keys;
    Daemon daemon({keys.option()});
    std::vector<Peer> peers = join(daemon, 3);
    Peer publisher(daemon);
    publisher.send(post(" {\"a\": [1] }\n"));
    const ReceivedResponse answer = publisher.answer();
    CHECK(answer.status == 200);
    CHECK(answer.body == "{\"room\":\"/\",\"clients\":3,\"number\":1}\n");
    CHECK(answer.header("Content-Type") == "application/json");
    CHECK(answer.header("Connection") == "close");
    publisher.hears_end();
    for (Peer& peer : peers) peer.hears(" {\"a\": [1] }\n");
    CHECK(publish(Peer(daemon), post("[2]")).number == 2);
    for (Peer& peer : peers) peer.hears("[2]");
}

TEST_CASE("what is posted to a room goes there alone") {
    KeyFile keys;
    Daemon daemon({"--rooms", keys.option()});
    Peer ann = join_room(daemon, "/");
    Peer bob = join_room(daemon, "/a+b");
    Peer carl = join_room(daemon, "/a%20b");
    const Receipt receipt = publish(Peer(daemon), post("[1]", "/a%20b?x=1"));
    CHECK(receipt.room == "/a b");
    CHECK(receipt.clients == 1);
    carl.hears("[1]");
    CHECK(publish(Peer(daemon), post("[2]")).room == "/");
    ann.hears("[2]");
    for (Peer* peer : {&ann, &bob, &carl}) hears_no_more(*peer);
}

TEST_CASE("without --rooms any path will do") {
    KeyFile keys;
    Daemon daemon({keys.option()});
    Peer ann = join(daemon);
    CHECK(publish(Peer(daemon), post("[1]", "/publish")).room == "/");
    ann.hears("[1]");
}

TEST_CASE("a publisher may speak for the system, and for nothing else") {
    KeyFile keys;
    Daemon daemon({keys.option()});
    Peer ann = join(daemon);
    publish(Peer(daemon), post(R"({"type":"system","message":"hi"})"));
    ann.hears(R"({"type":"system","message":"hi"})");
    for (const char* type : {"error", "hello", "ping", "pong"})
        is_refused(daemon, post("{\"type\":\"" + std::string(type) + "\"}"),
                   400);
    check_nothing_published(ann);
}

TEST_CASE("what is not relayed is refused with the reason") {
    KeyFile keys;
    Daemon daemon({keys.option()});
    Peer ann = join(daemon);
    const auto why = [&](const std::string& body) {
        Peer publisher(daemon);
        publisher.send(post(body));
        const ReceivedResponse answer = publisher.answer();
        CHECK(answer.status == 400);
        return answer.body;
    };
    CHECK(why("[1,]").find(" at byte 3\n") != std::string::npos);
    CHECK(why("{\"type\":\"pong\"}") ==
          "not relayed: the type \"pong\" is reserved\n");
    CHECK(why("\"\xC3\"") == "not relayed: malformed UTF-8\n");
    CHECK(why("\"\xED\xA0\x80\"") == "not relayed: malformed UTF-8\n");
    for (const char* body : {"", " ", "\n", "null", "false", "0", "\"\"", "[]",
                             "[1]\n[2]", "[1][2]"})
        CHECK(why(body).rfind("not relayed: ", 0) == 0);
    check_nothing_published(ann);
    CHECK(publish(Peer(daemon), post("[1]")).number == 2);
}

TEST_CASE("who shows no key, or none of these, is refused") {
    KeyFile keys;
    Daemon daemon({keys.option()});
    Peer ann = join(daemon);
    const std::string key = KeyFile::kKey;
    for (const std::string& lines : std::vector<std::string>{
             "", "Authorization: Bearer\r\n", "Authorization: Bearer \r\n",
             bearer(key + "x"), bearer(key.substr(1)),
             bearer(key.substr(0, key.size() - 1)), bearer(key + " " + key),
             "Authorization: " + key + "\r\n",
             "Authorization: Basic " + key + "\r\n",
             "Authorization: Bearer\t" + key + "\r\n", bearer() + bearer(),
             bearer() + bearer("another")}) {
        CAPTURE(lines);
        Peer publisher(daemon);
        publisher.send(post_with(lines + kLength3, "[1]"));
        const ReceivedResponse answer = publisher.answer();
        CHECK(answer.status == 401);
        CHECK(answer.header("WWW-Authenticate") == "Bearer");
        publisher.hears_end();
    }
    check_nothing_published(ann);
    publish(
        Peer(daemon),
        post_with("authorization: bEARER  " + key + "\r\n" + kLength3, "[1]"));
    ann.hears("[1]");
}

TEST_CASE("without --publish-key nobody publishes") {
    Daemon daemon;
    Peer ann = join(daemon);
    is_refused(daemon, post("[1]"), 403);
    is_refused(daemon, post_with(kLength3, "[1]"), 403);
    check_nothing_published(ann);
}

TEST_CASE("both of two keys publish") {
    KeyFile keys("the-first-of-the-keys\n\n  the-second+of/keys==\n\n");
    Daemon daemon({keys.option()});
    for (const char* key : {"the-first-of-the-keys", "the-second+of/keys=="})
        publish(Peer(daemon), post_with(bearer(key) + kLength3, "[1]"));
    is_refused(daemon, post("[1]"), 401);
}

TEST_CASE("a file without good keys ends the start with one line") {
    KeyFile keys;
    check_cannot_start(keys.path() + "-none", "No such file");
    for (const std::string& content : std::vector<std::string>{
             "\n", "a-good-key-for-all-of-us\nfifteen-letters\n",
             "a-key-with-a-blank in-it\n",
             "the-first-of-three\nthe-second-of-three\nthe-third-of-three\n"}) {
        keys.replace(content);
        check_cannot_start(keys.path(), keys.path());
    }
    keys.replace("sixteen-letters.");
    Daemon daemon({keys.option()});
    publish(Peer(daemon),
            post_with(bearer("sixteen-letters.") + kLength3, "[1]"));
}

TEST_CASE("SIGHUP loads the keys anew, and a broken file changes nothing") {
    KeyFile keys;
    Daemon daemon({keys.option()});
    Peer ann = join(daemon);
    keys.replace("another-key-of-theirs\n");
    daemon.signal(SIGHUP);
    daemon.wait_log("SIGHUP: reloaded the keys");
    const std::string request =
        post_with(bearer("another-key-of-theirs") + kLength3, "[1]");
    is_refused(daemon, post("[1]"), 401);
    publish(Peer(daemon), request);
    ann.hears("[1]");
    keys.replace("short\n");
    daemon.signal(SIGHUP);
    daemon.wait_log("; keeping the former keys");
    publish(Peer(daemon), request);
    is_refused(daemon, post("[1]"), 401);
    ann.hears("[1]");
    hears_no_more(ann);
    CHECK(count(daemon.log(), "short\n") == 0);
}

TEST_CASE("a body needs a length, and no transfer coding will do") {
    KeyFile keys;
    Daemon daemon({keys.option()});
    Peer ann = join(daemon);
    is_refused(daemon, post_with(bearer(), ""), 411);
    for (const char* coding : {"chunked", "gzip, chunked", "identity", ""})
        check_smuggles_nothing(
            daemon, ann,
            post_with(bearer() + "Transfer-Encoding: " + coding + "\r\n",
                      "3\r\n[1]\r\n0\r\n\r\n"),
            411);
}

TEST_CASE("too long a body is refused before any of it comes") {
    KeyFile keys;
    Daemon daemon({"--max-message=1000", keys.option()});
    Peer ann = join(daemon);
    const auto with_length = [](const std::string& length) {
        return post_with(bearer() + "Content-Length: " + length + "\r\n", "");
    };
    for (const char* length :
         {"1001", "4294967297", "18446744073709551615", "18446744073709551617",
          "99999999999999999999999999999999999999999999"})
        is_refused(daemon, with_length(length), 413);
    is_refused(daemon, post(json_string(1001)), 413);
    const std::string line = json_string(500) + "\n";
    is_refused(daemon, post(line + line, "/", kLines), 413);
    check_nothing_published(ann);
    publish(Peer(daemon), post(json_string(1000)));
    ann.hears(json_string(1000));
}

TEST_CASE("a request whose length can be read in two ways is refused") {
    KeyFile keys;
    Daemon daemon({keys.option()});
    Peer ann = join(daemon);
    for (const std::string& lines : std::vector<std::string>{
             kLength3 + kLength3,
             kLength3 + "Content-Length: 4\r\n",
             kLength3 + "content-length: 0\r\n",
             kLength3 + "Transfer-Encoding: chunked\r\n",
             "Transfer-Encoding: chunked\r\n" + kLength3,
             kLength3 + "TRANSFER-ENCODING: identity\r\n",
             "Content-Length: 3, 3\r\n",
             "Content-Length: +3\r\n",
             "Content-Length: -3\r\n",
             "Content-Length: 0x3\r\n",
             "Content-Length: 3 3\r\n",
             "Content-Length: 3.0\r\n",
             "Content-Length:\r\n",
             "Content-Length: three\r\n",
             "Content-Length : 3\r\n",
             "Content-Length\t: 3\r\n",
             " Content-Length: 3\r\n",
             "Content-Length: 3\n",
             kLength3 + "Transfer-Encoding : chunked\r\n",
             kLength3 + "X: y\r\n Transfer-Encoding: chunked\r\n",
             kLength3 + "X: y\r\n\tz\r\n",
             kLength3 + "X: y\nZ: z\r\n",
             kLength3 + "X: y\rZ: z\r\n",
             "Content-Length:\r\n 3\r\n",
             kLength3 + "X\r\n",
             kLength3 + ": y\r\n",
             kLength3 + "Host: other\r\n"}) {
        CAPTURE(lines);
        check_smuggles_nothing(daemon, ann, post_with(bearer() + lines, "[1]"),
                               400);
        check_smuggles_nothing(daemon, ann, post_with(lines, "[1]"), 400);
    }
}

TEST_CASE("nothing after a request is read as another") {
    KeyFile keys;
    Daemon daemon({keys.option()});
    Peer ann = join(daemon);
    Peer publisher(daemon);
    publisher.send(post("[1]") + post("[2]") + handshake() + "{\"raw\":1}");
    CHECK(publisher.answer().status == 200);
    publisher.hears_end();
    ann.hears("[1]");
    Peer reader(daemon);
    const std::string hidden = post("[3]");
    reader.send("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: " +
                std::to_string(hidden.size()) + "\r\n\r\n" + hidden);
    CHECK(reader.answer().status == 200);
    reader.hears_end();
    check_smuggles_nothing(daemon, ann, post("nonsense"), 400);
    check_smuggles_nothing(daemon, ann, post_with(kLength3, "[4]"), 401);
    check_nothing_published(ann);
}

TEST_CASE("only POST publishes") {
    KeyFile keys;
    Daemon daemon({keys.option()});
    Peer ann = join(daemon);
    for (const char* method : {"PUT", "PATCH", "DELETE", "post", "OPTIONS"})
        check_smuggles_nothing(daemon, ann, method + post("[1]").substr(4),
                               405);
    check_smuggles_nothing(daemon, ann, post("[1]", "/", upgrade_lines()), 405);
}

TEST_CASE("who waits for 100 before the body gets it, or the refusal") {
    KeyFile keys;
    Daemon daemon({"--max-message=1000", keys.option()});
    Peer ann = join(daemon);
    const std::string expect = "Expect: 100-Continue\r\n";
    Peer publisher(daemon);
    publisher.send(post_with(bearer() + kLength3 + expect, ""));
    CHECK(publisher.answer_head() == "HTTP/1.1 100 Continue\r\n\r\n");
    CHECK(publish(std::move(publisher), "[1]").number == 1);
    ann.hears("[1]");
    is_refused(daemon, post_with(kLength3 + expect, ""), 401);
    is_refused(daemon,
               post_with(bearer() + "Content-Length: 1001\r\n" + expect, ""),
               413);
    is_refused(daemon, post_with(bearer() + expect, ""), 411);
    is_refused(daemon, post_with(bearer() + kLength3 + kLength3 + expect, ""),
               400);
    // Who does not wait may send it all at once.
    Peer hasty(daemon);
    hasty.send(post("[2]", "/", expect));
    CHECK(hasty.answer_head() == "HTTP/1.1 100 Continue\r\n\r\n");
    CHECK(hasty.answer().status == 200);
    ann.hears("[2]");
}

TEST_CASE("a request may come in any two pieces, or byte by byte") {
    KeyFile keys;
    Daemon daemon({keys.option()});
    Peer ann = join(daemon);
    Peer pacer = join(daemon);
    const std::string request = post("{\"a\":\"\xC3\xA4\"}");
    uint64_t number = 0;
    const auto check = [&](Peer publisher) {
        CHECK(publish(std::move(publisher), "").number == ++number);
        ann.hears("{\"a\":\"\xC3\xA4\"}");
    };
    for (size_t cut = 1; cut < request.size(); ++cut) {
        Peer publisher(daemon);
        send_in_two(publisher, request, cut, pacer);
        check(std::move(publisher));
    }
    Peer publisher(daemon);
    send_one_by_one(publisher, request, pacer);
    check(std::move(publisher));
}

TEST_CASE("a large body arrives whole") {
    KeyFile keys;
    Daemon daemon({keys.option()});
    Peer ann = join(daemon);
    publish(Peer(daemon), post(json_string(1 << 20)));
    ann.hears(json_string(1 << 20));
}

TEST_CASE("a body that is not whole in time is refused and not published") {
    KeyFile keys;
    Daemon daemon({timed("--handshake-timeout", 0.3), keys.option()});
    Peer ann = join(daemon);
    Peer nothing(daemon), half(daemon);
    nothing.send(post_with(bearer() + kLength3, ""));
    half.send(post_with(bearer() + kLength3, "[1"));
    nothing.is_refused(408);
    half.is_refused(408);
    half.send_if_possible("]");
    check_nothing_published(ann);
}

TEST_CASE("a body that was cut off is not published") {
    KeyFile keys;
    Daemon daemon({keys.option()});
    Peer ann = join(daemon);
    const std::string request =
        post_with(bearer() + "Content-Length: 4\r\n", "[1]");
    Peer half(daemon);
    half.send(request);
    half.half_close();
    half.hears_end();
    Peer lost(daemon);
    lost.send(request);
    ann.sync();
    lost.reset();
    check_nothing_published(ann);
    Peer whole(daemon);
    whole.send(request + " ");
    whole.half_close();
    CHECK(whole.answer().status == 200);
    ann.hears("[1] ");
}

TEST_CASE("of JSON lines each is a message") {
    KeyFile keys;
    Daemon daemon({keys.option()});
    Peer ann = join(daemon);
    const auto lines = [&](const std::string& body, const std::string& type) {
        return publish(Peer(daemon),
                       post(body, "/", "Content-Type: " + type + "\r\n"))
            .number;
    };
    CHECK(lines("[1]\n\n \t\n[2] \r\n\r\n {\"a\":3}", "application/x-ndjson") ==
          3);
    for (const char* text : {"[1]", "[2]", "{\"a\":3}"}) ann.hears(text);
    CHECK(lines("[4]\n", "Application/X-NDJSON ; charset=utf-8") == 4);
    ann.hears("[4]");
    CHECK(lines("[5]", "application/x-ndjson") == 5);
    ann.hears("[5]");
    CHECK(lines("[6,\n6]", "application/json") == 6);
    ann.hears("[6,\n6]");
    is_refused(daemon, post("[1]\n[2]\n", "/", "Content-Type: text/plain\r\n"),
               400);
    is_refused(daemon, post("\n \n", "/", kLines), 400);
    check_nothing_published(ann);
}

TEST_CASE("of JSON lines all are published or none") {
    KeyFile keys;
    Daemon daemon({keys.option()});
    Peer ann = join(daemon);
    for (const auto& [body, why] :
         {std::pair("[1]\n\n[2\n[3]", "line 3: "),
          std::pair("[1]\n[2]\nnull\n", "line 3: "),
          std::pair("{\"type\":\"pong\"}\n[2]", "line 1: "),
          std::pair("[1]\n\"\xFF\"\n", "line 2: malformed UTF-8")}) {
        Peer publisher(daemon);
        publisher.send(post(body, "/", kLines));
        const ReceivedResponse answer = publisher.answer();
        CHECK(answer.status == 400);
        CHECK(answer.body.rfind("not relayed: " + std::string(why), 0) == 0);
    }
    check_nothing_published(ann);
    CHECK(publish(Peer(daemon), post("[1]")).number == 2);
}

TEST_CASE("what is posted to an empty room waits for who comes") {
    KeyFile keys;
    Daemon daemon({"--rooms", "--history=2", keys.option()});
    const Receipt receipt =
        publish(Peer(daemon), post("[1]\n[2]\n[3]", "/a", kLines));
    CHECK(receipt.room == "/a");
    CHECK(receipt.clients == 0);
    CHECK(receipt.number == 3);
    Peer ann = join_room(daemon, "/a");
    ann.hears("[2]");
    ann.hears("[3]");
    Member bob = join_v1(daemon, "/a");
    CHECK(bob.hello.first == 2);
    CHECK(bob.hello.last == 3);
    bob.peer.hears("[2]");
    bob.peer.hears("[3]");
    hears_no_more(bob.peer);
}

TEST_CASE("with --keep=0 what is posted to an empty room is gone") {
    KeyFile keys;
    Daemon daemon({"--keep=0", "--history=2", keys.option()});
    for (int i = 0; i < 2; ++i) {
        const Receipt receipt = publish(Peer(daemon), post("[1]"));
        CHECK(receipt.clients == 0);
        CHECK(receipt.number == 1);
    }
    Member ann = join_v1(daemon);
    CHECK(ann.hello.last == 0);
    hears_no_more(ann.peer);
}

TEST_CASE("what nobody would ever get is refused") {
    KeyFile keys;
    Daemon daemon({"--max-message=2M", keys.option()});
    is_refused(daemon, post(json_string(3 << 19)), 503);
    Peer ann = join(daemon);
    publish(Peer(daemon), post(json_string(3 << 19)));
    ann.hears(json_string(3 << 19));
}

TEST_CASE("publishers come over TLS, unix sockets and IPv6") {
    KeyFile keys;
    CertificateFiles files;
    ScratchDirectory scratch;
    Daemon daemon(files.options({keys.option(), "--bind=127.0.0.1",
                                 "--bind=unix:" + scratch / "chat"}));
    Peer ann = join(SocketAddress::unix_socket(scratch / "chat"));
    publish(Peer(SocketAddress::unix_socket(scratch / "chat")), post("[1]"));
    ann.hears("[1]");
    for (bool byte_by_byte : {false, true}) {
        Wish wish;
        wish.byte_by_byte = byte_by_byte;
        TlsTunnel tunnel(daemon, wish);
        tunnel.peer().send(post(json_string(20'000)));
        CHECK(tunnel.peer().answer().status == 200);
        tunnel.peer().hears_end();
        CHECK(tunnel.heard_close_notify());
        ann.hears(json_string(20'000));
    }
    is_refused(daemon, post("[1]"), 400);
    check_nothing_published(ann);
}

TEST_CASE("who counts from hello has the numbers that publishers are told") {
    KeyFile keys;
    Daemon daemon({"--announce=address", keys.option()});
    const uint64_t posts = is_instrumented(daemon.pid()) ? 200 : 1000;
    Member ann = join_v1(daemon);
    Peer bob = join(daemon);
    std::vector<Peer> others;
    std::vector<uint64_t> told;
    for (uint64_t i = 0; i < posts; ++i) {
        told.push_back(publish(Peer(daemon), post(numbered(i))).number);
        if (i % 50 == 1) others.push_back(join(daemon));
        if (i % 50 == 20) others.pop_back();
        if (i % 7 == 0) bob.say("[1]");
    }
    uint64_t number = ann.hello.first;
    for (uint64_t i = 0; i < posts; ++number)
        if (ann.peer.next_text() == numbered(i)) CHECK(told[i++] == number);
    CHECK(number > posts + 100 * posts / 1000);
}
