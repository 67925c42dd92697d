// Clocks: the wall clock in µs, and the two monotonic ones, behind an interface that tests replace.
#pragma once

#include <cstdint>

namespace penstock {

/// Thread: any.
class Clock {
 public:
  virtual ~Clock() = default;
  /// UTC, µs since 1970. May step in either direction.
  virtual std::int64_t wall_us() const = 0;
  /// CLOCK_MONOTONIC in µs: never steps, stands still in suspend. For timers.
  virtual std::int64_t steady_us() const = 0;
  /// CLOCK_BOOTTIME in µs: never steps, counts suspend. For ages.
  virtual std::int64_t boot_us() const = 0;
  /// The kernel's word that something (NTP, PTP, GPS …) keeps the wall clock right. True where it
  /// cannot be asked.
  virtual bool is_synced() const = 0;
};

/// The kernel's clocks.
const Clock& system_clock();

}  // namespace penstock
