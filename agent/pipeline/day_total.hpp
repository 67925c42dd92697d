// DayTotal: a sum over the last 24 hours.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace penstock::pipeline {

/// Counts by the hour: what is 24 to 25 hours old leaves the sum at once. Times are of a clock that
/// never goes back, in µs. Thread: owner only.
class DayTotal {
 public:
  void add(std::int64_t now_us, std::uint64_t amount) {
    Hour& hour = hours_[static_cast<std::size_t>(hour_of(now_us)) % hours_.size()];
    if (hour.number != hour_of(now_us)) hour = {hour_of(now_us), 0};
    hour.sum += amount;
  }
  std::uint64_t at(std::int64_t now_us) const {
    std::uint64_t sum = 0;
    for (const Hour& hour : hours_) {
      if (hour.number > hour_of(now_us) - static_cast<std::int64_t>(hours_.size())) sum += hour.sum;
    }
    return sum;
  }

 private:
  struct Hour {
    std::int64_t number = -1;
    std::uint64_t sum = 0;
  };
  static std::int64_t hour_of(std::int64_t now_us) { return now_us / 3'600'000'000; }

  std::array<Hour, 24> hours_ = {};
};

}  // namespace penstock::pipeline
