// TrackedFile and Lineage: one file on disk, and the files that followed each other under one path.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "agent/base/unique_fd.hpp"
#include "connectors/file/position.hpp"

namespace penstock::connectors::file {

/// Where to begin when the file is opened for the first time.
enum class Begin : std::uint8_t { known, beginning, end };

struct TrackedFile {
  Position at;                  ///< at.path stays empty: the lineage has it
  UniqueFd fd;                  ///< open while it is among the most recently used
  std::string place;            ///< where it lies when not at the lineage's path; "" = not known
  std::uint64_t looked_to = 0;  ///< bytes in front of this were read, an unfinished line included
  std::int64_t changed_us = 0;  ///< steady clock: last growth, or when it left its path
  std::int64_t missing_us = 0;  ///< steady clock: since when nothing can be said of it; 0 = found
  std::uint64_t last_use = 0;   ///< orders files by when they were read
  int open_error = 0;           ///< errno of the last attempt to open it
  Begin begin = Begin::known;
  bool at_path = false;              ///< it is what the lineage's path names now
  bool was_at_path = false;          ///< the same before the present scan
  bool is_matched = false;           ///< some pattern names it
  bool is_linked = true;             ///< false: deleted, only our descriptor keeps it
  bool may_begin_with_hole = false;  ///< truncated under us: NULs at its front are not text
  bool was_empty = false;            ///< at the last look, or begun anew and not looked at yet
  bool is_settled = false;           ///< left its path and was read to its end
  bool is_gone = false;              ///< nothing more to read; dropped at the next occasion
};

/// The files that had `path`, oldest first: a file's lines come before its successor's.
/// Usually one; a rotated file stays until it is finished and two others have followed.
struct Lineage {
  std::string path;       ///< member `path` of the events
  std::string real_path;  ///< what it leads to if it is a symbolic link, else ""
  std::vector<std::unique_ptr<TrackedFile>> files;
  std::int64_t wake_us = 0;  ///< steady clock: look again then; 0 = no need
  bool is_ready = false;     ///< waits for its turn
  bool is_unwanted = false;  ///< the configuration does not name it any more

  const std::string& place_of(const TrackedFile& file) const {
    return file.at_path ? path : file.place;
  }
};

}  // namespace penstock::connectors::file
