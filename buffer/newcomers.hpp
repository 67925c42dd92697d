// Newcomers: the new rows of a request while room is made for them: what they need, and which of
// them give way.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "buffer/store.hpp"
#include "buffer/streams.hpp"

namespace penstock::buffer {

/// A row of a request, ready to be stored.
struct PackedRow {
  const NewRow* row = nullptr;
  RowKind kind = RowKind::batch;  ///< loss: also a batch that found no room
  std::uint8_t loss_reason = 0;
  bool loss_is_exact = true;
  std::uint32_t raw_size = 0;
  std::string_view content;  ///< compressed
};

/// What rows take in the file.
class RowSpace {
 public:
  explicit RowSpace(std::size_t page_size) : page_size_(page_size) {}
  void add(const PackedRow& row);
  void remove(const PackedRow& row);
  std::uint64_t bytes() const { return pages_ * page_size_ + leaf_bytes_; }
  std::uint64_t pages() const;  ///< with one that may be half empty

 private:
  std::size_t page_size_;
  std::uint64_t pages_ = 0;
  std::uint64_t leaf_bytes_ = 0;
};

/// What it costs does not grow with the rows, but to make it. Must not outlive the rows.
class Newcomers {
 public:
  /// group: those of its streams; nullptr: all.
  Newcomers(std::span<PackedRow> rows, Streams& streams, const Group* group, std::size_t page_size);

  const RowSpace& space() const { return space_; }
  bool has_batches() const { return batches_ != 0; }
  /// Turns a batch of a stream with this class and policy into a loss: the newest one, or the
  /// oldest. nullptr: there is none.
  const PackedRow* give_way(WhenFull policy, Priority priority);

 private:
  using Batches = std::vector<PackedRow*>;  // the last one goes first

  RowSpace space_;
  std::size_t batches_ = 0;
  std::array<Batches, priority_count> newest_;
  std::array<Batches, priority_count> oldest_;
};

}  // namespace penstock::buffer
