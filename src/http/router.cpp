#include "http/router.h"

#include <utility>

#include "http/assets.h"

namespace wschat {

namespace {

Response refuse_origin(const std::string& origin) {
    Response answer = error_response(403, "origin not allowed");
    const auto option = parse_origin(origin);
    answer.why = "origin " + origin;
    if (option && *option != "*")
        answer.why += ": --origin=" + *option + " would allow it";
    return answer;
}

Response judge_handshake(const Request& request, const ClientAddress& visitor,
                       const RouterConfig& rules, const Agreement& agreement) {
    if (auto error = find_handshake_error(request)) return *error;
    const Response answer{101, handshake_response(request, rules.site, agreement)};
    const size_t origins = request.count("Origin");
    // Without one it is no browser, whose user somebody's page could abuse.
    if (origins == 0) return answer;
    if (origins > 1) return error_response(400, "more than one Origin");
    const std::string origin(request.value("Origin"));
    if (is_allowed_origin(rules.origins, origin, request.value("Host"), visitor.local))
        return answer;
    return refuse_origin(origin);
}

void let_in(Admission& result, const Request& request, const RouterConfig& rules) {
    const Agreement agreement = negotiate(request, rules.deflate);
    result.answer =
        judge_handshake(request, result.visitor, rules, agreement);
    if (result.answer.status != 101) return;
    result.agreement = agreement;
    if (agreement.v1) result.resume = parse_resume(request.query);
}

void take_publication(Admission& result, const Request& request,
                      const RouterConfig& rules) {
    Publication publication =
        judge_publication(request, rules.keys, rules.max_upload);
    result.answer = std::move(publication.answer);
    result.upload = std::move(publication.upload);
    result.upload.room = result.room;
}

Response give_page(const Request& request, const RouterConfig& rules) {
    if (!rules.page) return error_response(404, "not found: only WebSocket connections are served");
    return asset_response(request, rules.rooms);
}

void judge(Admission& result, const Request& request, const RouterConfig& rules) {
    const auto room =
        rules.rooms ? room_name(request.path) : std::string("/");
    result.room = room.value_or("");
    if (request.error)
        result.answer = error_response(400, request.error);
    else if (result.visitor.error)
        result.answer = error_response(400, result.visitor.error);
    else if (!room)
        result.answer = error_response(400, "invalid room name in the path");
    else if (wants_websocket(request))
        let_in(result, request, rules);
    else if (request.method == "POST")
        take_publication(result, request, rules);
    else
        result.answer = give_page(request, rules);
}

}  // namespace

Admission admit(const HeadReader& head, const Peer& peer,
                const RouterConfig& rules) {
    Admission result;
    result.visitor.address = peer.address;
    if (head.state() == HeadReader::State::TooLarge) {
        result.answer = error_response(431, "request head too large");
        return result;
    }
    if (head.state() == HeadReader::State::BadByte) {
        result.answer = error_response(400, "malformed request head");
        return result;
    }
    const Request request = parse_request(head.text());
    result.visitor = find_client_address(request, peer, rules.trusted);
    judge(result, request, rules);
    if (request.method == "HEAD") remove_body(result.answer);
    return result;
}

}  // namespace wschat
