// The daemon: the agent's life between the command line and the exit code.
#pragma once

#include <chrono>
#include <filesystem>
#include <vector>

#include "agent/daemon/connector_set.hpp"
#include "config/agent_config.hpp"

namespace penstock::daemon {

struct DaemonOptions {
  std::filesystem::path socket;          ///< of --socket; "": the default place
  std::chrono::microseconds run_for{0};  ///< stop by itself after this long; 0: never
};

/// Runs until SIGINT, SIGTERM or run_for. Where the buffer turns out to be damaged it stops and
/// starts again within, as after a crash. Returns the exit code: 0 after a clean stop, else why it
/// could not start or what was not stored. Does not return if a connector ignores the stop: then
/// the process ends here, after the store is closed. A second signal ends it at once with 130 or
/// 143. Thread: main, before any other was started.
int run_daemon(const config::LoadedConfig& config, std::vector<BuiltConnector> connectors,
               const DaemonOptions& options);

}  // namespace penstock::daemon
