// FailingCalls: lets the n-th call of LMDB or of the kernel that buffer/ makes fail. Works in
// programs that are linked with the options that tests/buffer/CMakeLists.txt names: the linker
// leads those calls here first. Calls of a child that is forked meanwhile count as well.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace penstock::tests {

enum class Failure : std::uint8_t {
  broken_disk,  ///< EIO
  full_disk,    ///< ENOSPC
  late,         ///< EIO, from a commit or a sync that was done nevertheless
  interrupted,  ///< EINTR, from calls that wait
  damage,       ///< LMDB meets what cannot be
  full_map,     ///< LMDB's map has no more room, for what writes
};

inline constexpr std::uint64_t never = UINT64_MAX;

/// Which calls fail: from the first one on, counted from 1, so many in a row.
struct FailingCalls {
  Failure failure = Failure::broken_disk;
  std::uint64_t first = 1;  ///< never: none fails
  std::uint64_t in_a_row = 1;
  bool is_of_commits = false;  ///< only LMDB's commits are counted
};

void arm(const FailingCalls& calls);
/// How many calls were counted since. None fails any more.
std::uint64_t disarm();

/// Names of the files and directories that this process has synced since arm(), in that order.
const std::vector<std::string>& synced_names();

/// What the kernel says of free space from now on, in blocks; a negative number: the truth.
void set_free_blocks(std::int64_t blocks);

}  // namespace penstock::tests
