// Signals out of a hash of seed and index.
#include <array>
#include <cmath>

#include "connectors/demo/demo.hpp"

namespace penstock::connectors::demo {
namespace {

constexpr std::uint64_t sine_period = 60;
constexpr std::uint64_t step_length = 30;
constexpr std::uint64_t burst_distance = 20;  // one slot in this many bursts' lengths has a burst
constexpr unsigned walk_octaves = 10;

enum Series : std::uint64_t { step_series = 1, burst_series, noise_series, walk_series };

double to_three_decimals(double value) { return std::round(value * 1000) / 1000; }

// SplitMix64: every bit of the input reaches every bit of the output.
std::uint64_t mixed(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

}  // namespace

std::uint64_t Signals::random(std::uint64_t series, std::uint64_t number) const {
  return mixed(mixed(mixed(seed_) ^ series) ^ number);
}

double Signals::random_unit(std::uint64_t series, std::uint64_t number) const {
  return static_cast<double>(random(series, number) >> 11) * 0x1.0p-53;
}

double Signals::sine(std::uint64_t index) const {
  constexpr double two_pi = 6.283185307179586;
  const auto phase = static_cast<double>(index % sine_period) / sine_period;
  return to_three_decimals(20 + 10 * std::sin(two_pi * phase));
}

// A sum of steps could not start at any index in the same time. Noise at ten time scales, each
// twice as slow and 1.41 times as strong as the one before, has the same spectrum down to the
// slowest.
double Signals::walk(std::uint64_t index) const {
  double sum = 0;
  double strength = 1;
  double strengths = 0;
  for (unsigned octave = 0; octave < walk_octaves; ++octave) {
    const std::uint64_t knot = index >> octave;
    const double between =
        static_cast<double>(index - (knot << octave)) / static_cast<double>(1ULL << octave);
    const std::uint64_t series = walk_series + octave;
    const double from = random_unit(series, knot);
    const double to = random_unit(series, knot + 1);
    sum += strength * (from + (to - from) * between);
    strengths += strength;
    strength *= 1.4142135623730951;
  }
  return to_three_decimals(100 * sum / strengths);
}

double Signals::step(std::uint64_t index) const {
  return static_cast<double>(random(step_series, index / step_length) % 10) * 10;
}

double Signals::burst(std::uint64_t index) const {
  const std::uint64_t slot = index / burst_size_;
  const std::uint64_t group = slot / burst_distance;
  const bool is_on = slot % burst_distance == random(burst_series, group) % burst_distance;
  return to_three_decimals((is_on ? 100 : 0) + random_unit(noise_series, index));
}

}  // namespace penstock::connectors::demo
