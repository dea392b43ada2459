// Writes to many clients what each of them is owed, together.
#pragma once

#include <string>
#include <vector>

#include "client.h"
#include "net/send_batch.h"

namespace wschat {

class Flusher {
public:
    /// As SendBatch has it.
    explicit Flusher(bool uring) : outflow_(uring) {}
    const std::string& way() const { return outflow_.method(); }

    struct Flushed {
        Client* client;
        Client::Flush flush;
    };

    /// Forgets those of the last time.
    void begin() { flushed_.clear(); }

    /// One more that is to be written to. REQUIRES: it is not yet among them,
    /// and its last flush is not Blocked any more.
    void add(Client& client) {
        flushed_.push_back({&client, client.begin_flush()});
    }

    /// Writes to all that were added, until nobody takes or is owed more.
    /// Returns what came of it, valid until begin().
    const std::vector<Flushed>& write();

private:
    SendBatch outflow_;
    std::vector<Flushed> flushed_;
    std::vector<SendRequest> outgoing_;  // what each of them is to be written
};

}  // namespace wschat
