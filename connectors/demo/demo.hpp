// The demo connector's signals: what the reading with a given index is.
#pragma once

#include <cstdint>

namespace penstock::connectors::demo {

/// All of them depend on (seed, index) alone and take the same short time for any index, so a
/// resumed series is the same as an uninterrupted one. Values have at most three decimals. Thread:
/// any.
class Signals {
 public:
  /// burst_size: readings in one burst, at least 1.
  Signals(std::uint64_t seed, std::uint64_t burst_size) : seed_(seed), burst_size_(burst_size) {}

  double sine(std::uint64_t index) const;  ///< 10 … 30, one wave in 60 readings
  double walk(std::uint64_t index) const;  ///< wanders within 0 … 100
  double step(std::uint64_t index) const;  ///< 0, 10 … 90, held for 30 readings
  double burst(
      std::uint64_t index) const;  ///< 0 … 1, now and then burst_size readings of 100 … 101

 private:
  std::uint64_t random(std::uint64_t series, std::uint64_t number) const;
  double random_unit(std::uint64_t series, std::uint64_t number) const;  // [0, 1)

  std::uint64_t seed_;
  std::uint64_t burst_size_;
};

}  // namespace penstock::connectors::demo
