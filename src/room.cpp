#include "room.h"

namespace wschat {

void Room::publish(std::string_view text) {
    plain_.publish(text);
    if (!deflated_.empty()) publish_deflated(text);
}

void Room::publish_deflated(std::string_view text) {
    if (text.size() < kMinDeflated) return deflated_.publish(text);
    const std::string_view deflated = deflater_.deflate(text);
    if (deflated.size() < text.size())
        deflated_.publish_deflated(deflated);
    else
        deflated_.publish(text);
}

void Room::ping() {
    plain_.ping();
    deflated_.ping();
}

void Room::mark() {
    plain_.mark();
    deflated_.mark();
}

void Room::tidy() {
    if (deflated_.empty()) deflater_.forget();
}

}  // namespace wschat
