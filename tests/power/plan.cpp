#include "tests/power/plan.hpp"

#include <algorithm>
#include <random>

namespace penstock::power {
namespace {

Reopening random_reopening(std::mt19937_64& random) {
  switch (random() % 24) {
    case 0: return Reopening::clean;
    case 1: return Reopening::unclean;
    default: return Reopening::none;
  }
}

}  // namespace

Plan make_plan(std::uint64_t seed, std::size_t steps) {
  std::mt19937_64 random(seed);
  Plan plan;
  plan.steps.resize(steps);
  plan.lives = {Reopening::none};
  const std::size_t damaged_at = random() % steps;
  const std::size_t new_device_at = random() % steps;
  // Some plans fill the buffer, so that rows are dropped.
  const std::uint64_t large_of_8 = seed % 4 == 0 ? 5 : 1;
  Numbers next{};
  for (std::size_t i = 0; i < steps; ++i) {
    Step& step = plan.steps[i];
    step.reopening = random_reopening(random);
    if (i == damaged_at) step.reopening = Reopening::damage;
    if (i == new_device_at) step.reopening = Reopening::new_device;
    if (begins_life(step.reopening)) {
      plan.lives.push_back(step.reopening);
      next = {};
    }
    step.life = plan.lives.size() - 1;
    step.acknowledges = random() % 4 == 0;
    step.compacts = random() % 8 == 0;
    const std::size_t rows = random() % 5;
    for (std::size_t row = 0; row < rows; ++row) {
      const std::size_t stream = random() % stream_count;
      const auto count = static_cast<std::uint32_t>(1 + random() % 50);
      const bool is_large = random() % 8 < large_of_8;
      const std::size_t bytes = is_large ? 90'000 : 100 + random() % 3000;
      step.rows.push_back({stream, next[stream], count, bytes});
      next[stream] += count;
    }
    step.next = next;
  }
  return plan;
}

std::string content_for(std::size_t life, const PlannedRow& row) {
  std::mt19937_64 random(life * 1'000'000'007 + row.stream * 1'000'003 + row.seq);
  std::string content;
  while (content.size() < row.bytes) {
    for (int i = 0; i < 8; ++i) {
      const std::uint64_t word = random();
      content.append(reinterpret_cast<const char*>(&word), sizeof word);
    }
    content += "the same words again and again";
  }
  return content + std::to_string(row.count);
}

std::string position_after(std::size_t part, std::uint64_t number) {
  if (number == 0 || (part == 1 && number % 3 == 0)) return {};
  return std::to_string(number);
}

buffer::StoreOptions store_options(const std::filesystem::path& root, const Plan& plan,
                                   std::size_t life) {
  const auto devices =
      std::count(plan.lives.begin(), plan.lives.begin() + static_cast<std::ptrdiff_t>(life) + 1,
                 Reopening::new_device);
  buffer::StoreOptions options;
  options.path = root / buffer_folder;
  options.max_size = buffer::max_size_min;
  options.preallocate = life % 2 == 1;
  options.device = "device-" + std::to_string(devices);
  options.machine_id = "power-machine";
  return options;
}

}  // namespace penstock::power
