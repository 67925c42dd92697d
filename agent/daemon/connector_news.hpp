// ConnectorNews: what of the connectors' ups and downs is logged and told in the stream `_agent`.
#pragma once

#include <map>
#include <string>

#include "agent/base/log.hpp"
#include "agent/daemon/supervisor.hpp"
#include "agent/pipeline/agent_events.hpp"

namespace penstock::daemon {

/// A change is told once: a source that fails again and again with the same words is not news.
/// Thread: one call at a time (the supervisor's).
class ConnectorNews {
 public:
  explicit ConnectorNews(pipeline::AgentEvents& events) : events_(events) {}

  void on_change(const ConnectorStatus& status);

 private:
  pipeline::AgentEvents& events_;
  Log log_{"agent"};
  std::map<std::string, std::string> told_errors_;  // connector -> error that was told last
};

}  // namespace penstock::daemon
