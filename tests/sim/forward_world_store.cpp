// The simulated world's store: rows by class, rows of parked streams, commits that come later.
#include <algorithm>
#include <utility>

#include "tests/sim/forward_world.hpp"

namespace penstock::tests {

using forward::RowRef;

void ForwardWorld::perform(const forward::Fetch& action) {
  if (action.generation != generation_ || chance(disturbs_ ? 0.01 : 0)) {
    pending_.push_back(forward::FetchFailed{});
    return;
  }
  forward::Fetched event{action.generation, action.priority, action.after_id, {}, true};
  std::uint64_t bytes = 0;
  const auto& rows = store_[static_cast<std::size_t>(action.priority)];
  for (auto at = behind(rows, action.after_id); at != rows.end(); ++at) {
    const Row& row = *at;
    if (bytes > 0 && bytes + row.bytes > action.bytes) {
      event.is_end = false;
      break;
    }
    bytes += row.bytes;
    const auto stream_id = static_cast<std::uint32_t>(row.stream + 1);
    event.rows.push_back(
        {row.id, row.bytes, row.is_loss ? 0 : row.count, stream_id, row.seq, row.seq + row.count});
  }
  pending_.push_back(std::move(event));
}

/// What is not verified may come again, on the same connection.
void ForwardWorld::perform(const forward::DropFetched& action) {
  if (receivers_.empty() || action.keeps_pins) return;
  has_published_ = {};
  parts_acknowledged_.clear();
}

std::deque<ForwardWorld::Row>::const_iterator ForwardWorld::behind(const std::deque<Row>& rows,
                                                                   std::uint64_t id) {
  return std::upper_bound(rows.begin(), rows.end(), id,
                          [](std::uint64_t wanted, const Row& row) { return wanted < row.id; });
}

/// nullptr: it was committed away.
ForwardWorld::Row* ForwardWorld::find(const RowRef& wanted) {
  auto& rows = wanted.parked_stream == 0 ? rows_of(wanted) : parked_[wanted.parked_stream].rows;
  const auto found = std::lower_bound(rows.begin(), rows.end(), wanted.id,
                                      [](const Row& row, std::uint64_t id) { return row.id < id; });
  return found == rows.end() || found->id != wanted.id ? nullptr : &*found;
}

bool ForwardWorld::is_parked(const Row& row) const {
  const auto parked = parked_.find(static_cast<std::uint32_t>(row.stream + 1));
  return parked != parked_.end() && row.id >= parked->second.from_id;
}

void ForwardWorld::perform(const forward::FetchParked& action) {
  forward::FetchedParked event{action.generation, action.stream_id, action.after_id, {}, false};
  if (action.generation != generation_ || chance(disturbs_ ? 0.01 : 0)) {
    event.has_failed = true;
  } else {
    const auto& rows = parked_[action.stream_id].rows;
    const auto at = behind(rows, action.after_id);
    if (at != rows.end()) {
      event.row = {at->id,           at->bytes, at->is_loss ? 0 : at->count,
                   action.stream_id, at->seq,   at->seq + at->count};
    }
  }
  pending_.push_back(event);
}

void ForwardWorld::perform(const forward::Encode& action) {
  const Row* const row = find(action.row);
  require(row != nullptr, "a row is used that was trimmed");
  const std::uint64_t most = std::min(action.split_bytes, action.packet_bytes_max);
  const std::uint64_t parts =
      row->is_loss ? 1 : std::min<std::uint64_t>(row->count, (row->bytes + most - 1) / most);
  std::uint64_t bytes = row->bytes / parts + 1;
  if (bytes > action.packet_bytes_max && bytes <= action.elsewhere_bytes_max) {
    pending_.push_back(forward::Encoded{action.connection, action.row, {}, true});
    return;
  }
  if (bytes > action.packet_bytes_max) bytes = 150;  // told as lost
  // What the store lost is told by where a row begins, against the one that was sent before.
  Stream& stream = streams_[row->stream];
  require(row->seq <= stream.sent_end, "rows of a stream are sent that do not follow each other");
  stream.sent_end = row->seq + row->count;
  encoded_ = {action.row, *row, {}};
  for (std::uint64_t i = 0; i < parts; ++i) {
    encoded_.parts.push_back({bytes, static_cast<std::uint32_t>(row->count / parts)});
  }
  pending_.push_back(forward::Encoded{action.connection, action.row, encoded_.parts});
}

void ForwardWorld::perform(const forward::Acknowledge& action) {
  if (action.generation != generation_) return;
  auto& trimmed = trimmed_[static_cast<std::size_t>(action.row.priority)];
  const auto& rows = rows_of(action.row);
  for (auto at = behind(rows, trimmed); at != rows.end() && at->id <= action.row.id; ++at) {
    require(at->is_acknowledged || is_parked(*at), "a row is trimmed that no broker acknowledged");
    require(is_verified(*at) || is_parked(*at), "a row is trimmed that no receiver verified");
  }
  trimmed = action.row.id;
}

void ForwardWorld::perform(const forward::Park& action) {
  const auto [at, is_new] = parked_.try_emplace(action.stream_id);
  require(is_new, "a stream is parked twice");
  at->second.from_id = action.from_id;
  ++parkings_;
}

void ForwardWorld::perform(const forward::Refuse& action) {
  const auto parked = parked_.find(action.stream_id);
  require(parked != parked_.end(), "a row is refused whose stream is not parked");
  parked->second.refused.insert(action.id);
}

void ForwardWorld::perform(const forward::AcknowledgeParked& action) {
  if (action.generation != generation_) return;
  ParkedStream& parked = parked_[action.stream_id];
  for (const Row& row : parked.rows) {
    if (row.id > parked.acknowledged && row.id <= action.id) {
      require(row.is_acknowledged, "a parked row is trimmed that no broker acknowledged");
      require(is_verified(row), "a parked row is trimmed that no receiver verified");
    }
  }
  parked.acknowledged = std::max(parked.acknowledged, action.id);
}

void ForwardWorld::perform(const forward::Unpark& action) {
  ParkedStream& parked = parked_[action.stream_id];
  const bool is_empty = parked.rows.empty() || parked.rows.back().id <= parked.acknowledged;
  const std::size_t of_class = streams_[action.stream_id - 1].of_class;
  const bool ends = is_empty && committed_[of_class] >= action.moved_to;
  if (ends) parked_.erase(action.stream_id);
  pending_.push_back(forward::Unparked{action.stream_id, ends});
}

/// Trims and moves, a while after the acknowledgements, as the intake's commits do.
void ForwardWorld::commit() {
  for (std::size_t i = 0; i < store_.size(); ++i) {
    auto& rows = store_[i];
    while (!rows.empty() && rows.front().id <= trimmed_[i]) {
      Row row = rows.front();
      rows.pop_front();
      if (!is_parked(row)) continue;
      row.is_acknowledged = false;
      parked_[static_cast<std::uint32_t>(row.stream + 1)].rows.push_back(row);
    }
    committed_[i] = trimmed_[i];
  }
  for (auto& [stream, parked] : parked_) {
    while (!parked.rows.empty() && parked.rows.front().id <= parked.acknowledged) {
      parked.rows.pop_front();
    }
    for (Row& row : parked.rows) {
      if (parked.refused.count(row.id) == 0 || row.is_loss) continue;
      row.is_loss = true;
      row.bytes = 150;
      ++losses_;
    }
  }
  later(between(10'000, 3'000'000), [this] { commit(); });
}

void ForwardWorld::append_rows() {
  if (!appends_) return;
  for (std::uint64_t n = below(12); n > 0; --n) {
    const std::size_t number = below(streams_.size());
    Stream& stream = streams_[number];
    Row row;
    row.id = ++next_id_;
    row.stream = number;
    row.seq = stream.next_seq;
    row.count = static_cast<std::uint32_t>(1 + below(500));
    row.bytes = row.count * (20 + below(200));
    stream.next_seq += row.count;
    store_[stream.of_class].push_back(row);
  }
  step(forward::Stored{});
  later(between(100'000, 5'000'000), [this] { append_rows(); });
}

/// Reopened: the same rows under other ids, and nothing of the old ones may be used.
void ForwardWorld::change_generation() {
  ++generation_;
  const std::uint64_t shift = below(50);
  next_id_ += shift;
  const auto renumber = [shift](std::deque<Row>& rows) {
    for (Row& row : rows) {
      row.id += shift;
      row.is_acknowledged = false;
    }
  };
  for (std::size_t i = 0; i < store_.size(); ++i) {
    auto& rows = store_[i];
    while (!rows.empty() && rows.front().id <= trimmed_[i] && !is_parked(rows.front())) {
      rows.pop_front();
    }
    renumber(rows);
  }
  std::vector<std::uint32_t> streams;
  for (auto& [stream, parked] : parked_) {
    while (!parked.rows.empty() && parked.rows.front().id <= parked.acknowledged) {
      parked.rows.pop_front();
    }
    renumber(parked.rows);
    parked.from_id += shift;
    if (parked.acknowledged != 0) parked.acknowledged += shift;
    std::set<std::uint64_t> refused;
    for (const std::uint64_t id : parked.refused) refused.insert(id + shift);
    parked.refused = std::move(refused);
    streams.push_back(stream);
  }
  trimmed_ = {};
  has_published_ = {};
  parts_acknowledged_.clear();
  is_carrying_ = is_carrying_ && unacknowledged_.empty();
  step(forward::StoreChanged{generation_, streams});
  if (is_up_ && !is_carrying_) end_connection(0);
}

bool ForwardWorld::is_drained() const {
  const auto is_done = [](const auto& parked) {
    return parked.second.rows.empty() || parked.second.rows.back().id <= parked.second.acknowledged;
  };
  return std::all_of(store_.begin(), store_.end(), [](const auto& rows) { return rows.empty(); }) &&
         std::all_of(parked_.begin(), parked_.end(), is_done);
}

}  // namespace penstock::tests
