#include "agent/daemon/connector_news.hpp"

namespace penstock::daemon {

void ConnectorNews::on_change(const ConnectorStatus& status) {
  std::string& told = told_errors_[status.name];
  switch (status.state) {
    case ConnectorState::running:
    case ConnectorState::stopped:
      log_.debug("event=connector_{} connector={} restarts={}", to_string(status.state),
                 status.name, status.restarts);
      return;
    case ConnectorState::waiting: {
      const std::int64_t retry_ms = (status.next_try_unix_us - status.since_unix_us) / 1000;
      const bool is_news = status.failures_in_a_row == 1 || told != status.last_error;
      if (!is_news) {
        log_.debug("event=connector_waiting connector={} retry_in_ms={}", status.name, retry_ms);
        return;
      }
      log_.warn("event=connector_waiting connector={} retry_in_ms={} error={}", status.name,
                retry_ms, quoted(status.last_error));
      break;
    }
    case ConnectorState::failed:
      log_.error("event=connector_failed connector={} error={}", status.name,
                 quoted(status.last_error));
      break;
    case ConnectorState::finished:
      log_.info("event=connector_finished connector={}", status.name);
      break;
  }
  const bool has_error = status.state != ConnectorState::finished;
  told = has_error ? status.last_error : std::string();
  if (has_error) {
    events_.emit("connector", {{"name", std::string_view(status.name)},
                               {"state", to_string(status.state)},
                               {"error", std::string_view(status.last_error)}});
  } else {
    events_.emit("connector",
                 {{"name", std::string_view(status.name)}, {"state", to_string(status.state)}});
  }
}

}  // namespace penstock::daemon
