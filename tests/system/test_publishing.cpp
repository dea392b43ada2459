// Publishing by POST: keys, bodies, rooms, receipts and refusals.
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

// Checks that no other message was published to the room of this client.
void check_nothing_published(Peer& client, SourceLine at = {}) {
    expect_nothing_else(client, at);
}

// Sends a request, and a valid one directly behind it, which must be ignored.
void check_rest_is_ignored(const Daemon& daemon, Peer& client,
                           const std::string& request, int status,
                           SourceLine at = {}) {
    Peer publisher(daemon, at);
    publisher.send(request + post("\"smuggled\""), at);
    publisher.expect_refused(status, at);
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

TEST_CASE(
    "a posted message goes to all clients, and its publisher gets a receipt") {
    KeyFile keys;
    Daemon daemon({keys.option()});
    std::vector<Peer> peers = join(daemon, 3);
    Peer publisher(daemon);
    publisher.send(post(" {\"a\": [1] }\n"));
    const ReceivedResponse answer = publisher.read_response();
    CHECK(answer.status == 200);
    CHECK(answer.body == "{\"room\":\"/\",\"clients\":3,\"number\":1}\n");
    CHECK(answer.header("Content-Type") == "application/json");
    CHECK(answer.header("Connection") == "close");
    publisher.expect_eof();
    for (Peer& peer : peers) peer.expect_message(" {\"a\": [1] }\n");
    CHECK(publish(Peer(daemon), post("[2]")).number == 2);
    for (Peer& peer : peers) peer.expect_message("[2]");
}

TEST_CASE("a message posted to a room goes to that room alone") {
    KeyFile keys;
    Daemon daemon({"--rooms", keys.option()});
    Peer ann = join_room(daemon, "/");
    Peer bob = join_room(daemon, "/a+b");
    Peer carl = join_room(daemon, "/a%20b");
    const Receipt receipt = publish(Peer(daemon), post("[1]", "/a%20b?x=1"));
    CHECK(receipt.room == "/a b");
    CHECK(receipt.clients == 1);
    carl.expect_message("[1]");
    CHECK(publish(Peer(daemon), post("[2]")).room == "/");
    ann.expect_message("[2]");
    for (Peer* peer : {&ann, &bob, &carl}) expect_nothing_else(*peer);
}

// Regression: such a message went to the clients of all paths.
TEST_CASE("without --rooms a message posted to another path goes nowhere") {
    KeyFile keys;
    Daemon daemon({keys.option()});
    Peer ann = join(daemon);
    expect_refused(daemon, post("[1]", "/news"), 404);
    check_nothing_published(ann);
}

TEST_CASE("a publisher may send the type system, and no other reserved type") {
    KeyFile keys;
    Daemon daemon({keys.option()});
    Peer ann = join(daemon);
    publish(Peer(daemon), post(R"({"type":"system","message":"hi"})"));
    ann.expect_message(R"({"type":"system","message":"hi"})");
    for (const char* type : {"error", "hello", "ping", "pong"})
        expect_refused(daemon, post("{\"type\":\"" + std::string(type) + "\"}"),
                       400);
    check_nothing_published(ann);
}

TEST_CASE("a body that is not relayed is refused with the reason") {
    KeyFile keys;
    Daemon daemon({keys.option()});
    Peer ann = join(daemon);
    const auto reason_for = [&](const std::string& body) {
        Peer publisher(daemon);
        publisher.send(post(body));
        const ReceivedResponse answer = publisher.read_response();
        CHECK(answer.status == 400);
        return answer.body;
    };
    CHECK(reason_for("[1,]").find(" at byte 3\n") != std::string::npos);
    CHECK(reason_for("{\"type\":\"pong\"}") ==
          "not relayed: the type \"pong\" is reserved\n");
    CHECK(reason_for("\"\xC3\"") == "not relayed: malformed UTF-8\n");
    CHECK(reason_for("\"\xED\xA0\x80\"") == "not relayed: malformed UTF-8\n");
    for (const char* body : {"", " ", "\n", "null", "false", "0", "\"\"", "[]",
                             "[1]\n[2]", "[1][2]"})
        CHECK(reason_for(body).rfind("not relayed: ", 0) == 0);
    check_nothing_published(ann);
    CHECK(publish(Peer(daemon), post("[1]")).number == 2);
}

TEST_CASE("a publisher without a valid key is refused with 401") {
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
        const ReceivedResponse answer = publisher.read_response();
        CHECK(answer.status == 401);
        CHECK(answer.header("WWW-Authenticate") == "Bearer");
        publisher.expect_eof();
    }
    check_nothing_published(ann);
    publish(
        Peer(daemon),
        post_with("authorization: bEARER  " + key + "\r\n" + kLength3, "[1]"));
    ann.expect_message("[1]");
}

TEST_CASE("without --publish-key every POST is refused with 403") {
    Daemon daemon;
    Peer ann = join(daemon);
    expect_refused(daemon, post("[1]"), 403);
    expect_refused(daemon, post_with(kLength3, "[1]"), 403);
    check_nothing_published(ann);
}

TEST_CASE("both keys of a file are accepted") {
    KeyFile keys("the-first-of-the-keys\n\n  the-second+of/keys==\n\n");
    Daemon daemon({keys.option()});
    for (const char* key : {"the-first-of-the-keys", "the-second+of/keys=="})
        publish(Peer(daemon), post_with(bearer(key) + kLength3, "[1]"));
    expect_refused(daemon, post("[1]"), 401);
}

TEST_CASE("a file without valid keys stops the start with one line") {
    KeyFile keys;
    check_cannot_start(keys.path() + "-none", "No such file");
    for (const std::string& content : std::vector<std::string>{
             "\n", "a-key-of-valid-characters\nfifteen-letters\n",
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

TEST_CASE("SIGHUP reloads the keys, and a malformed file changes nothing") {
    KeyFile keys;
    Daemon daemon({keys.option()});
    Peer ann = join(daemon);
    keys.replace("a-key-after-reloading\n");
    daemon.signal(SIGHUP);
    daemon.wait_for_log("SIGHUP: reloaded the keys");
    const std::string request =
        post_with(bearer("a-key-after-reloading") + kLength3, "[1]");
    expect_refused(daemon, post("[1]"), 401);
    publish(Peer(daemon), request);
    ann.expect_message("[1]");
    keys.replace("short\n");
    daemon.signal(SIGHUP);
    daemon.wait_for_log("; keeping the former keys");
    publish(Peer(daemon), request);
    expect_refused(daemon, post("[1]"), 401);
    ann.expect_message("[1]");
    expect_nothing_else(ann);
    CHECK(count(daemon.log(), "short\n") == 0);
}

TEST_CASE("a body needs a length, and a transfer coding is refused") {
    KeyFile keys;
    Daemon daemon({keys.option()});
    Peer ann = join(daemon);
    expect_refused(daemon, post_with(bearer(), ""), 411);
    for (const char* coding : {"chunked", "gzip, chunked", "identity", ""})
        check_rest_is_ignored(
            daemon, ann,
            post_with(bearer() + "Transfer-Encoding: " + coding + "\r\n",
                      "3\r\n[1]\r\n0\r\n\r\n"),
            411);
}

TEST_CASE("a body over the limit is refused before it arrives") {
    KeyFile keys;
    Daemon daemon({"--max-message=1000", keys.option()});
    Peer ann = join(daemon);
    const auto with_length = [](const std::string& length) {
        return post_with(bearer() + "Content-Length: " + length + "\r\n", "");
    };
    for (const char* length :
         {"1001", "4294967297", "18446744073709551615", "18446744073709551617",
          "99999999999999999999999999999999999999999999"})
        expect_refused(daemon, with_length(length), 413);
    expect_refused(daemon, post(json_string(1001)), 413);
    const std::string line = json_string(500) + "\n";
    expect_refused(daemon, post(line + line, "/", kJsonLines), 413);
    check_nothing_published(ann);
    publish(Peer(daemon), post(json_string(1000)));
    ann.expect_message(json_string(1000));
}

TEST_CASE("a request with an ambiguous length is refused with 400") {
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
        check_rest_is_ignored(daemon, ann, post_with(bearer() + lines, "[1]"),
                              400);
        check_rest_is_ignored(daemon, ann, post_with(lines, "[1]"), 400);
    }
}

TEST_CASE("bytes after a request are not read as another one") {
    KeyFile keys;
    Daemon daemon({keys.option()});
    Peer ann = join(daemon);
    Peer publisher(daemon);
    publisher.send(post("[1]") + post("[2]") + handshake() + "{\"raw\":1}");
    CHECK(publisher.read_response().status == 200);
    publisher.expect_eof();
    ann.expect_message("[1]");
    Peer reader(daemon);
    const std::string hidden = post("[3]");
    reader.send("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: " +
                std::to_string(hidden.size()) + "\r\n\r\n" + hidden);
    CHECK(reader.read_response().status == 200);
    reader.expect_eof();
    check_rest_is_ignored(daemon, ann, post("nonsense"), 400);
    check_rest_is_ignored(daemon, ann, post_with(kLength3, "[4]"), 401);
    check_nothing_published(ann);
}

TEST_CASE("only POST publishes") {
    KeyFile keys;
    Daemon daemon({keys.option()});
    Peer ann = join(daemon);
    for (const char* method : {"PUT", "PATCH", "DELETE", "post", "OPTIONS"})
        check_rest_is_ignored(daemon, ann, method + post("[1]").substr(4), 405);
    check_rest_is_ignored(daemon, ann, post("[1]", "/", upgrade_lines()), 405);
}

TEST_CASE("a publisher that expects 100 gets it, or the refusal") {
    KeyFile keys;
    Daemon daemon({"--max-message=1000", keys.option()});
    Peer ann = join(daemon);
    const std::string expect = "Expect: 100-Continue\r\n";
    Peer publisher(daemon);
    publisher.send(post_with(bearer() + kLength3 + expect, ""));
    CHECK(publisher.read_response_head() == "HTTP/1.1 100 Continue\r\n\r\n");
    CHECK(publish(std::move(publisher), "[1]").number == 1);
    ann.expect_message("[1]");
    expect_refused(daemon, post_with(kLength3 + expect, ""), 401);
    expect_refused(
        daemon, post_with(bearer() + "Content-Length: 1001\r\n" + expect, ""),
        413);
    expect_refused(daemon, post_with(bearer() + expect, ""), 411);
    expect_refused(daemon,
                   post_with(bearer() + kLength3 + kLength3 + expect, ""), 400);
    // A publisher that does not wait may send the head and the body together.
    Peer impatient(daemon);
    impatient.send(post("[2]", "/", expect));
    CHECK(impatient.read_response_head() == "HTTP/1.1 100 Continue\r\n\r\n");
    CHECK(impatient.read_response().status == 200);
    ann.expect_message("[2]");
}

TEST_CASE("a request may arrive in any two pieces, or byte by byte") {
    KeyFile keys;
    Daemon daemon({keys.option()});
    Peer ann = join(daemon);
    Peer observer = join(daemon);
    const std::string request = post("{\"a\":\"\xC3\xA4\"}");
    uint64_t number = 0;
    const auto check = [&](Peer publisher) {
        CHECK(publish(std::move(publisher), "").number == ++number);
        ann.expect_message("{\"a\":\"\xC3\xA4\"}");
    };
    for (size_t cut = 1; cut < request.size(); ++cut) {
        Peer publisher(daemon);
        send_in_two(publisher, request, cut, observer);
        check(std::move(publisher));
    }
    Peer publisher(daemon);
    send_one_by_one(publisher, request, observer);
    check(std::move(publisher));
}

TEST_CASE("a large body arrives whole") {
    KeyFile keys;
    Daemon daemon({keys.option()});
    Peer ann = join(daemon);
    publish(Peer(daemon), post(json_string(1 << 20)));
    ann.expect_message(json_string(1 << 20));
}

TEST_CASE("a body that is not complete in time is refused with 408") {
    KeyFile keys;
    Daemon daemon({timed("--handshake-timeout", 0.3), keys.option()});
    Peer ann = join(daemon);
    Peer nothing(daemon), half(daemon);
    nothing.send(post_with(bearer() + kLength3, ""));
    half.send(post_with(bearer() + kLength3, "[1"));
    nothing.expect_refused(408);
    half.expect_refused(408);
    half.send_if_possible("]");
    check_nothing_published(ann);
}

TEST_CASE("a body that ends too early is not published") {
    KeyFile keys;
    Daemon daemon({keys.option()});
    Peer ann = join(daemon);
    const std::string request =
        post_with(bearer() + "Content-Length: 4\r\n", "[1]");
    Peer half(daemon);
    half.send(request);
    half.half_close();
    half.expect_eof();
    Peer lost(daemon);
    lost.send(request);
    ann.sync();
    lost.reset();
    check_nothing_published(ann);
    Peer whole(daemon);
    whole.send(request + " ");
    whole.half_close();
    CHECK(whole.read_response().status == 200);
    ann.expect_message("[1] ");
}

TEST_CASE("each of the JSON lines in a body is a message") {
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
    for (const char* text : {"[1]", "[2]", "{\"a\":3}"})
        ann.expect_message(text);
    CHECK(lines("[4]\n", "Application/X-NDJSON ; charset=utf-8") == 4);
    ann.expect_message("[4]");
    CHECK(lines("[5]", "application/x-ndjson") == 5);
    ann.expect_message("[5]");
    CHECK(lines("[6,\n6]", "application/json") == 6);
    ann.expect_message("[6,\n6]");
    expect_refused(
        daemon, post("[1]\n[2]\n", "/", "Content-Type: text/plain\r\n"), 400);
    expect_refused(daemon, post("\n \n", "/", kJsonLines), 400);
    check_nothing_published(ann);
}

TEST_CASE("either all JSON lines of a body are published, or none") {
    KeyFile keys;
    Daemon daemon({keys.option()});
    Peer ann = join(daemon);
    for (const auto& [body, why] :
         {std::pair("[1]\n\n[2\n[3]", "line 3: "),
          std::pair("[1]\n[2]\nnull\n", "line 3: "),
          std::pair("{\"type\":\"pong\"}\n[2]", "line 1: "),
          std::pair("[1]\n\"\xFF\"\n", "line 2: malformed UTF-8")}) {
        Peer publisher(daemon);
        publisher.send(post(body, "/", kJsonLines));
        const ReceivedResponse answer = publisher.read_response();
        CHECK(answer.status == 400);
        CHECK(answer.body.rfind("not relayed: " + std::string(why), 0) == 0);
    }
    check_nothing_published(ann);
    CHECK(publish(Peer(daemon), post("[1]")).number == 2);
}

TEST_CASE("a message posted to an empty room is retained for later clients") {
    KeyFile keys;
    Daemon daemon({"--rooms", "--history=2", keys.option()});
    const Receipt receipt =
        publish(Peer(daemon), post("[1]\n[2]\n[3]", "/a", kJsonLines));
    CHECK(receipt.room == "/a");
    CHECK(receipt.clients == 0);
    CHECK(receipt.number == 3);
    Peer ann = join_room(daemon, "/a");
    ann.expect_message("[2]");
    ann.expect_message("[3]");
    Member bob = join_v1(daemon, "/a");
    CHECK(bob.hello.first == 2);
    CHECK(bob.hello.last == 3);
    bob.peer.expect_message("[2]");
    bob.peer.expect_message("[3]");
    expect_nothing_else(bob.peer);
}

TEST_CASE("with --keep=0 a message posted to an empty room is not retained") {
    KeyFile keys;
    Daemon daemon({"--keep=0", keys.option()});
    for (int i = 0; i < 2; ++i) {
        const Receipt receipt = publish(Peer(daemon), post("[1]"));
        CHECK(receipt.clients == 0);
        CHECK(receipt.number == 1);
    }
    Member ann = join_v1(daemon);
    CHECK(ann.hello.last == 0);
    expect_nothing_else(ann.peer);
}

TEST_CASE("a message for an empty room that can't be retained is refused") {
    KeyFile keys;
    Daemon daemon({"--max-message=2M", "--keep-total=1M", keys.option()});
    expect_refused(daemon, post(json_string(3 << 19)), 503);
    Peer ann = join(daemon);
    publish(Peer(daemon), post(json_string(3 << 19)));
    ann.expect_message(json_string(3 << 19));
}

TEST_CASE("a publisher may use TLS and unix sockets") {
    KeyFile keys;
    CertificateFiles files;
    ScratchDirectory scratch;
    Daemon daemon(files.options({keys.option(), "--bind=127.0.0.1",
                                 "--bind=unix:" + scratch / "chat"}));
    Peer ann = join(SocketAddress::unix_socket(scratch / "chat"));
    publish(Peer(SocketAddress::unix_socket(scratch / "chat")), post("[1]"));
    ann.expect_message("[1]");
    for (bool byte_by_byte : {false, true}) {
        TlsOptions tls_options;
        tls_options.byte_by_byte = byte_by_byte;
        TlsTunnel tunnel(daemon, tls_options);
        tunnel.peer().send(post(json_string(20'000)));
        CHECK(tunnel.peer().read_response().status == 200);
        tunnel.peer().expect_eof();
        CHECK(tunnel.received_close_notify());
        ann.expect_message(json_string(20'000));
    }
    expect_refused(daemon, post("[1]"), 400);
    check_nothing_published(ann);
}

TEST_CASE(
    "a client that counts from its hello gets the numbers of the receipts") {
    KeyFile keys;
    Daemon daemon({"--announce=address", keys.option()});
    const uint64_t posts = is_instrumented(daemon.pid()) ? 200 : 1000;
    Member ann = join_v1(daemon);
    Peer bob = join(daemon);
    std::vector<Peer> others;
    std::vector<uint64_t> numbers;
    for (uint64_t i = 0; i < posts; ++i) {
        numbers.push_back(
            publish(Peer(daemon), post(numbered_message(i))).number);
        if (i % 50 == 1) others.push_back(join(daemon));
        if (i % 50 == 20) others.pop_back();
        if (i % 7 == 0) bob.send_message("[1]");
    }
    uint64_t number = ann.hello.first;
    for (uint64_t i = 0; i < posts; ++number)
        if (ann.peer.next_text() == numbered_message(i))
            CHECK(numbers[i++] == number);
    CHECK(number > posts + 100 * posts / 1000);
}
