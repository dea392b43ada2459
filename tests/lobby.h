// A room with what it needs, at a time that stands still unless told.
#pragma once

#include <string_view>

#include "room.h"

namespace wschat::test {

/// REQUIRES: stays where it is.
class Lobby {
public:
    /// Keeps so many messages.
    explicit Lobby(size_t keep = 0) { rules_.messages = keep; }
    Lobby(const Lobby&) = delete;
    Lobby& operator=(const Lobby&) = delete;

    void publish(std::string_view text) { room.publish(text, deflater_, now); }
    void ping() { room.ping(); }
    void mark() { room.mark(); }
    void rest() { deflater_.rest(); }
    size_t capacity() {
        return room.run(false).capacity() + room.run(true).capacity();
    }

private:
    KeepRules rules_;
    Deflater deflater_;

public:
    Room room{"/", "epoch", rules_};
    History::Time now{};
};

}  // namespace wschat::test
