#include "http/handshake.h"

#include <array>
#include <stdexcept>

#include <openssl/evp.h>
#include <openssl/sha.h>

#include "util/address.h"
#include "util/host.h"
#include "util/text.h"

namespace wschat {

namespace {

constexpr std::string_view kBase64 =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr char kV1[] = "wschat.v1";

/// True if the key is 16 bytes in base64: 22 digits and two pads (RFC 6455,
/// section 4.1).
bool is_key(std::string_view key) {
    return key.size() == 24 && key.substr(22) == "==" &&
           key.find_first_not_of(kBase64) == 22;
}

/// Finds the algorithm once: OpenSSL takes longer for that than for the hash.
const EVP_MD* sha1() {
    static const EVP_MD* const algorithm =
        EVP_MD_fetch(nullptr, "SHA1", nullptr);
    return algorithm;
}

/// Returns the value of Sec-WebSocket-Accept (RFC 6455, section 4.2.2).
std::string accept_value(std::string_view key) {
    // The GUID of the protocol: a server that does not know WebSocket can't
    // answer with the right hash by accident.
    std::string text(key);
    text += "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    std::array<unsigned char, SHA_DIGEST_LENGTH> digest;
    // OpenSSL may be set up without SHA-1. prepare_handshakes() then throws at
    // the start of the daemon, so that no wrong value is ever sent.
    if (!sha1() || EVP_Digest(text.data(), text.size(), digest.data(), nullptr,
                              sha1(), nullptr) != 1)
        throw std::runtime_error("cannot use SHA-1 of OpenSSL");
    unsigned char encoded[29];  // 28 digits and a NUL
    EVP_EncodeBlock(encoded, digest.data(), static_cast<int>(digest.size()));
    return reinterpret_cast<const char*>(encoded);
}

}  // namespace

std::string websocket_location(const std::string& host, int port, bool tls) {
    const bool plain = is_development_host(host) && !tls;
    return std::string(plain ? "ws" : "wss") + "://" +
           host_in_url(host) + ":" + std::to_string(port) + "/websocket.php";
}

void prepare_handshakes() { accept_value(""); }

bool wants_websocket(const Request& request) {
    // A proxy that is not set up for WebSocket removes Upgrade and leaves the
    // key. Then the response must say what is missing, not serve the page.
    return request.lists("Upgrade", "websocket", true) ||
           request.count("Sec-WebSocket-Key") > 0;
}

Agreement negotiate(const Request& request, bool may_deflate) {
    Agreement agreement;
    agreement.v1 = request.lists("Sec-WebSocket-Protocol", kV1, false);
    // Of the other subprotocols that may be requested none is known; a browser
    // closes the connection by itself if it needed one.
    if (may_deflate) agreement.compression = negotiate_deflate(request);
    return agreement;
}

std::optional<Response> find_handshake_error(const Request& request) {
    if (request.method != "GET")
        return error_response(405,
                              "a WebSocket handshake must be a GET request");
    if (!request.lists("Upgrade", "websocket", true))
        return error_response(400, "the Upgrade header must name websocket");
    if (!request.lists("Connection", "Upgrade", true))
        return error_response(400, "the Connection header must name Upgrade");
    if (request.count("Sec-WebSocket-Version") > 1)
        return error_response(400, "more than one Sec-WebSocket-Version");
    if (request.value("Sec-WebSocket-Version") != "13")
        return error_response(426, "Sec-WebSocket-Version must be 13");
    if (request.count("Sec-WebSocket-Key") != 1)
        return error_response(
            400, "exactly one Sec-WebSocket-Key header is required");
    if (!is_key(request.value("Sec-WebSocket-Key")))
        return error_response(400, "malformed Sec-WebSocket-Key");
    // The bytes behind the head are frames, so a body would be read as such.
    if (!body_length(request).is_zero())
        return error_response(400, "handshake with a body");
    return std::nullopt;
}

std::string handshake_response(const Request& request, const Site& site,
                               const Agreement& agreement) {
    std::string head =
        "HTTP/1.1 101 Switching Protocols\r\n"
        "Upgrade: websocket\r\n"
        "Connection: Upgrade\r\n"
        "Sec-WebSocket-Accept: " +
        accept_value(request.value("Sec-WebSocket-Key")) +
        "\r\nWebSocket-Origin: " + site.host +
        "\r\nWebSocket-Location: " + site.location + "\r\n";
    if (agreement.v1)
        head += std::string("Sec-WebSocket-Protocol: ") + kV1 + "\r\n";
    if (agreement.compression.client_may_deflate)
        head += "Sec-WebSocket-Extensions: " +
                agreement.compression.response_value + "\r\n";
    return head + "\r\n";
}

}  // namespace wschat
