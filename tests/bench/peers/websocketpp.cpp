// A broadcast server on websocketpp, after its example broadcast_server: sends
// each message to all clients.
#include <cstdio>
#include <set>

#include <websocketpp/config/asio_no_tls.hpp>
#include <websocketpp/server.hpp>

namespace {

using Server = websocketpp::server<websocketpp::config::asio>;
using websocketpp::connection_hdl;

}  // namespace

int main() {
    Server server;
    std::set<connection_hdl, std::owner_less<connection_hdl>> clients;
    server.clear_access_channels(websocketpp::log::alevel::all);
    server.clear_error_channels(websocketpp::log::elevel::all);
    server.init_asio();
    server.set_open_handler([&](connection_hdl client) {
        clients.insert(client);
    });
    server.set_close_handler([&](connection_hdl client) {
        clients.erase(client);
    });
    server.set_message_handler(
        [&](connection_hdl, const Server::message_ptr& message) {
            for (const connection_hdl& client : clients) {
                websocketpp::lib::error_code error;
                server.send(client, message->get_payload(),
                            message->get_opcode(), error);
            }
        });
    server.listen(websocketpp::lib::asio::ip::tcp::v4(), 0);
    server.start_accept();
    websocketpp::lib::asio::error_code error;
    std::fprintf(stderr, "listening on 127.0.0.1:%d\n",
                 server.get_local_endpoint(error).port());
    server.run();
}
