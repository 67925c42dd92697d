// Scene: the buffer that is damaged, and what is known of it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "buffer/store.hpp"

namespace penstock::tests::damage {

struct Row {
  std::uint64_t count = 0;
  std::string content;  ///< "": a loss row
};

struct Stream {
  buffer::Priority priority = buffer::Priority::normal;
  std::uint64_t next_seq = 0;
  std::map<std::uint64_t, Row> rows;  ///< by first number, those not acknowledged
};

struct Scene {
  std::string epoch;
  std::map<std::string, Stream> streams;
  std::map<std::string, std::string> positions;  ///< by part
};

buffer::StoreOptions options_for(const std::filesystem::path& directory);

/// Makes a buffer there: rows in every class and parked ones, long and short, losses, positions,
/// many pages free. is_clean: its last process closed it. rounds: 40 rows each.
Scene make_scene(const std::filesystem::path& directory, unsigned rounds, bool is_clean);

}  // namespace penstock::tests::damage
