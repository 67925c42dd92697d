// ProbeSession: lends a connector what it needs outside the agent; shows what it pushes and stores
// nothing.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/unique_fd.hpp"
#include "connectors/api/connector.hpp"

namespace penstock::cli {

/// One event or loss of a chunk, for people: "21:39:15.276  temp 21.5   running true".
std::string event_for_people(const connectors::Chunk& chunk, const connectors::Chunk::Event& event);
/// The same for programs; values as in the wire contract, without its numbers and identity.
std::string event_for_programs(const connectors::Chunk& chunk,
                               const connectors::Chunk::Event& event);

/// Never has a position, so each source begins as if it was seen for the first time.
/// Thread: run() on one; request_stop and shown_count from any.
class ProbeSession final : public connectors::Session {
 public:
  using Show = std::function<void(const connectors::Chunk&, const connectors::Chunk::Event&)>;
  /// Calls `show` for each of the first `count_max` events on the connector's thread, then asks for
  /// stop. Throws nothing; a missing eventfd shows as stop_fd() < 0.
  ProbeSession(std::string name, std::uint64_t count_max, Show show);

  std::optional<std::string> resume_from(std::string_view) const override { return std::nullopt; }
  std::vector<std::string> known_parts() const override { return {}; }
  Result<void> push(connectors::Chunk& chunk) override;
  Result<void> flush() override { return {}; }
  bool sleep_for(std::chrono::microseconds time) override;
  std::stop_token stop_token() const override { return stop_.get_token(); }
  int stop_fd() const override { return stop_fd_.get(); }
  bool is_trial() const override { return true; }
  const Clock& clock() const override { return system_clock(); }
  Log& log() override { return log_; }

  void request_stop();
  std::uint64_t shown_count() const;

 private:
  const std::uint64_t count_max_;
  const Show show_;
  Log log_;
  std::stop_source stop_;
  UniqueFd stop_fd_;
  mutable std::mutex mutex_;  // guards: shown_count_; and is what sleep_for waits with
  std::condition_variable_any stopped_;
  std::uint64_t shown_count_ = 0;
};

}  // namespace penstock::cli
