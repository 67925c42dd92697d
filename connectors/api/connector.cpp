#include "connectors/api/connector.hpp"

namespace penstock::connectors {

Result<void> PollConnector::run(Session& session) {
  PENSTOCK_TRY(open(session));
  Chunk chunk;
  std::int64_t due_us = session.clock().steady_us();
  while (!session.stop_token().stop_requested()) {
    chunk.clear();
    PENSTOCK_TRY(poll(chunk));
    if (Result<void> pushed = session.push(chunk); !pushed.ok()) {
      if (pushed.error().code == Errc::stopped) return {};
      return pushed;
    }
    const std::int64_t now_us = session.clock().steady_us();
    const std::int64_t missed = (now_us - due_us) / every_.count();
    due_us += (missed + 1) * every_.count();
    if (!session.sleep_for(std::chrono::microseconds(due_us - now_us))) return {};
  }
  return {};
}

}  // namespace penstock::connectors
