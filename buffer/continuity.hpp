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

  /// How many numbers are missing before the row; the same each time that it comes.
  std::uint64_t missing_before(const RowKey& row);

  /// For a row that is damaged and the next of its stream: its key may be damaged too. One number,
  /// where the last one ended: what else it had is missing before the row behind it.
  RowKey place_of_damaged(const RowKey& row);

 private:
  using Place = std::pair<std::uint32_t, std::uint64_t>;  // a stream, and a number or an id

  std::unordered_map<std::uint32_t, std::uint64_t> next_;  // by stream
  std::map<Place, std::uint64_t> missing_;                 // before a number
  std::map<Place, RowKey> placed_;                         // by id
};

/// Takes out damaged rows whose numbers do not continue those of their streams around them, of one
/// class and in order: they would be told as the loss of other numbers than are missing.
void remove_doubtful(std::vector<Row>& rows);

}  // namespace penstock::buffer
