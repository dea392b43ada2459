#include "room/room.h"

#include <algorithm>
#include <cassert>

namespace wschat {

void Room::append(std::string_view text, Deflater& deflater, Time now,
                  History::Kind kind) {
    history_.append(text, now, kind);
    // Deflating takes longer than everything else that is done for a message:
    // only for those who receive it so.
    if (deflated_.cursors() > 0) append_to_deflated(text, deflater);
}

void Room::append_to_deflated(std::string_view text, Deflater& deflater) {
    if (text.size() < kMinDeflated) return deflated_.append(text);
    const std::string_view deflated = deflater.deflate(text);
    // A message may be plain although deflate was agreed on (RFC 7692, 6.1).
    if (deflated.size() < text.size())
        deflated_.append_deflated(deflated);
    else
        deflated_.append(text);
}

void Room::append_ping() {
    history_.log().append_ping();
    deflated_.append_ping();
}

void Room::end_turn(Time now) {
    history_.log().end_turn(now);
    deflated_.end_turn(now);
}

Room::Start Room::start_for(const Resume& resume, size_t newest_wanted) const {
    const uint64_t newest = history_.newest();
    if (resume.epoch == epoch_ && resume.since <= newest &&
        resume.since + 1 >= history_.oldest())
        return {resume.since + 1, true};
    return {history_.first_of_newest(newest_wanted), false};
}

void Room::add(Member& member) {
    member.position = members_.size();
    members_.push_back(&member);
}

void Room::remove(Member& member) {
    assert(members_[member.position] == &member);
    // The order of members means nothing: the last one fills the gap.
    members_[member.position] = members_.back();
    members_[member.position]->position = member.position;
    members_.pop_back();
    member.position = Member::kNotIn;
    if (members_.size() < members_.capacity() / 4) members_.shrink_to_fit();
}

}  // namespace wschat
