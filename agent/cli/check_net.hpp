// What `penstock check --net` does: each broker is resolved, connected to and logged in to.
#pragma once

#include <string>

#include "agent/cli/commands.hpp"
#include "config/agent_config.hpp"

namespace penstock::cli {

/// Prints a line for each broker: that it takes us, or how far it went and why not; with --json an
/// object. Publishes nothing; the client id is `client_id`, or where that is "" the agent's and
/// "-check", so that a running agent keeps its connection. Blocks for up to a minute for a broker
/// that does not answer. Returns the exit code: that of the first broker that does not work, as
/// `send` would have it; 78 without an upstream or with a secret that cannot be read.
int check_net(const config::AgentConfig& config, const Globals& globals,
              const std::string& client_id);

}  // namespace penstock::cli
