#include "agent/pipeline/agent_events.hpp"

#include <utility>
#include <vector>

namespace penstock::pipeline {

using connectors::Field;

AgentEvents::AgentEvents(const Clock& clock, const ClockTrust& trust, std::function<void()> wake)
    : clock_(clock), trust_(trust), wake_(std::move(wake)) {}

void AgentEvents::emit(std::string_view event, std::initializer_list<Field> fields) {
  emit(event, std::span<const Field>(fields.begin(), fields.size()));
}

void AgentEvents::emit(std::string_view event, std::span<const Field> fields) {
  std::vector<Field> all{{"event", event}};
  all.insert(all.end(), fields.begin(), fields.end());
  const std::int64_t time_us = trust_.takes(clock_) ? clock_.wall_us() : 0;
  {
    const std::lock_guard lock(mutex_);
    if (waiting_.size() > waiting_bytes_max) {
      ++lost_;
    } else {
      // Without a set clock intake stamps it, and says so in the event.
      waiting_.add(time_us, "", all);
    }
  }
  wake_();
}

bool AgentEvents::take(connectors::Chunk& out) {
  const std::lock_guard lock(mutex_);
  if (lost_ > 0) waiting_.lost("", std::exchange(lost_, 0));
  if (waiting_.is_empty()) return false;
  std::swap(waiting_, out);
  return true;
}

}  // namespace penstock::pipeline
