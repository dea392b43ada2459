#include "http/handshake.h"

#include <array>
#include <optional>

#include <openssl/evp.h>
#include <openssl/sha.h>

#include "util/address.h"

namespace wschat {

namespace {

constexpr std::string_view kBase64 =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr char kV1[] = "wschat.v1";

/// Whether the key is 16 bytes in base64: 22 digits and two pads.
bool is_key(std::string_view key) {
    return key.size() == 24 && key.substr(22) == "==" &&
           key.find_first_not_of(kBase64) == 22;
}

/// Looked up once, because that takes longer than the hashing.
const EVP_MD* sha1() {
    static const EVP_MD* const algorithm =
        EVP_MD_fetch(nullptr, "SHA1", nullptr);
    return algorithm;
}

std::string accept_for(std::string_view key) {
    std::string text(key);
    text += "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    std::array<unsigned char, SHA_DIGEST_LENGTH> digest;
    EVP_Digest(text.data(), text.size(), digest.data(), nullptr, sha1(),
               nullptr);
    unsigned char encoded[29];  // 28 digits and a NUL
    EVP_EncodeBlock(encoded, digest.data(), static_cast<int>(digest.size()));
    return reinterpret_cast<const char*>(encoded);
}

std::optional<Answer> refuse_handshake(const Request& request) {
    if (request.method != "GET")
        return refuse(405, "only GET begins a WebSocket");
    if (!request.lists("Upgrade", "websocket", true))
        return refuse(400, "no Upgrade to websocket");
    if (!request.lists("Connection", "Upgrade", true))
        return refuse(400, "no Upgrade in Connection");
    if (request.count("Sec-WebSocket-Version") > 1)
        return refuse(400, "more than one Sec-WebSocket-Version");
    if (request.value("Sec-WebSocket-Version") != "13")
        return refuse(426, "Sec-WebSocket-Version must be 13");
    if (request.count("Sec-WebSocket-Key") != 1)
        return refuse(400, "no single Sec-WebSocket-Key");
    if (!is_key(request.value("Sec-WebSocket-Key")))
        return refuse(400, "malformed Sec-WebSocket-Key");
    if (!body_length(request).is_zero())
        return refuse(400, "handshake with a body");
    return std::nullopt;
}

}  // namespace

std::string websocket_location(const std::string& host, int port, bool tls) {
    const bool plain = lower_case(host).find("local.") != host.npos ||
                       is_loopback_host(host);
    return std::string(tls || !plain ? "wss" : "ws") + "://" +
           host_in_url(host) + ":" + std::to_string(port) + "/websocket.php";
}

void prepare_handshakes() { accept_for(""); }

bool wants_websocket(const Request& request) {
    return request.lists("Upgrade", "websocket", true) ||
           request.count("Sec-WebSocket-Key") > 0;
}

Agreement agree(const Request& request, bool deflate) {
    Agreement agreement;
    agreement.v1 = request.lists("Sec-WebSocket-Protocol", kV1, false);
    if (deflate) agreement.compression = agree_on_compression(request);
    return agreement;
}

Answer answer_handshake(const Request& request, const Site& site,
                        const Agreement& agreement) {
    if (auto refusal = refuse_handshake(request)) return *refusal;
    Answer answer;
    answer.status = 101;
    answer.bytes =
        "HTTP/1.1 101 Switching Protocols\r\n"
        "Upgrade: websocket\r\n"
        "Connection: Upgrade\r\n"
        "Sec-WebSocket-Accept: " +
        accept_for(request.value("Sec-WebSocket-Key")) +
        "\r\nWebSocket-Origin: " + site.host +
        "\r\nWebSocket-Location: " + site.location + "\r\n";
    if (agreement.v1)
        answer.bytes += std::string("Sec-WebSocket-Protocol: ") + kV1 + "\r\n";
    if (agreement.compression.takes)
        answer.bytes += "Sec-WebSocket-Extensions: " +
                        agreement.compression.answer + "\r\n";
    answer.bytes += "\r\n";
    return answer;
}

}  // namespace wschat
