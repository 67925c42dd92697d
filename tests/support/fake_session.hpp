// FakeSession: runs a connector without an agent, keeps what it pushed, and stops it on cue.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <variant>
#include <vector>

#include "agent/base/unique_fd.hpp"
#include "connectors/api/connector.hpp"
#include "tests/support/fake_clock.hpp"

namespace penstock::tests {

/// A pushed event as owned values: text of any kind as string.
struct SeenEvent {
  std::int64_t time_unix_us = 0;
  std::string part;
  std::map<std::string,
           std::variant<std::monostate, bool, std::int64_t, std::uint64_t, double, std::string>>
      fields;
  std::uint64_t lost = 0;
  bool exact = true;
  connectors::LossReason reason = connectors::LossReason::source;
  bool cut = false;

  std::string text(const std::string& name) const;  ///< "" if it is not there or not text
  double number(const std::string& name) const;     ///< any numeric kind; NaN if it is not there
  bool has(const std::string& name) const { return fields.count(name) != 0; }
};

/// Time is a FakeClock that sleep_for() moves, so a polling connector runs at full speed. After
/// each push and each sleep the hook decides whether to go on. A push is durable at once. Thread:
/// run() on one; request_stop() and the readers from any.
class FakeSession final : public connectors::Session {
 public:
  FakeSession();

  std::optional<std::string> resume_from(std::string_view part) const override;
  std::vector<std::string> known_parts() const override;
  Result<void> push(connectors::Chunk& chunk) override;
  Result<void> flush() override;
  bool sleep_for(std::chrono::microseconds time) override;
  std::stop_token stop_token() const override { return stop_.get_token(); }
  int stop_fd() const override { return stop_fd_.get(); }
  const Clock& clock() const override { return clock_; }
  Log& log() override { return log_; }
  bool is_trial() const override { return trial; }

  void request_stop();
  /// Called after each push and before each sleep, on the connector's thread.
  std::function<void(FakeSession&)> hook;
  /// Called in each flush before it returns, on the connector's thread.
  std::function<void(FakeSession&)> flush_hook;
  /// From the n-th push on (counted from 1) push refuses with `stopped`, as in a stop while it
  /// blocks.
  std::size_t refuse_from_push = 0;
  bool trial = false;

  std::vector<SeenEvent> events() const;
  std::map<std::string, std::string, std::less<>> positions() const;
  void set_positions(std::map<std::string, std::string, std::less<>> positions);
  std::size_t pushes() const;
  FakeClock& fake_clock() { return clock_; }

 private:
  mutable std::mutex mutex_;  // guards: events_, positions_, pushes_
  std::vector<SeenEvent> events_;
  std::map<std::string, std::string, std::less<>> positions_;
  std::size_t pushes_ = 0;
  FakeClock clock_;
  std::stop_source stop_;
  UniqueFd stop_fd_;
  Log log_{"conn.test"};
};

}  // namespace penstock::tests
