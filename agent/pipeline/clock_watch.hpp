// Whether the wall clock can be believed, and when it was stepped or synchronised.
#pragma once

#include <cstdint>
#include <vector>

#include "agent/base/clock.hpp"

namespace penstock::pipeline {

struct ClockTrust {
  std::int64_t build_time_us = 0;  ///< a clock before this was never set
  bool waits_for_sync = false;     ///< `agent.clock: wait_for_sync`: the kernel must say so too

  bool takes(const Clock& clock) const {
    return clock.wall_us() >= build_time_us && (!waits_for_sync || clock.is_synced());
  }
};

struct ClockChange {
  enum class Kind : std::uint8_t { step, sync } kind = Kind::step;
  std::int64_t before_us = 0;  ///< what the wall clock would have shown
  std::int64_t after_us = 0;   ///< what it shows
  std::int64_t up_us = 0;      ///< CLOCK_BOOTTIME at that moment
};

/// Compares the wall clock with CLOCK_BOOTTIME, which never steps; slow slewing is not a step.
/// Thread: owner only.
class ClockWatch {
 public:
  static constexpr std::int64_t step_us_min = 1'000'000;

  ClockWatch(const Clock& clock, bool waits_for_sync)
      : clock_(clock),
        waits_for_sync_(waits_for_sync),
        was_synced_(is_synced()),
        offset_us_(clock.wall_us() - clock.boot_us()) {}

  /// Appends what has changed since the last check: a step of more than 1 s; then, if syncs are
  /// waited for, that the clock is synchronised now. Only the first of two has the difference.
  void check(std::vector<ClockChange>& out) {
    const std::int64_t up_us = clock_.boot_us();
    const std::int64_t wall_us = clock_.wall_us();
    std::int64_t before_us = up_us + offset_us_;
    offset_us_ = wall_us - up_us;
    const std::int64_t step_us = wall_us - before_us;
    if (step_us > step_us_min || step_us < -step_us_min) {
      out.push_back({ClockChange::Kind::step, before_us, wall_us, up_us});
      before_us = wall_us;
    }
    const bool had_synced = was_synced_;
    was_synced_ = is_synced();
    if (was_synced_ && !had_synced) {
      out.push_back({ClockChange::Kind::sync, before_us, wall_us, up_us});
    }
  }

 private:
  bool is_synced() const { return !waits_for_sync_ || clock_.is_synced(); }

  const Clock& clock_;
  const bool waits_for_sync_;
  bool was_synced_;
  std::int64_t offset_us_;  // wall minus boot time, at the last check
};

}  // namespace penstock::pipeline
