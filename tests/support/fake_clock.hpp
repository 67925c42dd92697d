// FakeClock: time that stands still until a test moves it.
#pragma once

#include <atomic>
#include <chrono>

#include "agent/base/clock.hpp"

namespace penstock::tests {

/// Thread: any.
class FakeClock final : public Clock {
 public:
  std::int64_t wall_us() const override { return wall_us_; }
  std::int64_t steady_us() const override { return steady_us_; }
  std::int64_t boot_us() const override { return steady_us_; }
  bool is_synced() const override { return is_synced_; }

  /// Time passes: all clocks move.
  void advance(std::chrono::microseconds time) {
    wall_us_ += time.count();
    steady_us_ += time.count();
  }
  /// The wall clock alone is set.
  void step_wall(std::int64_t wall_us) { wall_us_ = wall_us; }
  void set_synced(bool is_synced) { is_synced_ = is_synced; }

 private:
  std::atomic<std::int64_t> wall_us_{1'764'000'000'000'000};
  std::atomic<std::int64_t> steady_us_{1'000'000'000};
  std::atomic<bool> is_synced_{true};
};

}  // namespace penstock::tests
