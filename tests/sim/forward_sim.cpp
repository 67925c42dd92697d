// Runs the forwarder's brain through simulated years of faults, one seed after the other.
//   forward_sim [--seeds N] [--first SEED]   N worlds, from SEED on
//   forward_sim --seed SEED                  one world again
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <string>

#include "tests/sim/forward_world.hpp"

namespace {

struct Totals {
  std::int64_t virtual_us = 0;
  std::uint64_t rows = 0;
  std::uint64_t connections = 0;
  std::uint64_t repeats = 0;
  std::uint64_t parked = 0;
  std::uint64_t lost = 0;
};

bool run(std::uint64_t seed, Totals& totals) {
  penstock::tests::ForwardWorld world(seed);
  try {
    world.run();
  } catch (const penstock::tests::Broken& broken) {
    std::printf("seed %llu, %.6f s into it: %s\nagain with: forward_sim --seed %llu\n",
                static_cast<unsigned long long>(seed), static_cast<double>(broken.at_us) / 1e6,
                broken.what.c_str(), static_cast<unsigned long long>(seed));
    return false;
  }
  totals.virtual_us += world.virtual_us();
  totals.rows += world.rows();
  totals.connections += world.connections();
  totals.repeats += world.repeats();
  totals.parked += world.parked();
  totals.lost += world.lost();
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  std::uint64_t seeds = 200;
  std::uint64_t first = 1;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::uint64_t value = std::stoull(argv[i + 1]);
    if (std::strcmp(argv[i], "--seeds") == 0) {
      seeds = value;
    } else if (std::strcmp(argv[i], "--first") == 0) {
      first = value;
    } else if (std::strcmp(argv[i], "--seed") == 0) {
      first = value;
      seeds = 1;
    } else {
      std::fprintf(stderr, "usage: forward_sim [--seeds N] [--first SEED] [--seed SEED]\n");
      return 64;
    }
  }
  const auto started = std::chrono::steady_clock::now();
  Totals totals;
  for (std::uint64_t seed = first; seed < first + seeds; ++seed) {
    if (!run(seed, totals)) return 1;
  }
  const double real_s =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  const double virtual_s = static_cast<double>(totals.virtual_us) / 1e6;
  std::printf(
      "%llu seeds, %.1f hours in %.2f s: %.0f times real time; %llu rows, %llu connections, "
      "%llu repeats, %llu times parked, %llu batches refused for good\n",
      static_cast<unsigned long long>(seeds), virtual_s / 3600, real_s, virtual_s / real_s,
      static_cast<unsigned long long>(totals.rows),
      static_cast<unsigned long long>(totals.connections),
      static_cast<unsigned long long>(totals.repeats),
      static_cast<unsigned long long>(totals.parked), static_cast<unsigned long long>(totals.lost));
  return 0;
}
