#include "single_client.h"

#include <stdexcept>

#include <poll.h>

#include "honest_clients.h"

namespace wschat::attack {

namespace {

constexpr size_t kBuffer = 64 << 10;
constexpr std::chrono::seconds kTimeout{5};

constexpr uint32_t kNewcomer = loopback(1, 201);
constexpr uint32_t kReturner = loopback(1, 202);

/// Returns the text behind `before`, up to `after`.
std::string between(const std::string& text, const std::string& before,
                    char after) {
    const size_t at = text.find(before);
    if (at == text.npos) throw std::runtime_error("hello without " + before);
    const size_t begin = at + before.size();
    return text.substr(begin, text.find(after, begin) - begin);
}

}  // namespace

Newcomer::Newcomer(const Target& target)
    : connection_(target, kNewcomer), buffer_(kBuffer) {
    connection_.send(handshake(kHonestRoom, kDeflate));
}

std::optional<double> Newcomer::joined_after() {
    if (milliseconds_) return milliseconds_;
    connection_.flush();
    head_ += connection_.receive(buffer_);
    if (head_.rfind("HTTP/1.1 101 ", 0) != 0) return std::nullopt;
    const std::chrono::duration<double, std::milli> passed =
        Clock::now() - began_;
    return milliseconds_ = passed.count();
}

Returner::Returner(const Target& target) : target_(target) {
    const std::string text = hello("");
    query_ = "?epoch=" + between(text, R"("epoch":")", '"') +
             "&since=" + between(text, R"("last":)", ',');
}

bool Returner::can_resume() const {
    return hello(query_).find(R"("recovered":true)") != std::string::npos;
}

/// Returns all up to the end of the hello.
std::string Returner::hello(const std::string& query) const {
    Connection connection(target_, kReturner);
    connection.send(handshake(kHonestRoom + query,
                              "Sec-WebSocket-Protocol: wschat.v1\r\n"));
    std::vector<char> buffer(kBuffer);
    std::string text;
    const Time end = Clock::now() + kTimeout;
    while (text.find(R"("recovered":)") == text.npos ||
           text.find('}') == text.npos) {
        pollfd entry{connection.fd(), POLLIN, 0};
        poll(&entry, 1, 100);
        connection.flush();
        text += connection.receive(buffer);
        if (Clock::now() > end || !connection.is_open())
            throw std::runtime_error("a client of wschat.v1 gets no hello");
    }
    return text;
}

}  // namespace wschat::attack
