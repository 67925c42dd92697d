// ClockWatch: whether the wall clock has been set, and when it was stepped.
#pragma once

#include <cstdint>
#include <optional>

#include "agent/base/clock.hpp"

namespace penstock::pipeline {

struct ClockStep {
  std::int64_t before_us = 0;  ///< what the wall clock would have shown
  std::int64_t after_us = 0;   ///< what it shows
  std::int64_t up_us = 0;      ///< CLOCK_BOOTTIME at that moment
};

/// Compares the wall clock with CLOCK_BOOTTIME, which never steps; slow slewing is not a step.
/// Thread: owner only.
class ClockWatch {
 public:
  static constexpr std::int64_t step_us_min = 1'000'000;

  explicit ClockWatch(const Clock& clock)
      : clock_(clock), offset_us_(clock.wall_us() - clock.boot_us()) {}

  /// The step of more than 1 s since the last check, if there was one.
  std::optional<ClockStep> check() {
    const std::int64_t up_us = clock_.boot_us();
    const std::int64_t wall_us = clock_.wall_us();
    const std::int64_t before_us = up_us + offset_us_;
    offset_us_ = wall_us - up_us;
    const std::int64_t step_us = wall_us - before_us;
    if (step_us <= step_us_min && step_us >= -step_us_min) return std::nullopt;
    return ClockStep{before_us, wall_us, up_us};
  }

 private:
  const Clock& clock_;
  std::int64_t offset_us_;  // wall minus boot time, at the last check
};

}  // namespace penstock::pipeline
