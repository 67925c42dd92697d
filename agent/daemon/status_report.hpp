// The answer to `penstock status`: one JSON object about the whole agent, and how well it is.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/daemon/supervisor.hpp"
#include "agent/forward/forwarder.hpp"
#include "agent/pipeline/intake.hpp"
#include "agent/pipeline/source.hpp"
#include "buffer/store.hpp"

namespace penstock::daemon {

/// A connector's place with the supervisor, and what intake counted for it.
struct ConnectorReport {
  ConnectorStatus status;
  pipeline::SourceStats stats;
  buffer::GroupStats stored = {};
};

/// Everything the report is made from, at one moment.
struct StatusFacts {
  std::string device;
  std::string boot;
  std::int64_t uptime_us = 0;
  std::vector<std::string> config_files;
  std::string buffer_path;
  buffer::StoreStats store;
  pipeline::IntakeStats intake;
  std::optional<forward::ForwardStats> upstream;  ///< none: no upstream is configured
  std::vector<ConnectorReport> connectors;
};

enum class Health { ok, degraded, critical };
std::string_view to_string(Health health);

/// Worst of all findings; a sentence for each goes to `problems`.
Health judge(const StatusFacts& facts, std::vector<std::string>& problems);

/// One line of JSON.
std::string status_json(const StatusFacts& facts);

}  // namespace penstock::daemon
