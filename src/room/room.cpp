#include "room/room.h"

#include <algorithm>

namespace wschat {

void Room::publish(std::string_view text, Deflater& deflater,
                   History::Time now) {
    history_.append(text, now);
    if (deflated_.cursors() > 0) publish_deflated(text, deflater);
}

void Room::publish_deflated(std::string_view text, Deflater& deflater) {
    if (text.size() < kMinDeflated) return deflated_.append(text);
    const std::string_view deflated = deflater.deflate(text);
    if (deflated.size() < text.size())
        deflated_.append_deflated(deflated);
    else
        deflated_.append(text);
}

void Room::ping() {
    history_.log().append_ping();
    deflated_.append_ping();
}

void Room::mark() {
    history_.log().end_turn();
    deflated_.end_turn();
}

Room::Start Room::start_for(const Resume& resume, size_t newcomers_get) const {
    const uint64_t last = history_.newest();
    if (resume.epoch == epoch_ && resume.since <= last &&
        resume.since + 1 >= history_.oldest())
        return {resume.since + 1, true};
    return {last + 1 - std::min(newcomers_get, history_.size()), false};
}

Room::Seat Room::enter(uint32_t member) {
    members_.push_back(member);
    return static_cast<Seat>(members_.size() - 1);
}

void Room::leave(Seat seat) {
    members_[seat] = members_.back();
    members_.pop_back();
    if (members_.size() < members_.capacity() / 4) members_.shrink_to_fit();
}

}  // namespace wschat
