#include "agent/cli/human.hpp"

#include <fmt/format.h>

#include <charconv>

namespace penstock::cli {

std::string human_size(std::uint64_t bytes) {
  static constexpr const char* units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  for (; value >= 1024 && unit + 1 < std::size(units); ++unit) value /= 1024;
  if (unit == 0 || value >= 100) return fmt::format("{:.0f} {}", value, units[unit]);
  return fmt::format("{:.1f} {}", value, units[unit]);
}

std::string human_count(std::uint64_t count) {
  std::string digits = std::to_string(count);
  for (std::size_t i = digits.size(); i > 3;) digits.insert(i -= 3, " ");
  return digits;
}

std::string human_duration(std::chrono::seconds value) {
  const std::int64_t seconds = value.count();
  if (seconds < 60) return fmt::format("{} s", seconds);
  if (seconds < 3600) return fmt::format("{} min", seconds / 60);
  if (seconds < 86'400) return fmt::format("{} h {} min", seconds / 3600, seconds % 3600 / 60);
  return fmt::format("{} d {} h", seconds / 86'400, seconds % 86'400 / 3600);
}

std::optional<std::chrono::microseconds> parse_duration(std::string_view text) {
  static constexpr std::pair<std::string_view, std::int64_t> units[] = {{"ms", 1'000},
                                                                        {"s", 1'000'000},
                                                                        {"m", 60'000'000},
                                                                        {"h", 3'600'000'000},
                                                                        {"d", 86'400'000'000}};
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || number < 0) return std::nullopt;
  const std::string_view unit = text.substr(static_cast<std::size_t>(end - text.data()));
  constexpr std::int64_t longest_us = 3650 * std::int64_t{86'400'000'000};
  for (const auto& [name, us] : units) {
    if (unit == name) {
      if (number > longest_us / us) return std::nullopt;
      return std::chrono::microseconds(number * us);
    }
  }
  return std::nullopt;
}

}  // namespace penstock::cli
