// Continuity: what a damaged buffer has lost, seen in the numbers of the rows that are left. Rows
// of a stream follow each other without a hole when they are stored.
#pragma once

#include <cstdint>
#include <map>
#include <unordered_map>
#include <utility>
#include <vector>

#include "buffer/store.hpp"

namespace penstock::buffer {

/// For one reader, who takes the rows of each stream in order, at times from an earlier one on
/// again. Thread: owner only.
class Continuity {
 public:
  /// Of streams that are not known yet, the first number that is to come.
  void begin(const std::vector<StreamStats>& streams);

  /// From here on rows may come from earlier ones on; what was told before may not have arrived.
  void rewind();

  /// How many numbers are missing before the row; the same each time that it comes. is_damaged: it
  /// is told as lost itself, now, and is missing where it does not come again.
  std::uint64_t missing_before(const RowKey& row, bool is_damaged = false);

  /// For a row that is damaged and the next of its stream: its key may be damaged too. One number,
  /// where the last one ended: what else it had is missing before the row behind it.
  RowKey place_of_damaged(const RowKey& row);

 private:
  using Place = std::pair<std::uint32_t, std::uint64_t>;  // a stream, and a number or an id
  struct Next {
    std::uint64_t seq = 0;
    std::uint64_t pass = 0;  // of the last row
  };
  void note_lost(std::uint32_t stream_id, std::uint64_t first, std::uint64_t end);

  std::unordered_map<std::uint32_t, Next> next_;  // by stream
  std::map<Place, std::uint64_t> lost_;  // by the end of each run of numbers, its first one
  std::map<Place, RowKey> placed_;       // by id
  std::uint64_t pass_ = 0;               // rises with each rewind()
};

/// Takes out damaged rows whose numbers do not continue those of their streams around them, of one
/// class and in order: they would be told as the loss of other numbers than are missing.
void remove_doubtful(std::vector<Row>& rows);

}  // namespace penstock::buffer
