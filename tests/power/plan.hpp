// Plan: what the workload does, and what a checker must find, both from one seed.
#pragma once

#include <array>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "buffer/store.hpp"

namespace penstock::powercut {

inline constexpr std::size_t stream_count = 3;
inline constexpr std::array<std::string_view, stream_count> stream_names{"plain", "steady",
                                                                         "urgent"};
inline constexpr std::array<buffer::Priority, stream_count> stream_priorities{
    buffer::Priority::normal, buffer::Priority::normal, buffer::Priority::high};
inline constexpr std::array<buffer::WhenFull, stream_count> stream_policies{
    buffer::WhenFull::drop_oldest, buffer::WhenFull::drop_oldest, buffer::WhenFull::drop_oldest};
inline constexpr std::string_view position_owner{"test\0plan", 9};

struct PlannedRow {
  std::size_t stream = 0;
  std::uint64_t seq = 0;
  std::uint32_t count = 0;
};

struct Step {
  std::vector<PlannedRow> rows;
  bool acknowledges = false;  ///< before the commit: the oldest rows of every class
  bool reopens = false;       ///< after the commit: clean close and open
  std::array<std::uint64_t, stream_count> next{};  ///< numbers after this step
};

inline std::vector<Step> make_plan(std::uint64_t seed, std::size_t steps) {
  std::mt19937_64 random(seed);
  std::vector<Step> plan(steps);
  std::array<std::uint64_t, stream_count> next{};
  for (Step& step : plan) {
    const std::size_t rows = 1 + random() % 4;
    for (std::size_t i = 0; i < rows; ++i) {
      const std::size_t stream = random() % stream_count;
      const auto count = static_cast<std::uint32_t>(1 + random() % 50);
      step.rows.push_back({stream, next[stream], count});
      next[stream] += count;
    }
    step.acknowledges = random() % 3 == 0;
    step.reopens = random() % 16 == 0;
    step.next = next;
  }
  return plan;
}

/// The content of a row: a function of its name and numbers, partly incompressible.
inline std::string content_for(std::size_t stream, std::uint64_t seq, std::uint32_t count) {
  std::mt19937_64 random(stream * 1'000'003 + seq);
  std::string content;
  const std::size_t size = random() % 4 == 0 ? 90'000 : 100 + random() % 3000;
  while (content.size() < size) {
    content += std::to_string(random());
    content += ",\"message\":\"the same words again and again\",";
  }
  return content + std::to_string(count);
}

inline buffer::StoreOptions store_options(const std::filesystem::path& folder) {
  buffer::StoreOptions options;
  options.path = folder;
  options.max_size = 1024 * 1024;
  options.preallocate = false;
  options.device = "powercut";
  options.machine_id = "powercut-machine";
  return options;
}

}  // namespace penstock::powercut
