// From the command line to the exit status: 0 after a signal to stop, or when
// the help or the version was printed; 1 if the server can't run or the text
// can't be written; 2 for a bad command line.
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <string>

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

/// Returns the exit status. The text may be in the buffer of stdout until it is
/// flushed, so only that shows whether it could be written.
int print(const std::string& text) {
    if (std::fputs(text.c_str(), stdout) >= 0 && std::fflush(stdout) == 0)
        return 0;
    std::fprintf(stderr, "wschat: cannot write to standard output: %s\n",
                 std::strerror(errno));
    return 1;
}

}  // namespace

int main(int argc, char** argv) {
    fill_standard_descriptors();
    Options options;
    try {
        options = parse_options(argc, argv);
    } catch (const UsageError& error) {
        std::fprintf(stderr, "wschat: %s\ntry 'wschat --help'\n",
                     error.what());
        return 2;
    }
    if (options.action == Options::Action::ShowHelp)
        return print(help_text());
    if (options.action == Options::Action::ShowVersion)
        return print(std::string("wschat ") + kVersion + "\n");

    Log log(options.log_level, options.log_times);
    try {
        Server(options.settings, log).run();
    } catch (const std::exception& error) {
        log.error(error.what());
        return 1;
    }
    return 0;
}
