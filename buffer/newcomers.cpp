#include "buffer/newcomers.hpp"

#include <algorithm>

#include "agent/base/wire.hpp"

namespace penstock::buffer {

void RowSpace::add(const PackedRow& row) {
  const std::uint64_t space = row_space(row.content.size() + row_overhead, page_size_);
  pages_ += space / page_size_;
  leaf_bytes_ += space % page_size_;
}

void RowSpace::remove(const PackedRow& row) {
  const std::uint64_t space = row_space(row.content.size() + row_overhead, page_size_);
  pages_ -= space / page_size_;
  leaf_bytes_ -= space % page_size_;
}

std::uint64_t RowSpace::pages() const {
  constexpr std::size_t page_header = 16;
  return 1 + pages_ + leaf_bytes_ / (page_size_ - page_header);
}

Newcomers::Newcomers(std::span<PackedRow> rows, Streams& streams, const Group* group,
                     std::size_t page_size)
    : space_(page_size) {
  for (PackedRow& row : rows) {
    const Stream& stream = *streams.find(row.row->stream_id);
    if (group != nullptr && stream.group != group) continue;
    space_.add(row);
    if (row.kind != RowKind::batch) continue;
    ++batches_;
    const auto index = static_cast<std::size_t>(stream.next.priority);
    if (stream.when_full == WhenFull::drop_newest) newest_[index].push_back(&row);
    if (stream.when_full == WhenFull::drop_oldest) oldest_[index].push_back(&row);
  }
  for (Batches& batches : oldest_) std::reverse(batches.begin(), batches.end());
}

const PackedRow* Newcomers::give_way(WhenFull policy, Priority priority) {
  auto& by_class = policy == WhenFull::drop_newest ? newest_ : oldest_;
  Batches& batches = by_class[static_cast<std::size_t>(priority)];
  if (batches.empty()) return nullptr;
  PackedRow& row = *batches.back();
  batches.pop_back();
  --batches_;
  space_.remove(row);
  row.kind = RowKind::loss;
  row.loss_reason = static_cast<std::uint8_t>(LossReason::buffer_full);
  row.loss_is_exact = true;
  row.content = {};
  space_.add(row);
  return &row;
}

}  // namespace penstock::buffer
