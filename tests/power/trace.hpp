// The trace that the shim writes and the replay reads: a head, then `size` bytes of data. Names are
// relative to the recorded directory, whose own name is "".
#pragma once

#include <cstdint>

namespace penstock::power {

enum class Op : std::uint32_t {
  create,         ///< fd, data = name
  open,           ///< fd, data = name; offset 1: truncated
  write,          ///< fd, offset, data
  write_durable,  ///< the same through a descriptor opened O_DSYNC
  resize,         ///< fd, offset = new size
  sync,           ///< fd: all written to its file is durable
  sync_dir,       ///< data = name: all changes of the names in it are durable
  rename,         ///< data = from NUL to
  link,           ///< data = from NUL to
  unlink,         ///< data = name
  make_dir,       ///< data = name
  mark,           ///< fd = Mark, offset = its value
};

/// What the workload says of itself.
enum class Mark : std::int32_t {
  oldest,       ///< 2^48 x stream + the first number that the next commit leaves stored
  committed,    ///< commit number `value` has returned
  life_begins,  ///< life `value` will be opened next, or the damage that ends the one before begins
  damaged,      ///< that damage is durable
  life_opened,  ///< Store::open has returned for life `value`
  left_behind,  ///< the life that ends holds `value` events
};

inline constexpr unsigned oldest_shift = 48;

struct RecordHead {
  Op op;
  std::int32_t fd;
  std::uint64_t offset;
  std::uint64_t size;
};

}  // namespace penstock::power
