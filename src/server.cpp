#include "server.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include <malloc.h>
#include <poll.h>

#include "net/lookup.h"
#include "util/address.h"
#include "util/host.h"

namespace wschat {

namespace {

// Connections that a turn accepts from a listener, and for how long: a flood of
// them must not keep the clients waiting.
constexpr int kMaxAccepts = 128;
constexpr std::chrono::milliseconds kMaxAcceptTime(1);

constexpr std::chrono::seconds kAcceptRetry(1);
constexpr std::chrono::seconds kReloadRetry(1);

/// How often free memory is given back at most.
constexpr std::chrono::seconds kTrimInterval(10);

/// How much free memory is worth to be given back.
constexpr size_t kMuchFree = 16 << 20;

/// Bytes of free memory that stay with the process. What one turn allocates and
/// frees, TLS records above all, the next one needs again: to return it to the
/// kernel and get it back as new pages costs more than to encrypt into it.
constexpr int kSpareMemory = 4 << 20;

void keep_spare_memory() {
    mallopt(M_TRIM_THRESHOLD, kSpareMemory);
    mallopt(M_MMAP_THRESHOLD, kSpareMemory);
}

std::optional<TlsContext> load_tls(const Settings& settings) {
    if (settings.tls_certificate.empty()) return std::nullopt;
    return TlsContext(settings.tls_certificate, settings.tls_key);
}

PublishKeys load_keys(const Settings& settings) {
    return settings.publish_key.empty() ? PublishKeys()
                                        : PublishKeys(settings.publish_key);
}

}  // namespace

Server::Server(const Settings& settings, Log& log)
    : settings_(settings),
      log_(log),
      tls_(load_tls(settings)),
      ports_(open_ports(settings)),
      router_(make_router_config()),
      hub_(settings),
      connections_(settings, router_, hub_, poller_, log,
                   raise_descriptor_limit()) {
    keep_spare_memory();
    prepare_handshakes();
    std::string addresses;
    for (uint32_t i = 0; i < ports_.size(); ++i) {
        const Listener& listener = ports_[i].listener;
        ports_[i].handle =
            poller_.add(listener.fd(), POLLIN, {kListeners, i});
        addresses += (addresses.empty() ? "" : " and ") +
                     listener.endpoint().to_string();
    }
    log_.info("listening on " + addresses + url_to_open());
    if (settings.announce == Announce::Address)
        log_.info("announcing the address of each client"
                  " (--announce=address)");
    if (settings.announce == Announce::Count)
        log_.info("announcing the number of clients (--announce=count)");
    log_.flush();
    warn_of_unknown_host();
}

/// Pages of the site connect to this name, and only they are admitted.
void Server::warn_of_unknown_host() {
    const std::string& host = settings_.host;
    if (is_loopback_host(host) || is_ip_address(host) || has_address(host))
        return;
    log_.warning("host " + host +
                 " is not known here: browsers can't connect to that name");
    log_.flush();
}

std::vector<Server::Port> Server::open_ports(const Settings& settings) {
    std::vector<Port> ports;
    std::vector<Endpoint> endpoints = settings.endpoints;
    // The kernel must not give a slow peer up before --stall-timeout does.
    const auto stall = static_cast<int>(1000 * settings.stall_timeout.count());
    for (Endpoint& endpoint : endpoints)
        endpoint.unacked_timeout_ms =
            std::max(endpoint.unacked_timeout_ms, stall);
    for (Listener& listener : listen_at(endpoints))
        ports.push_back({std::move(listener)});
    return ports;
}

RouterConfig Server::make_router_config() const {
    RouterConfig config;
    config.site.host = host_in_url(settings_.host);
    config.site.location =
        websocket_location(settings_.host, port(), tls_.has_value());
    config.origins = {settings_.host, settings_.origins, tls_.has_value()};
    config.trusted_proxies = settings_.trusted_proxies;
    config.page = settings_.page;
    config.deflate = settings_.deflate;
    config.rooms = settings_.rooms;
    config.keys = load_keys(settings_);
    config.max_body = settings_.reader_config.max_message;
    return config;
}

/// Returns the TCP port, which is the same for all addresses. Without any, the
/// one of the command line, which a proxy may listen on.
int Server::port() const {
    for (const Port& port : ports_)
        if (!port.listener.endpoint().is_unix)
            return port.listener.endpoint().port;
    return settings_.port;
}

/// Returns ", open URL" for the log, with the URL by which a browser gets here;
/// empty if it would need a proxy.
std::string Server::url_to_open() const {
    const bool is_reachable =
        std::any_of(ports_.begin(), ports_.end(), [this](const Port& port) {
            const Endpoint& endpoint = port.listener.endpoint();
            return !endpoint.is_unix && (is_loopback_host(settings_.host) ||
                                         !is_loopback_host(endpoint.address));
        });
    if (!is_reachable) return "";
    const std::string scheme = settings_.page ? "http" : "ws";
    return ", open " + scheme + (tls_ ? "s" : "") + "://" + router_.site.host +
           ":" + std::to_string(port()) + "/";
}

// The order of a turn: signals first, so that a stop is not delayed by what the
// clients send; clients before newcomers, so that a flood of connections does
// not starve those who are there; what all of these have caused is sent at the
// end, as a rule once for each client.
void Server::run() {
    while (!is_finished()) {
        poller_.wait(next_event(), signals_.wait_mask());
        now_ = Clock::now();
        log_.begin_turn(now_);
        if (tls_) tls_->begin_turn(now_);
        hub_.begin_turn(now_);
        connections_.begin_turn(now_);
        handle_signals();
        serve();
        peak_connections_ = std::max(peak_connections_, connections_.size());
        if (connections_.end_turn() && is_out_of_descriptors_ &&
            !is_stopping())
            set_accepting(true);
        trim_memory();
        log_.flush();
    }
}

Time Server::next_event() {
    return std::min({connections_.next_event(), next_accept_, next_reload_,
                     stop_by_,
                     tls_ ? tls_->next_event() : Time::max(),
                     log_.next_event()});
}

bool Server::is_finished() const {
    return is_stopping() && (connections_.size() == 0 || now_ >= stop_by_ ||
                             signals_.stop_count() > 1);
}

void Server::handle_signals() {
    signals_.deliver_pending(now_);
    const bool is_asked = signals_.take_reload();
    is_retry_ = !is_asked;
    if (is_asked || now_ >= next_reload_) reload();
    if (signals_.stop_count() > 0 && !is_stopping()) stop();
}

/// Loads each file again. If one can't be used, what was loaded before stays.
void Server::reload() {
    next_reload_ = Time::max();
    const bool has_keys = !router_.keys.empty();
    if (!tls_ && !has_keys) return log_.info("SIGHUP: nothing to reload");
    if (tls_) reload("certificate", [this] { tls_->reload(); });
    if (has_keys)
        reload("keys", [this] { router_.keys = load_keys(settings_); });
}

template <typename Load>
void Server::reload(const std::string& what, Load load) {
    try {
        load();
        log_.info("SIGHUP: reloaded the " + what);
    } catch (const std::exception& error) {
        if (!is_retry_)
            log_.error("SIGHUP: " + std::string(error.what()) +
                       "; keeping the former " + what);
        // The file may be right. Later there may be a descriptor to read it.
        if (is_out_of_descriptors()) next_reload_ = now_ + kReloadRetry;
    }
}

/// Stops listening, and gives clients --close-timeout to close.
void Server::stop() {
    log_.info("stopping (" + describe_members(hub_.members()) + ")");
    stop_by_ = now_ + to_duration(settings_.close_timeout);
    next_accept_ = Time::max();
    // Before the clients are closed: one that comes back at once must reach the
    // next process, not this one.
    for (const Port& port : ports_) poller_.remove(port.handle);
    ports_.clear();
    connections_.close_all();
}

void Server::serve() {
    for (const Poller::Event& event : poller_.events())
        if (event.token.owner() == Connections::kClients)
            connections_.serve(event.token.id(), event.events);
    if (is_stopping()) return;
    if (now_ >= next_accept_) set_accepting(true);
    for (const Poller::Event& event : poller_.events())
        if (event.token.owner() == kListeners)
            accept_from_port(ports_[event.token.id()]);
}

void Server::accept_from_port(Port& port) {
    const bool tls = tls_ && !port.listener.endpoint().is_unix;
    const Time until = Clock::now() + kMaxAcceptTime;
    for (int n = 0; n < kMaxAccepts && Clock::now() < until; ++n) {
        Accepted accepted = accept_from(port.listener);
        if (accepted.state == Accepted::State::None) {
            is_out_of_descriptors_ = false;
            return;
        }
        if (accepted.state == Accepted::State::OutOfDescriptors) {
            if (!std::exchange(is_out_of_descriptors_, true))
                log_.error("out of descriptors at " +
                           std::to_string(connections_.size()) +
                           " connections: accepting again when one ends");
            return set_accepting(false);
        }
        switch (port.listener.endpoint().role) {
            case Role::Clients:
                connections_.add(std::move(accepted), tls ? &*tls_ : nullptr);
                break;
        }
    }
}

/// Without descriptors, a listener would be reported as ready in each turn: the
/// loop would spin until a client leaves.
void Server::set_accepting(bool accepting) {
    for (const Port& port : ports_)
        poller_.watch(port.handle, accepting ? POLLIN : 0);
    next_accept_ = accepting ? Time::max() : now_ + kAcceptRetry;
}

/// Gives free memory back to the kernel: when most clients have left, and now
/// and then if it is much. It is in pieces between used memory, and free()
/// alone gives back none of these. An idle daemon is not woken up for it.
void Server::trim_memory() {
    const bool have_most_left = connections_.size() < peak_connections_ / 4;
    if (!have_most_left && now_ < next_trim_) return;
    next_trim_ = now_ + kTrimInterval;
    if (have_most_left)
        peak_connections_ = connections_.size();
    else if (mallinfo2().fordblks <= kMuchFree)
        return;
    malloc_trim(0);
}

}  // namespace wschat
