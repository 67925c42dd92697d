// Backoff: how long to wait before the next try; doubles, has a bound, and is spread by chance.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace penstock::daemon {

struct Backoff {
  std::chrono::microseconds first = std::chrono::seconds(1);
  std::chrono::microseconds longest = std::chrono::seconds(60);

  /// failures: in a row, >= 1. chance: 0 … 1. Between `first` and first x 2^failures, at most
  /// `longest`, so that many agents do not come back in step.
  std::chrono::microseconds delay(std::uint32_t failures, double chance) const {
    const std::uint32_t doublings = std::min<std::uint32_t>(failures, 30);
    const double bound = std::min(static_cast<double>(longest.count()),
                                  static_cast<double>(first.count()) * (1ULL << doublings));
    const double low = std::min(static_cast<double>(first.count()), bound);
    return std::chrono::microseconds(static_cast<std::int64_t>(low + chance * (bound - low)));
  }
};

}  // namespace penstock::daemon
