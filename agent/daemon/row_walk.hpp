// RowWalk: the rows of a buffer in the order in which they were stored, over all classes and parked
// streams.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "agent/base/result.hpp"
#include "buffer/store.hpp"

namespace penstock::daemon {

/// Reads in short turns and pins nothing, so rows may be trimmed, dropped or merged meanwhile; each
/// row comes at most once, in rising ids. Memory: about a MiB. Thread: owner only.
class RowWalk {
 public:
  /// Rows with ids above `after_id` up to `last_id`.
  RowWalk(buffer::Store& store, std::uint64_t after_id, std::uint64_t last_id);

  /// The next row; nullopt at the end. The row is the caller's to move from.
  Result<std::optional<buffer::Row>> next();

 private:
  struct Source {
    buffer::Priority priority = buffer::Priority::normal;
    std::optional<std::uint32_t> parked_stream = std::nullopt;
    std::uint64_t after_id = 0;
    bool is_at_end = false;
    std::deque<buffer::Row> rows = {};
  };
  Result<void> refill(Source& source);
  Result<void> refill_all();
  void find_parked();

  buffer::Store& store_;
  const std::uint64_t last_id_;
  std::uint64_t done_id_;  // of the last row that was handed out
  std::vector<Source> sources_;
};

}  // namespace penstock::daemon
