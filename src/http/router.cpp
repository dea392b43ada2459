#include "http/router.h"

#include <utility>

#include "http/assets.h"

namespace wschat {

namespace {

Answer refuse_origin(const std::string& origin) {
    Answer answer = refuse(403, "this origin is not admitted");
    const auto option = parse_origin(origin);
    answer.why = "origin " + origin;
    if (option && *option != "*")
        answer.why += ": --origin=" + *option + " would admit it";
    return answer;
}

Answer judge_handshake(const Request& request, const Visitor& visitor,
                       const GateRules& rules, const Agreement& agreement) {
    const Answer answer = answer_handshake(request, rules.site, agreement);
    const size_t origins = request.count("Origin");
    // Without one it is no browser, whose user somebody's page could abuse.
    if (answer.status != 101 || origins == 0) return answer;
    if (origins > 1) return refuse(400, "more than one Origin");
    const std::string origin(request.value("Origin"));
    if (admits(rules.origins, origin, request.value("Host"), visitor.local))
        return answer;
    return refuse_origin(origin);
}

void let_in(Admission& result, const Request& request, const GateRules& rules) {
    const Agreement agreement = agree(request, rules.deflate);
    result.answer =
        judge_handshake(request, result.visitor, rules, agreement);
    if (result.answer.status != 101) return;
    result.agreement = agreement;
    if (agreement.v1) result.resume = parse_resume(request.query);
}

void take_publication(Admission& result, const Request& request,
                      const GateRules& rules) {
    Publication publication =
        judge_publication(request, rules.keys, rules.max_upload);
    result.answer = std::move(publication.answer);
    result.upload = std::move(publication.upload);
    result.upload.room = result.room;
}

Answer give_page(const Request& request, const GateRules& rules) {
    if (!rules.page) return refuse(404, "nothing but WebSockets is here");
    return answer_page(request, rules.rooms);
}

void judge(Admission& result, const Request& request, const GateRules& rules) {
    const auto room =
        rules.rooms ? room_name(request.path) : std::string("/");
    result.room = room.value_or("");
    if (request.error)
        result.answer = refuse(400, request.error);
    else if (result.visitor.error)
        result.answer = refuse(400, result.visitor.error);
    else if (!room)
        result.answer = refuse(400, "the path names no room");
    else if (wants_websocket(request))
        let_in(result, request, rules);
    else if (request.method == "POST")
        take_publication(result, request, rules);
    else
        result.answer = give_page(request, rules);
}

}  // namespace

Admission admit(const HeadReader& head, const Peer& peer,
                const GateRules& rules) {
    Admission result;
    result.visitor.address = peer.address;
    if (head.state() == HeadReader::State::TooLarge) {
        result.answer = refuse(431, "request head too large");
        return result;
    }
    if (head.state() == HeadReader::State::BadByte) {
        result.answer = refuse(400, "malformed request head");
        return result;
    }
    const Request request = parse_request(head.text());
    result.visitor = find_visitor(request, peer, rules.trusted);
    judge(result, request, rules);
    if (request.method == "HEAD") drop_body(result.answer);
    return result;
}

}  // namespace wschat
