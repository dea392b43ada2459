#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "http/deflate_offer.h"

using namespace wschat;

namespace {

const std::string kBoth =
    "permessage-deflate; server_no_context_takeover; "
    "client_no_context_takeover";

/// What is agreed on when a request has these header lines.
DeflateAgreement agreed(const std::vector<std::string>& lines) {
    std::string head = "GET / HTTP/1.1\r\nHost: x\r\n";
    for (const std::string& line : lines)
        head += "Sec-WebSocket-Extensions: " + line + "\r\n";
    head += "\r\n";
    const Request request = parse_request(head);
    REQUIRE_FALSE(request.error);
    return negotiate_deflate(request);
}

}  // namespace

TEST_CASE("permessage-deflate is agreed on without context") {
    for (const char* offer :
         {"permessage-deflate", " permessage-deflate\t",
          "permessage-deflate; client_max_window_bits",
          "permessage-deflate;client_max_window_bits=15",
          "permessage-deflate ; client_max_window_bits = 8",
          "permessage-deflate; client_max_window_bits=\"9\"",
          "permessage-deflate; client_max_window_bits=\"1\\0\"",
          "permessage-deflate; server_no_context_takeover",
          "permessage-deflate; client_no_context_takeover",
          "permessage-deflate; client_no_context_takeover; "
          "server_no_context_takeover; client_max_window_bits=10",
          "x-webkit-deflate-frame, permessage-deflate",
          "foo; a=1; b=\"x\", , permessage-deflate",
          ",permessage-deflate"}) {
        CAPTURE(offer);
        const DeflateAgreement compression = agreed({offer});
        CHECK(compression.client_may_deflate);
        CHECK(compression.server_may_deflate);
        CHECK(compression.response_value == kBoth);
    }
}

TEST_CASE("the server's window is as the client wants it, or not used") {
    for (int bits = 8; bits <= 15; ++bits) {
        CAPTURE(bits);
        const std::string number = std::to_string(bits);
        const DeflateAgreement compression =
            agreed({"permessage-deflate; server_max_window_bits=" + number});
        CHECK(compression.client_may_deflate);
        CHECK(compression.server_may_deflate == (bits == 15));
        CHECK(compression.response_value ==
              kBoth + "; server_max_window_bits=" + number);
    }
}

TEST_CASE("an offer that is malformed or unknown is declined") {
    for (const char* offer :
         {"", ",", ";", "permessage-deflat", "PERMESSAGE-DEFLATE",
          "permessage-deflate;", "permessage-deflate; ;",
          "permessage-deflate; unknown", "permessage-deflate; unknown=1",
          "permessage-deflate; client_max_window_bits=",
          "permessage-deflate; client_max_window_bits=7",
          "permessage-deflate; client_max_window_bits=16",
          "permessage-deflate; client_max_window_bits=08",
          "permessage-deflate; client_max_window_bits=1e",
          "permessage-deflate; client_max_window_bits=-9",
          "permessage-deflate; client_max_window_bits=\"10",
          "permessage-deflate; client_max_window_bits=\"10\\",
          "permessage-deflate; client_max_window_bits=\"\"",
          "permessage-deflate; client_max_window_bits=\"1 0\"",
          "permessage-deflate; client_max_window_bits=\"10\"x",
          "permessage-deflate; client_max_window_bits=10 10",
          "permessage-deflate; server_max_window_bits",
          "permessage-deflate; server_max_window_bits=7",
          "permessage-deflate; server_max_window_bits=99999999999999999999",
          "permessage-deflate; server_no_context_takeover=1",
          "permessage-deflate; server_no_context_takeover=\"\"",
          "permessage-deflate; client_no_context_takeover=true",
          "permessage-deflate; client_max_window_bits; client_max_window_bits",
          "permessage-deflate; server_no_context_takeover; "
          "server_no_context_takeover",
          "permessage-deflate client_max_window_bits",
          "permessage-deflate/client_max_window_bits",
          "permessage-deflate=1", "\"permessage-deflate\""}) {
        CAPTURE(offer);
        const DeflateAgreement compression = agreed({offer});
        CHECK_FALSE(compression.client_may_deflate);
        CHECK_FALSE(compression.server_may_deflate);
        CHECK(compression.response_value.empty());
    }
}

TEST_CASE("the first offer that will do is taken") {
    const std::string ten = "permessage-deflate; server_max_window_bits=10";
    const std::string any = "permessage-deflate";
    CHECK_FALSE(agreed({ten + ", " + any}).server_may_deflate);
    CHECK(agreed({any + ", " + ten}).server_may_deflate);
    CHECK(agreed({"permessage-deflate; unknown, " + any}).server_may_deflate);
    CHECK(agreed({"permessage-deflate; a=\"x, y\", " + any}).server_may_deflate);
    CHECK(agreed({"foo", "bar; a", any}).server_may_deflate);
    CHECK_FALSE(agreed({ten, any}).server_may_deflate);
    CHECK(agreed({"permessage-deflate; client_max_window_bits=", any}).server_may_deflate);
}

TEST_CASE("no extension is agreed on where none is offered") {
    CHECK_FALSE(agreed({}).client_may_deflate);
    CHECK(agreed({}).response_value.empty());
}
