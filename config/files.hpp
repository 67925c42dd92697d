// Reads the main file and its fragments into one tree.
#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "agent/base/result.hpp"
#include "config/yaml.hpp"

namespace penstock::config {

/// The merged and expanded tree, and the files it came from, the main one first. A fragment that
/// cannot be read or parsed is reported and left out. unavailable: the main file cannot be read.
/// invalid: it is no YAML that we take. Both are reported.
struct ReadFiles {
  Node root;
  std::vector<std::filesystem::path> files;
};
Result<ReadFiles> read_files(const std::filesystem::path& file, bool read_fragments,
                             Diagnostics& diagnostics);

}  // namespace penstock::config
