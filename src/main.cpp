// From the command line to the exit status: 0 after a signal to stop, 1 if the
// server can't run, 2 for a bad command line.
#include <cstdio>
#include <exception>

#include <fcntl.h>
#include <unistd.h>

#include "options.h"
#include "server.h"
#include "util/log.h"

using namespace wschat;

namespace {

/// Opens /dev/null for each of standard input, output and error that is closed.
/// Otherwise a client's socket could become descriptor 2, and log lines would
/// be sent to that client.
void fill_standard_descriptors() {
    int fd;
    // open() returns the lowest free number: above 2, all three are in use.
    do fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0) close(fd);
}

}  // namespace

int main(int argc, char** argv) {
    fill_standard_descriptors();
    Options options;
    try {
        options = parse_options(argc, argv);
    } catch (const UsageError& error) {
        std::fprintf(stderr, "wschat: %s\n%s\n", error.what(), kUsage);
        return 2;
    }
    if (options.action == Options::Action::ShowHelp)
        return std::fputs(help_text().c_str(), stdout) < 0;
    if (options.action == Options::Action::ShowVersion)
        return std::printf("wschat %s\n", kVersion) < 0;

    Log log(options.log_level);
    try {
        Server(options.settings, log).run();
    } catch (const std::exception& error) {
        log.error(error.what());
        return 1;
    }
    return 0;
}
