// What each room is told, out of the configuration.
#pragma once

#include <string>

#include "agent/daemon/connector_set.hpp"
#include "agent/forward/forwarder.hpp"
#include "agent/pipeline/intake.hpp"
#include "config/agent_config.hpp"

namespace penstock::daemon {

pipeline::IntakeOptions intake_options(const config::AgentConfig& config, const std::string& boot);
pipeline::SourceOptions source_options(const BuiltConnector& built);
/// `upstream` is copied where it is needed later.
forward::ForwardOptions forward_options(const config::AgentConfig& config,
                                        const config::UpstreamSettings& upstream,
                                        const std::string& boot);

}  // namespace penstock::daemon
