// The command line: usage, version, and what the options say. Touches nothing
// outside.
#pragma once

#include <string>

#include "util/log.h"
#include "settings.h"
#include "values.h"

namespace wschat {

struct Options {
    enum class Action { Serve, ShowHelp, ShowVersion };
    Action action = Action::Serve;
    Log::Level log_level = Log::Level::Info;
    Settings settings;
};

/// Reads the command line as main() gets it. Throws UsageError.
Options parse_options(int argc, char** argv);

/// One line: how to call it.
extern const char kUsage[];

/// What --help prints, the usage line included.
std::string help_text();

extern const char kVersion[];

}  // namespace wschat
