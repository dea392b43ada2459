#include <cstdio>
#include <exception>

#include <fcntl.h>
#include <unistd.h>

#include "util/log.h"
#include "options.h"
#include "server.h"

using namespace wschat;

namespace {

/// Opens what of standard input, output and error is closed: a client's
/// socket in their place would get the log.
void fill_standard_descriptors() {
    int fd;
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
