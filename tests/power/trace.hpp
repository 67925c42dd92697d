// The trace that the shim writes and the replay reads: a head, then `size` bytes of data.
#pragma once

#include <cstdint>

namespace penstock::powercut {

enum class Op : std::uint32_t {
  create,         ///< fd, data = name
  open,           ///< fd, data = name; offset 1: truncated
  write,          ///< fd, offset, data
  write_durable,  ///< the same through a descriptor opened O_DSYNC
  resize,         ///< fd, offset = new size
  sync,           ///< fd: all written to its file is durable
  sync_dir,       ///< all changes of names are durable
  rename,         ///< data = from NUL to
  unlink,         ///< data = name
  mark,           ///< offset = number of the commit that has returned
};

struct RecordHead {
  Op op;
  std::int32_t fd;
  std::uint64_t offset;
  std::uint64_t size;
};

}  // namespace penstock::powercut
