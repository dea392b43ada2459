#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "http/deflate_offer.h"

using namespace wschat;

namespace {

const std::string kBoth =
    "permessage-deflate; server_no_context_takeover; "
    "client_no_context_takeover";

/// Returns the outcome for a request with these header lines.
DeflateAgreement negotiated(const std::vector<std::string>& lines) {
    std::string head = "GET / HTTP/1.1\r\nHost: x\r\n";
    for (const std::string& line : lines)
        head += "Sec-WebSocket-Extensions: " + line + "\r\n";
    head += "\r\n";
    const Request request = parse_request(head);
    REQUIRE_FALSE(request.error);
    return negotiate_deflate(request);
}

}  // namespace

TEST_CASE("permessage-deflate is accepted without context takeover") {
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
        const DeflateAgreement compression = negotiated({offer});
        CHECK(compression.client_may_deflate);
        CHECK(compression.server_may_deflate);
        CHECK(compression.response_value == kBoth);
    }
}

TEST_CASE("the client's limit on the server's window is respected") {
    for (int bits = 8; bits <= 15; ++bits) {
        CAPTURE(bits);
        const std::string number = std::to_string(bits);
        const DeflateAgreement compression =
            negotiated(
                {"permessage-deflate; server_max_window_bits=" + number});
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
        const DeflateAgreement compression = negotiated({offer});
        CHECK_FALSE(compression.client_may_deflate);
        CHECK_FALSE(compression.server_may_deflate);
        CHECK(compression.response_value.empty());
    }
}

TEST_CASE("the first acceptable offer is accepted") {
    const std::string ten = "permessage-deflate; server_max_window_bits=10";
    const std::string any = "permessage-deflate";
    // The server may deflate if it has accepted `any`, and not for `ten`.
    const auto accepts_any = [](const std::vector<std::string>& lines) {
        return negotiated(lines).server_may_deflate;
    };
    CHECK_FALSE(accepts_any({ten + ", " + any}));
    CHECK(accepts_any({any + ", " + ten}));
    CHECK(accepts_any({"permessage-deflate; unknown, " + any}));
    CHECK(accepts_any({"permessage-deflate; a=\"x, y\", " + any}));
    CHECK(accepts_any({"foo", "bar; a", any}));
    CHECK_FALSE(accepts_any({ten, any}));
    CHECK(accepts_any({"permessage-deflate; client_max_window_bits=", any}));
}

TEST_CASE("without an offer no extension is accepted") {
    CHECK_FALSE(negotiated({}).client_may_deflate);
    CHECK(negotiated({}).response_value.empty());
}
