#include "agent/daemon/connector_set.hpp"

namespace penstock::daemon {

std::vector<BuiltConnector> build_connectors(const config::AgentConfig& config) {
  std::vector<BuiltConnector> built;
  for (const config::ConnectorEntry& entry : config.connectors) {
    const connectors::ConnectorType* type = connectors::find_type(entry.type);
    if (type == nullptr) continue;  // the loader has refused it
    Result<std::unique_ptr<connectors::Connector>> made = type->make(entry.section);
    if (made.ok()) built.push_back({&entry, type, std::move(made).value()});
  }
  return built;
}

}  // namespace penstock::daemon
