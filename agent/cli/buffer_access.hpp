// Access to a buffer for the commands: through the running agent, or the file itself when no agent
// holds it.
#pragma once

#include <filesystem>
#include <optional>

#include "agent/cli/commands.hpp"
#include "agent/daemon/control.hpp"
#include "agent/daemon/line_sink.hpp"

namespace penstock::cli {

/// Runs a buffer command wherever it can be run. dir: the buffer's directory; "": as the
/// configuration says. The answer's exit code: exit_unavailable if there is no buffer,
/// exit_try_again if it is held by an agent that does not answer, exit_permission, exit_data,
/// exit_config (told already: no text), or the command's own.
daemon::Answer access_buffer(const Globals& globals, const std::filesystem::path& dir,
                             const daemon::ControlRequest& request, daemon::LineSink& sink);

/// The directory that the buffer commands mean: `dir`, or as the configuration says. nullopt: it
/// cannot be used, which has been told; exit_code says how.
std::optional<std::filesystem::path> buffer_directory(const Globals& globals,
                                                      const std::filesystem::path& dir,
                                                      int& exit_code);

}  // namespace penstock::cli
