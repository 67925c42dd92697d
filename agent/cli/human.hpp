// Numbers as people read and write them: sizes, counts, durations.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace penstock::cli {

std::string human_size(std::uint64_t bytes);             ///< "212 MiB", "1.4 GiB"
std::string human_count(std::uint64_t count);            ///< "18 423 311"
std::string human_duration(std::chrono::seconds value);  ///< "12 d 4 h", "3 min", "8 s"

/// "500ms", "30s", "5m", "2h", "1d"; nullopt for anything else and for more than 10 years.
std::optional<std::chrono::microseconds> parse_duration(std::string_view text);

}  // namespace penstock::cli
