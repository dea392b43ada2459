// What a MessageReader accepts: plain values, for the options too.
#pragma once

#include <cstdint>

namespace wschat {

/// What a peer may send.
struct ReaderConfig {
    uint64_t max_message = 1 << 20;  // bytes; raw objects count like messages
    bool raw_json = true;  // accept raw JSON objects where a frame may start
};

}  // namespace wschat
