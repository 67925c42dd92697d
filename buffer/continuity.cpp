#include "buffer/continuity.hpp"

#include <algorithm>

namespace penstock::buffer {

void Continuity::begin(const std::vector<StreamStats>& streams) {
  for (const StreamStats& stream : streams) next_.try_emplace(stream.state.id, stream.first_seq);
}

std::uint64_t Continuity::missing_before(const RowKey& row) {
  const auto [next, is_new] = next_.try_emplace(row.stream_id, row.seq);
  const auto known = missing_.find({row.stream_id, row.seq});
  std::uint64_t missing = row.seq - std::min(row.seq, next->second);
  if (known != missing_.end()) missing = known->second;
  if (missing != 0) missing_[{row.stream_id, row.seq}] = missing;
  next->second = row.seq + row.count;
  return missing;
}

RowKey Continuity::place_of_damaged(const RowKey& row) {
  const auto [place, is_new] = placed_.try_emplace({row.stream_id, row.id}, row);
  const auto next = next_.find(row.stream_id);
  if (is_new && next != next_.end()) place->second.seq = next->second;
  place->second.count = 1;
  return place->second;
}

void remove_doubtful(std::vector<Row>& rows) {
  const auto is_damaged = [](const Row& row) { return row.is_damaged; };
  if (std::none_of(rows.begin(), rows.end(), is_damaged)) return;
  struct Bound {
    std::uint64_t seq = 0;
    bool is_next = true;  // no row between was taken out
  };
  std::unordered_map<std::uint32_t, Bound> bounds;
  const auto ends_elsewhere = [&](const Row& row) {
    const auto bound = bounds.find(row.key.stream_id);
    if (bound == bounds.end()) return false;
    const std::uint64_t end = row.key.seq + row.key.count;
    return bound->second.is_next ? end != bound->second.seq : end > bound->second.seq;
  };
  std::vector<bool> are_doubtful(rows.size());
  for (std::size_t i = rows.size(); i-- > 0;) {
    const RowKey& key = rows[i].key;
    are_doubtful[i] = rows[i].is_damaged && ends_elsewhere(rows[i]);
    if (are_doubtful[i]) {
      bounds[key.stream_id].is_next = false;
    } else {
      bounds[key.stream_id] = {key.seq, true};
    }
  }
  bounds.clear();
  const auto begins_elsewhere = [&](const Row& row) {
    const auto bound = bounds.find(row.key.stream_id);
    return bound != bounds.end() && row.key.seq != bound->second.seq;
  };
  std::size_t kept = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (are_doubtful[i] || (rows[i].is_damaged && begins_elsewhere(rows[i]))) continue;
    bounds[rows[i].key.stream_id] = {rows[i].key.seq + rows[i].key.count, true};
    if (kept != i) rows[kept] = std::move(rows[i]);
    ++kept;
  }
  rows.erase(rows.begin() + static_cast<std::ptrdiff_t>(kept), rows.end());
}

}  // namespace penstock::buffer
