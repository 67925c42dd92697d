// What the shim is told and what it tells. In memory shared with the children of whoever set it up.
#pragma once

#include <cstdint>

namespace penstock::fault {

/// How calls fail. All but `memory` concern files below the folder given to fault_arm.
enum class Mode : std::uint32_t {
  none,
  enospc,    ///< nothing was done: ENOSPC
  edquot,    ///< the same with EDQUOT
  eio,       ///< nothing was done: EIO
  eio_late,  ///< it was done, and yet EIO
  emfile,    ///< open: EMFILE, mmap: ENOMEM
  eintr,     ///< nothing was done: EINTR
  torn,      ///< a write does half of what it was asked for
  lies,    ///< a write answers that it was done, and was not: must be found, or tests prove nothing
  memory,  ///< malloc and its kin answer nullptr
  quota,   ///< what makes a file longer: EDQUOT
  erofs,   ///< opening for writing, writes and changes of names: EROFS
};

struct Plan {
  Mode mode = Mode::none;
  std::uint64_t first = 0;  ///< number of the first call that fails, from 1
  std::uint64_t count = 0;  ///< calls that fail, in a row
};

}  // namespace penstock::fault

extern "C" {
/// Calls are counted from here on.
void fault_arm(const penstock::fault::Plan* plan, const char* folder);
void fault_disarm();
/// Calls that could have failed since, in this process and its children.
std::uint64_t fault_calls();
}
