// AgentEvents: what the agent tells about itself, as events of the stream `_agent`.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <mutex>
#include <string_view>

#include "agent/base/clock.hpp"
#include "agent/pipeline/clock_watch.hpp"
#include "connectors/api/event.hpp"

namespace penstock::pipeline {

/// Keeps emitted events until intake takes them with its next commit. Never blocks: beyond 64 KiB
/// of waiting events further ones are counted and become a loss record. Thread: any.
class AgentEvents {
 public:
  static constexpr std::string_view stream = "_agent";
  static constexpr std::size_t waiting_bytes_max = std::size_t{64} * 1024;

  /// wake: called after each emit, on the emitting thread; must only post.
  AgentEvents(const Clock& clock, const ClockTrust& trust, std::function<void()> wake);

  /// An event with the member `event` (start, stop, epoch_started, connector, upstream …) and then
  /// `fields`. Text is copied. Example: emit("connector", {{"name", name}, {"state", state}}).
  void emit(std::string_view event, std::initializer_list<connectors::Field> fields = {});
  void emit(std::string_view event, std::span<const connectors::Field> fields);

  /// Moves what waits into `out`, which must be empty; false if there is nothing.
  bool take(connectors::Chunk& out);

 private:
  const Clock& clock_;
  const ClockTrust trust_;
  const std::function<void()> wake_;
  std::mutex mutex_;           // guards: all below
  connectors::Chunk waiting_;  // events in the order they were emitted
  std::uint64_t lost_ = 0;     // refused since the last take
};

}  // namespace penstock::pipeline
