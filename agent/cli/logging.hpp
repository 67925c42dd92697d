// Logging as the command line and the surroundings want it.
#pragma once

#include <string_view>

#include "agent/cli/commands.hpp"

namespace penstock::cli {

/// -v and -q move `level` (trace … error) by one step each; the style is the journal's under
/// systemd, a terminal's on one.
void set_up_logging_for(const Globals& globals, std::string_view level);

}  // namespace penstock::cli
