// Plan: what the workload does, and what a checker must find, both from one seed.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "buffer/store.hpp"

namespace penstock::power {

inline constexpr std::size_t stream_count = 3;
inline constexpr std::array<std::string_view, stream_count> stream_names{"plain", "steady",
                                                                         "urgent"};
inline constexpr std::array<buffer::Priority, stream_count> stream_priorities{
    buffer::Priority::normal, buffer::Priority::normal, buffer::Priority::high};
inline constexpr std::string_view position_owner{"test\0plan", 9};
/// Below the recorded directory; both parts are made by the store.
inline constexpr std::string_view buffer_folder = "made/buffer";

using Numbers = std::array<std::uint64_t, stream_count>;

struct PlannedRow {
  std::size_t stream = 0;
  std::uint64_t seq = 0;
  std::uint32_t count = 0;
  std::size_t bytes = 0;
};

/// How the store is closed and opened again before a step.
enum class Reopening {
  none,
  clean,
  unclean,     ///< without close(), as after a kill
  new_device,  ///< the old buffer is set aside, a new one begins
  damage,      ///< the file is made unreadable: the same
};
inline bool begins_life(Reopening reopening) { return reopening >= Reopening::new_device; }

struct Step {
  Reopening reopening = Reopening::none;
  bool acknowledges = false;  ///< before the commit: the oldest rows of every class
  bool compacts = false;      ///< before the commit, where no blocks are reserved
  std::vector<PlannedRow> rows;
  std::size_t life = 0;
  Numbers next{};  ///< after this step, in its life
};

struct Plan {
  std::vector<Step> steps;
  std::vector<Reopening> lives;  ///< how each began
};

Plan make_plan(std::uint64_t seed, std::size_t steps);

/// The content of a row: a function of its life, name and numbers, mostly incompressible.
std::string content_for(std::size_t life, const PlannedRow& row);

/// What position `part` is after commit `number`; "" = there is none.
inline constexpr std::array<std::string_view, 2> position_parts{"always", "sometimes"};
std::string position_after(std::size_t part, std::uint64_t number);

buffer::StoreOptions store_options(const std::filesystem::path& root, const Plan& plan,
                                   std::size_t life);

}  // namespace penstock::power
