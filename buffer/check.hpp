// Check: looks at a buffer's file in a process of its own, since LMDB follows damaged pages
// wherever they lead.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "agent/base/result.hpp"
#include "buffer/lmdb.hpp"
#include "buffer/store.hpp"

namespace penstock::buffer {

using OwnedPosition = std::array<std::string, 3>;  ///< owner, part, bytes

enum class CheckDepth : std::uint8_t {
  recent,  ///< the state, and the last 64 rows of each table: milliseconds, whatever the backlog
  all,     ///< every row, its value included
};

struct Checked {
  bool is_sound = false;
  std::string problem;      ///< what is wrong
  std::uint32_t epoch = 0;  ///< 0: not readable
  // What could be read, in part where the file is not sound.
  std::vector<OwnedPosition> positions;
  std::vector<LastNumber> streams;
};

/// Opens the file, reads and tries a write that is then taken back (with Access::write); all of it
/// in a child process, whose end by a signal, or for using the processor without an end, is a
/// finding like others. A damaged row or position is none: these are told where they are read.
/// Errors other than a damaged file are as open_existing() has them; unavailable also: no process
/// can be made, or it ran out of memory, waited too long for the disk, or was ended from outside.
/// Thread: any, best before there are others.
Result<Checked> check_apart(const std::filesystem::path& file, std::uint64_t map_bytes,
                            CheckDepth depth, Access access = Access::write);

}  // namespace penstock::buffer
