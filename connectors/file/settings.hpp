// Settings: the file connector's options as plain values.
#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "config/option.hpp"
#include "config/section.hpp"

namespace penstock::connectors::file {

/// Where to begin in a file that has no position yet.
enum class Start { beginning, end };

struct Settings {
  std::vector<std::string> paths;    ///< absolute; each may hold wildcards
  std::vector<std::string> exclude;  ///< wildcards
  Start start = Start::end;          ///< for files that are there at the very first start
  bool stream_per_file = false;
  std::size_t line_bytes_max = 64 * 1024;
  std::chrono::microseconds poll_every{250'000};
  std::chrono::microseconds rescan_every{5'000'000};
  std::chrono::microseconds rotated_wait{1'000'000};
  std::size_t files_open_max = 64;
  std::size_t files_max = 10'000;
};

/// The one table of options.
std::span<const config::Option> options();

/// invalid: reported through the section, with its place.
Result<Settings> read_settings(const config::Section& section);

}  // namespace penstock::connectors::file
