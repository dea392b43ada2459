#include "flusher.h"

namespace wschat {

const std::vector<Flusher::Flushed>& Flusher::write() {
    do {
        outgoing_.clear();
        for (Flushed& each : flushed_)
            if (each.flush.next.count > 0)
                outgoing_.push_back({each.client->fd(), &each.flush.next});
        outflow_.write(outgoing_);
        auto written = outgoing_.begin();
        for (Flushed& each : flushed_)
            if (each.flush.next.count > 0)
                each.client->go_on(each.flush, written++->result);
    } while (!outgoing_.empty());
    return flushed_;
}

}  // namespace wschat
