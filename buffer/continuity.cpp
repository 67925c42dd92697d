#include "buffer/continuity.hpp"

#include <algorithm>

namespace penstock::buffer {

void Continuity::begin(const std::vector<StreamStats>& streams) {
  for (const StreamStats& stream : streams) {
    next_.try_emplace(stream.state.id, Next{stream.first_seq, pass_});
  }
}

void Continuity::rewind() { ++pass_; }

void Continuity::note_lost(std::uint32_t stream_id, std::uint64_t first, std::uint64_t end) {
  if (first == end) return;
  if (const auto before = lost_.find({stream_id, first}); before != lost_.end()) {
    first = before->second;
    lost_.erase(before);
  }
  const auto [at, is_new] = lost_.try_emplace({stream_id, end}, first);
  if (!is_new) at->second = std::min(at->second, first);
}

std::uint64_t Continuity::missing_before(const RowKey& row, bool is_damaged) {
  Next& next = next_.try_emplace(row.stream_id, Next{row.seq, pass_}).first->second;
  std::uint64_t first = std::min(row.seq, next.seq);
  note_lost(row.stream_id, first, row.seq);
  // The first one of a new pass: what was missing, or damaged, before it has to be told again.
  const bool is_back = next.pass != pass_ || row.seq < next.seq;
  const auto lost = lost_.lower_bound({row.stream_id, row.seq});
  const bool is_known = lost != lost_.end() && lost->first.first == row.stream_id;
  if (is_back && is_known) first = std::min(first, lost->second);
  next = {row.seq + row.count, pass_};
  if (is_damaged) note_lost(row.stream_id, row.seq, next.seq);
  return row.seq - first;
}

RowKey Continuity::place_of_damaged(const RowKey& row) {
  const auto [place, is_new] = placed_.try_emplace({row.stream_id, row.id}, row);
  const auto next = next_.find(row.stream_id);
  if (is_new && next != next_.end()) place->second.seq = next->second.seq;
  place->second.count = 1;
  return place->second;
}

void remove_doubtful(std::vector<Row>& rows) {
  const auto is_damaged = [](const Row& row) { return row.is_damaged; };
  if (std::none_of(rows.begin(), rows.end(), is_damaged)) return;
  // By stream, where the row before ends and where the one behind begins, of those that are whole
  // or fit; and whether nothing was taken out between.
  struct Bound {
    std::uint64_t seq = 0;
    bool is_next = true;
  };
  using Bounds = std::unordered_map<std::uint32_t, Bound>;
  enum class Fit : std::uint8_t { unknown, yes, no };
  const auto fit = [](const Bounds& bounds, std::uint32_t stream, std::uint64_t seq) {
    const auto bound = bounds.find(stream);
    if (bound == bounds.end() || !bound->second.is_next) return Fit::unknown;
    return bound->second.seq == seq ? Fit::yes : Fit::no;
  };
  std::vector<Fit> ends(rows.size(), Fit::unknown);
  Bounds bounds;
  for (std::size_t i = rows.size(); i-- > 0;) {
    const RowKey& key = rows[i].key;
    if (rows[i].is_damaged) ends[i] = fit(bounds, key.stream_id, key.seq + key.count);
    bounds[key.stream_id] = {key.seq, !rows[i].is_damaged || ends[i] == Fit::yes};
  }
  bounds.clear();
  std::size_t kept = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const RowKey key = rows[i].key;
    if (rows[i].is_damaged) {
      const Fit begins = fit(bounds, key.stream_id, key.seq);
      const bool is_believed =
          begins != Fit::no && ends[i] != Fit::no && (begins == Fit::yes || ends[i] == Fit::yes);
      if (!is_believed) {
        bounds[key.stream_id].is_next = false;
        continue;
      }
    }
    bounds[key.stream_id] = {key.seq + key.count, true};
    if (kept != i) rows[kept] = std::move(rows[i]);
    ++kept;
  }
  rows.erase(rows.begin() + static_cast<std::ptrdiff_t>(kept), rows.end());
}

}  // namespace penstock::buffer
