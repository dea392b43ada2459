#include "http/router.h"

#include <optional>
#include <utility>

#include "http/assets.h"
#include "util/text.h"

namespace wschat {

namespace {

constexpr size_t kMaxLoggedPath = 200;

using Action = decltype(Route::action);

/// Bytes of what a peer says that the log quotes. A head has up to 8 KiB, and
/// the log would show each byte of it as up to four.
constexpr size_t kMaxQuoted = 200;

Response forbid_origin(const std::string& origin) {
    Response response = error_response(403, "origin not allowed");
    // The log names the remedy. The client is not told: a page of another site
    // has no use for it.
    response.why = "origin " + shorten(origin, kMaxQuoted);
    // With a part of the origin, the option would not work.
    const auto option =
        origin.size() <= kMaxQuoted ? parse_origin(origin) : std::nullopt;
    if (option && *option != "*")
        response.why += ": --origin=" + *option + " would allow it";
    return response;
}

std::optional<Response> find_origin_error(const Request& request,
                                          const ClientAddress& client,
                                          const RouterConfig& config) {
    const size_t origins = request.count("Origin");
    // Only browsers send one, and only a browser has a user whose rights a
    // page of another site could abuse (RFC 6455, section 10.2).
    if (origins == 0) return std::nullopt;
    if (origins > 1) return error_response(400, "more than one Origin");
    const std::string origin(request.value("Origin"));
    if (is_allowed_origin(config.origins, origin, request.value("Host"),
                          client.is_local))
        return std::nullopt;
    return forbid_origin(origin);
}

Action upgrade(const Request& request, const ClientAddress& client,
               std::string room, const RouterConfig& config) {
    // Before the origin: if the log names a refused origin, the request was a
    // valid handshake, most likely that of a browser.
    if (auto error = find_handshake_error(request)) return Respond{*error};
    if (auto error = find_origin_error(request, client, config))
        return Respond{*error};
    Upgrade upgrade;
    upgrade.agreement = negotiate(request, config.deflate);
    upgrade.response =
        handshake_response(request, config.site, upgrade.agreement);
    upgrade.room = std::move(room);
    if (upgrade.agreement.v1) upgrade.resume = parse_resume(request.query);
    return upgrade;
}

Action publish(const Request& request, const std::string& room,
               const RouterConfig& config) {
    // Its author expects that only the clients of this path receive it. A
    // handshake may have any path: the tutorial's pages name a script.
    if (!config.rooms && request.path != "/")
        return Respond{error_response(404, kNeedsRooms)};
    auto accepted = accept_publish(request, room, config.keys, config.max_body);
    if (auto* expected = std::get_if<ExpectBody>(&accepted))
        return std::move(*expected);
    return Respond{std::get<Response>(std::move(accepted))};
}

Response serve_page(const Request& request, const RouterConfig& config) {
    if (config.page)
        return asset_response(request, config.rooms,
                              frame_ancestors(config.origins));
    return error_response(404,
                          "not found: only WebSocket connections are served");
}

/// Answers a request for the path of a room with a slash at its end. Browsers
/// are sent to the room. Scripts are told, because few of them repeat a POST or
/// a handshake at another URL.
Response answer_trailing_slash(const Request& request,
                               const RouterConfig& config) {
    const bool is_page = config.page && !wants_websocket(request) &&
                         (request.method == "GET" || request.method == "HEAD");
    if (!is_page)
        return error_response(400, "room name with a slash at its end");
    // Relative, because a proxy may publish the page under a prefix.
    std::string_view name = request.path;
    name.remove_suffix(1);
    name.remove_prefix(name.rfind('/'));
    std::string location = ".." + std::string(name);
    if (!request.query.empty()) location += "?" + std::string(request.query);
    return make_response(308, "Location: " + location + "\r\n", "");
}

/// True for the path of a room, except "/", with a slash at its end.
bool has_trailing_slash(std::string_view path) {
    if (path.size() < 3 || path.back() != '/') return false;
    path.remove_suffix(1);
    return room_name(path).has_value();
}

Action choose_action(const Request& request, const ClientAddress& client,
                     const RouterConfig& config) {
    // A malformed request is refused whatever it wants: a proxy and this server
    // might read it in two ways, which attacks make use of.
    if (request.error) return Respond{error_response(400, request.error)};
    if (client.error) return Respond{error_response(400, client.error)};
    const auto room =
        config.rooms ? room_name(request.path) : std::string("/");
    if (!room && has_trailing_slash(request.path))
        return Respond{answer_trailing_slash(request, config)};
    if (!room)
        return Respond{error_response(400, "invalid room name in the path")};
    // Before the method: a handshake with the wrong one is told what is wrong
    // with it, not that there is no such page.
    if (wants_websocket(request))
        return upgrade(request, client, *room, config);
    if (request.method == "POST") return publish(request, *room, config);
    return Respond{serve_page(request, config)};
}

}  // namespace

Route route(const HeadReader& head, const Address& peer,
            const RouterConfig& config) {
    if (head.state() == HeadReader::State::TooLarge)
        return {{peer}, Respond{error_response(431, "request head too large")}};
    if (head.state() == HeadReader::State::BadByte)
        return {{peer}, Respond{error_response(400, "malformed request head")}};
    const Request request = parse_request(head.text());
    Route route;
    route.client =
        find_client_address(request, peer, config.trusted_proxies);
    route.action = choose_action(request, route.client, config);
    auto* respond = std::get_if<Respond>(&route.action);
    if (respond && request.method == "HEAD") remove_body(respond->response);
    if (!request.path.empty())
        route.request = std::string(request.method) + " " +
                        shorten(request.path, kMaxLoggedPath);
    return route;
}

}  // namespace wschat
