// Which command the exec connector runs, how, and what it makes of its output.
#pragma once

#include <chrono>
#include <span>
#include <string>
#include <vector>

#include "agent/base/result.hpp"
#include "config/option.hpp"
#include "config/section.hpp"
#include "connectors/support/decoder.hpp"

namespace penstock::connectors::exec {

struct Settings {
  std::vector<std::string> command;      ///< argv
  std::vector<std::string> environment;  ///< NAME=value; all that the child gets
  std::string search_path;               ///< where a command without a slash is searched
  std::string directory;                 ///< "" = /
  std::chrono::microseconds every{};     ///< 0 = a child that runs on
  std::chrono::microseconds timeout{};   ///< of one run at an interval; 0 = none
  std::chrono::microseconds stop_grace{};
  std::chrono::microseconds ack_every{};
  std::size_t line_bytes_max = 0;
  bool has_cursor = false;
  bool is_whole = false;  ///< the whole output of a run is one message
  support::DecodeOptions decode;
};

std::span<const config::Option> options();
Result<Settings> read_settings(const config::Section& section);

}  // namespace penstock::connectors::exec
