#include "agent/daemon/row_walk.hpp"

#include <algorithm>

#include "buffer/parking.hpp"

namespace penstock::daemon {
namespace {

constexpr std::size_t window_bytes = 1024 * 1024;  // of all sources together

}  // namespace

RowWalk::RowWalk(buffer::Store& store, std::uint64_t after_id, std::uint64_t last_id)
    : store_(store), last_id_(last_id), done_id_(after_id) {
  for (std::size_t i = 0; i < buffer::priority_count; ++i) {
    sources_.push_back({static_cast<buffer::Priority>(i), std::nullopt, after_id});
  }
  find_parked();
}

void RowWalk::find_parked() {
  buffer::Parking* parking = store_.parking();
  if (parking == nullptr) return;
  for (const std::uint32_t stream : parking->streams()) {
    const auto known = std::find_if(sources_.begin(), sources_.end(), [stream](const Source& s) {
      return s.parked_stream == stream;
    });
    if (known == sources_.end()) {
      sources_.push_back({buffer::Priority::normal, stream, done_id_});
    } else if (known->rows.empty()) {
      known->is_at_end = false;
    }
  }
}

Result<void> RowWalk::refill(Source& source) {
  const std::size_t bytes = window_bytes / sources_.size();
  auto rows = source.parked_stream
                  ? store_.parking()->peek_after(*source.parked_stream, source.after_id, bytes)
                  : store_.peek_after(source.priority, source.after_id, bytes);
  if (!rows.ok()) return rows.error();
  for (buffer::Row& row : *rows) {
    source.after_id = row.key.id;
    if (row.key.id > last_id_) break;
    source.rows.push_back(std::move(row));
  }
  source.is_at_end = source.rows.empty();
  return {};
}

Result<void> RowWalk::refill_all() {
  const auto needs_rows = [](const Source& s) { return s.rows.empty() && !s.is_at_end; };
  bool has_read_a_class = false;
  for (std::size_t i = 0; i < sources_.size(); ++i) {
    if (!needs_rows(sources_[i])) continue;
    PENSTOCK_TRY(refill(sources_[i]));
    // What left its class since the last look is among the parked rows now.
    if (!sources_[i].parked_stream && !has_read_a_class) {
      has_read_a_class = true;
      find_parked();
    }
  }
  return {};
}

Result<std::optional<buffer::Row>> RowWalk::next() {
  for (;;) {
    PENSTOCK_TRY(refill_all());
    Source* first = nullptr;
    for (Source& source : sources_) {
      if (source.rows.empty()) continue;
      if (first == nullptr || source.rows.front().key.id < first->rows.front().key.id) {
        first = &source;
      }
    }
    if (first == nullptr) return std::optional<buffer::Row>();
    buffer::Row row = std::move(first->rows.front());
    first->rows.pop_front();
    if (row.key.id <= done_id_) continue;  // read again where it was moved to
    done_id_ = row.key.id;
    return std::optional<buffer::Row>(std::move(row));
  }
}

}  // namespace penstock::daemon
