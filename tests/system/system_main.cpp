// The system tests: the real program, started anew by each test and spoken to
// over sockets.
#define DOCTEST_CONFIG_IMPLEMENT
#include <csignal>

#include <doctest/doctest.h>

#include "net/socket.h"

int main(int argc, char** argv) {
    std::signal(SIGPIPE, SIG_IGN);
    wschat::raise_descriptor_limit();
    return doctest::Context(argc, argv).run();
}
