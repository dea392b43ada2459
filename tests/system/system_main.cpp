// The system tests. Each one starts the real program and talks to it over
// sockets.
#define DOCTEST_CONFIG_IMPLEMENT
#include <csignal>

#include <doctest/doctest.h>

#include "net/socket.h"

int main(int argc, char** argv) {
    std::signal(SIGPIPE, SIG_IGN);
    wschat::raise_descriptor_limit();
    return doctest::Context(argc, argv).run();
}
