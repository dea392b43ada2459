// The command line: reads it into Settings, and describes it for --help. Opens
// no file and no socket.
#pragma once

#include <string>

#include "option_values.h"
#include "settings.h"
#include "util/log.h"

namespace wschat {

struct Options {
    enum class Action { Serve, ShowHelp, ShowVersion };
    Action action = Action::Serve;
    Log::Level log_level = Log::Level::Info;
    bool log_times = false;
    Settings settings;
};

/// Reads the command line that main() was called with. After --help or
/// --version it reads no further, and the settings are incomplete. Throws
/// UsageError for any mistake. REQUIRES: argv outlives all calls, since
/// getopt may look at it again.
Options parse_options(int argc, char** argv);

/// One line without its line feed: how to call the program.
extern const char kUsage[];

/// Returns the text of --help: the usage line, then every option with its
/// meaning and its default, in at most 80 columns.
std::string help_text();

extern const char kVersion[];

}  // namespace wschat
