// Verification: rows that the broker has acknowledged, until every receiver has them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <unordered_map>
#include <vector>

#include "agent/forward/brain_events.hpp"
#include "agent/forward/window.hpp"
#include "buffer/store.hpp"

namespace penstock::forward {

/// A row is verified once each receiver has said that it has all its numbers. What a receiver said
/// last counts. Thread: owner only.
class Verification {
 public:
  explicit Verification(std::size_t receivers) : said_(receivers) {}

  bool is_used() const { return !said_.empty(); }
  /// Acknowledged rows of a class, in order. stream_id 0: nothing is to be verified.
  void add(const std::vector<Window::RowInfo>& rows);
  void add_parked(const Window::RowInfo& row) { parked_.push_back(row); }
  /// true: it has later numbers of a stream of which a row that waits has not come.
  bool say(std::size_t receiver, const std::vector<StreamRanges>& streams);
  /// Rows of the stream are not to be waited for: they are going to be sent again.
  void settle(std::uint32_t stream_id);
  void forget_rows();
  void forget_all();

  struct Progress {
    std::uint64_t row_id = 0;
    std::uint64_t rows = 0;
    std::uint64_t events = 0;
  };
  /// How far all rows of the class are verified, if that has risen since the last call.
  std::optional<Progress> take(buffer::Priority priority);
  /// Parked rows that are verified: of each stream, up to the first that is not.
  std::vector<Window::RowInfo> take_parked();

  /// That wait.
  std::size_t rows() const;
  /// The first receiver that misses a row that waits; if all have them, 0.
  std::size_t slowest_receiver() const;

 private:
  struct Row {
    std::uint64_t id = 0;
    std::uint64_t seq = 0;
    std::uint64_t end_seq = 0;
    std::uint32_t stream_id = 0;
    std::uint32_t events = 0;
  };
  using Said = std::unordered_map<std::uint32_t, std::vector<std::uint64_t>>;  // stream -> bounds
  static bool has(const Said& said, std::uint32_t stream_id, std::uint64_t seq,
                  std::uint64_t end_seq);
  bool is_verified(std::uint32_t stream_id, std::uint64_t seq, std::uint64_t end_seq) const;

  std::vector<Said> said_;  // by each receiver
  std::array<std::deque<Row>, buffer::priority_count> rows_;
  std::deque<Window::RowInfo> parked_;
};

}  // namespace penstock::forward
