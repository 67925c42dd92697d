// The configured connectors as objects, made by their types; nothing is opened.
#pragma once

#include <memory>
#include <vector>

#include "config/agent_config.hpp"
#include "connectors/api/connector.hpp"

namespace penstock::daemon {

struct BuiltConnector {
  const config::ConnectorEntry* entry = nullptr;  ///< of the configuration it was made from
  const connectors::ConnectorType* type = nullptr;
  std::unique_ptr<connectors::Connector> connector;
};

/// In the order of the configuration, which must outlive the result. What a type refuses is left
/// out; it has reported that through its section, with the place.
std::vector<BuiltConnector> build_connectors(const config::AgentConfig& config);

}  // namespace penstock::daemon
