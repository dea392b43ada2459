#include "server.h"

#include <algorithm>
#include <utility>

#include <malloc.h>
#include <poll.h>

namespace wschat {

namespace {

constexpr int kMaxAccepts = 128;  // connections that a turn accepts
constexpr std::chrono::seconds kAcceptRetry(1);
constexpr int kSpareMemory = 4 << 20;  // bytes that are free and stay ours

std::optional<TlsContext> load_tls(const Settings& settings) {
    if (settings.tls_certificate.empty()) return std::nullopt;
    return TlsContext(settings.tls_certificate, settings.tls_key);
}

PublishKeys load_keys(const Settings& settings) {
    return settings.publish_key.empty() ? PublishKeys() : PublishKeys(settings.publish_key);
}

Poller poller_of(const std::vector<Listener>& listeners) {
    Poller poller;
    for (const Listener& listener : listeners)
        poller.add(listener.fd(), POLLIN);
    return poller;
}

/// What a turn takes and frees, records for a crowd on TLS above all, the next
/// one takes again: to give it back each time costs more than to fill it.
void keep_spare_memory() {
    mallopt(M_TRIM_THRESHOLD, kSpareMemory);
    mallopt(M_MMAP_THRESHOLD, kSpareMemory);
}

}  // namespace

Server::Server(const Settings& settings, Log& log)
    : settings_(settings),
      log_(log),
      tls_(load_tls(settings)),
      listeners_(listen_at(settings.endpoints)),
      gate_(gate_rules()),
      poller_(poller_of(listeners_)),
      crowd_(settings, log, gate_, poller_) {
    raise_descriptor_limit();
    keep_spare_memory();
    prepare_handshakes();
    std::string places;
    for (const Listener& listener : listeners_)
        places += (places.empty() ? "" : " and ") +
                  listener.endpoint().to_string();
    log_.info("listening on " + places + url_to_open());
    log_.debug("send method: " + crowd_.way());
    log_.flush();
}

RouterConfig Server::gate_rules() const {
    RouterConfig gate;
    gate.site.host = host_in_url(settings_.host);
    gate.site.location =
        websocket_location(settings_.host, port(), tls_.has_value());
    gate.origins = {settings_.host, settings_.origins};
    gate.trusted = settings_.trusted_proxies;
    gate.page = settings_.page;
    gate.deflate = settings_.deflate;
    gate.rooms = settings_.rooms;
    gate.keys = load_keys(settings_);
    gate.max_upload = settings_.reader_config.max_message;
    return gate;
}

/// All TCP addresses have the same.
int Server::port() const {
    for (const Listener& listener : listeners_)
        if (!listener.endpoint().is_unix) return listener.endpoint().port;
    return settings_.port;
}

/// How a browser gets here; nothing if it needs a proxy for that.
std::string Server::url_to_open() const {
    bool reachable = false;
    for (const Listener& listener : listeners_) {
        const Endpoint& endpoint = listener.endpoint();
        reachable = reachable ||
                    (!endpoint.is_unix &&
                     (is_loopback_host(settings_.host) ||
                      !is_loopback_host(endpoint.address)));
    }
    if (!reachable) return "";
    const std::string scheme = settings_.page ? "http" : "ws";
    return ", open " + scheme + (tls_ ? "s" : "") + "://" + gate_.site.host +
           ":" + std::to_string(port()) + "/";
}

void Server::run() {
    while (!finished()) {
        poller_.wait(std::min({crowd_.next_event(), next_accept_, stop_by_}),
                     signals_.while_asleep());
        now_ = Clock::now();
        crowd_.begin_turn(now_);
        heed_signals();
        crowd_.serve();
        accept_new();
        const bool some_left = crowd_.end_turn();
        if (some_left && starved_ && !stopping_) set_accepting(true);
        log_.flush();
    }
}

bool Server::finished() const {
    return stopping_ &&
           (crowd_.size() == 0 || now_ >= stop_by_ || signals_.stops() > 1);
}

void Server::heed_signals() {
    signals_.look(now_);
    if (signals_.take_reload()) reload();
    if (signals_.stops() > 0 && !stopping_) stop();
}

/// What can't be used stays as it was, file by file.
void Server::reload() {
    const bool has_keys = !gate_.keys.empty();
    if (!tls_ && !has_keys)
        return log_.info("SIGHUP: nothing to reload");
    try {
        if (tls_) tls_->reload();
        if (tls_) log_.info("SIGHUP: the certificate was reloaded");
    } catch (const std::exception& error) {
        log_.error("SIGHUP: " + std::string(error.what()) +
                   "; the former certificate stays in use");
    }
    try {
        if (has_keys) gate_.keys = load_keys(settings_);
        if (has_keys) log_.info("SIGHUP: the keys were reloaded");
    } catch (const std::exception& error) {
        log_.error("SIGHUP: " + std::string(error.what()) +
                   "; the former keys stay in use");
    }
}

/// Stops listening, and gives clients the time to go.
void Server::stop() {
    log_.info("stopping" + crowd_.count_members());
    stopping_ = true;
    stop_by_ = now_ + std::chrono::duration_cast<Clock::duration>(
                          settings_.close_timeout);
    next_accept_ = Time::max();
    for (size_t i = 0; i < listeners_.size(); ++i) poller_.mute(i);
    listeners_.clear();
    crowd_.dismiss();
}

void Server::accept_new() {
    if (now_ >= next_accept_) set_accepting(true);
    for (size_t i = 0; i < listeners_.size(); ++i)
        if (poller_.happened(i)) accept_at(i);
}

void Server::accept_at(size_t listener) {
    const bool tls = tls_ && !listeners_[listener].endpoint().is_unix;
    for (int n = 0; n < kMaxAccepts; ++n) {
        Accepted peer = accept_from(listeners_[listener]);
        if (peer.state == Accepted::State::OutOfDescriptors) {
            if (!std::exchange(starved_, true))
                log_.error("out of descriptors at " +
                           std::to_string(crowd_.size()) +
                           " connections: accepting again when one ends");
            return set_accepting(false);
        }
        if (peer.state == Accepted::State::None) {
            starved_ = false;
            return;
        }
        crowd_.add(std::move(peer), tls ? &*tls_ : nullptr);
    }
}

void Server::set_accepting(bool accepting) {
    for (size_t i = 0; i < listeners_.size(); ++i)
        poller_.watch(i, accepting ? POLLIN : 0);
    next_accept_ = accepting ? Time::max() : now_ + kAcceptRetry;
}

}  // namespace wschat
