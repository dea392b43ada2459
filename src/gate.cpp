#include "gate.h"

#include "pages.h"

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

Answer judge(const Request& request, const Visitor& visitor,
             const GateRules& rules, const Agreement& agreement) {
    if (request.error) return refuse(400, request.error);
    if (visitor.error) return refuse(400, visitor.error);
    if (!wants_websocket(request))
        return rules.page ? answer_page(request)
                          : refuse(404, "nothing but WebSockets is here");
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
    result.agreement = agree(request, rules.deflate);
    result.answer = judge(request, result.visitor, rules, result.agreement);
    if (result.answer.status != 101) result.agreement = {};
    result.page = result.answer.status < 400 && result.answer.status != 101;
    if (request.method == "HEAD") drop_body(result.answer);
    return result;
}

}  // namespace wschat
