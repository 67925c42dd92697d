#include "tests/support/fake_store.hpp"

#include <algorithm>
#include <utility>

#include "agent/base/text.hpp"
#include "agent/base/wire.hpp"

namespace penstock::tests {

using buffer::Priority;
using buffer::Row;
using buffer::RowKind;

void FakeStore::add_batch(std::string_view stream, std::uint32_t count, std::string_view text,
                          Priority priority) {
  const auto opened = open_stream(stream, priority, buffer::WhenFull::drop_oldest);
  const EventHead head(device_, stream, epoch_);
  std::string content = "[";
  for (std::uint32_t i = 0; i < count; ++i) {
    if (i != 0) content += ',';
    head.append(content, 1'764'000'000'000'000 + i, opened->next_seq + i);
    content += ",\"message\":";
    append_json_string(content, text);
    content += '}';
  }
  content += ']';
  buffer::NewRow row;
  row.stream_id = opened->id;
  row.seq = opened->next_seq;
  row.count = count;
  row.value = content;
  static_cast<void>(commit({{&row, 1}, {}}));
}

void FakeStore::add_loss(std::string_view stream, std::uint32_t count, std::uint8_t reason) {
  const auto opened = open_stream(stream, Priority::normal, buffer::WhenFull::drop_oldest);
  buffer::NewRow row;
  row.stream_id = opened->id;
  row.kind = RowKind::loss;
  row.seq = opened->next_seq;
  row.count = count;
  row.loss_reason = reason;
  row.time_unix_us = 1'764'000'000'000'000;
  static_cast<void>(commit({{&row, 1}, {}}));
}

void FakeStore::damage(std::uint64_t row_id) {
  const std::lock_guard lock(mutex_);
  for (Class& of_class : classes_) {
    for (Row& row : of_class.rows) {
      if (row.key.id == row_id) row.is_damaged = true;
    }
  }
}

void FakeStore::remove(std::uint64_t row_id) {
  const std::lock_guard lock(mutex_);
  for (Class& of_class : classes_) {
    std::erase_if(of_class.rows, [row_id](const Row& row) { return row.key.id == row_id; });
  }
}

void FakeStore::fail_reads(std::optional<Error> error) {
  const std::lock_guard lock(mutex_);
  rows_error_ = std::move(error);
}

void FakeStore::fail_parked_reads(std::optional<Error> error) {
  const std::lock_guard lock(mutex_);
  parked_error_ = std::move(error);
}

std::uint64_t FakeStore::failed_reads() const {
  const std::lock_guard lock(mutex_);
  return failed_reads_;
}

void FakeStore::reopen() {
  const std::lock_guard lock(mutex_);
  trim();
  ++generation_;
  constexpr std::uint64_t shift = 1'000;
  next_id_ += shift;
  for (Class& of_class : classes_) {
    for (Row& row : of_class.rows) row.key.id += shift;
    of_class.acknowledged = 0;
    of_class.pinned = 0;
  }
}

std::uint64_t FakeStore::acknowledged(Priority priority) const {
  const std::lock_guard lock(mutex_);
  return classes_[index(priority)].acknowledged;
}

std::uint64_t FakeStore::pinned(Priority priority) const {
  const std::lock_guard lock(mutex_);
  return classes_[index(priority)].pinned;
}

std::size_t FakeStore::backlog() const {
  const std::lock_guard lock(mutex_);
  std::size_t count = 0;
  for (const Class& of_class : classes_) {
    count += static_cast<std::size_t>(
        std::count_if(of_class.rows.begin(), of_class.rows.end(),
                      [&](const Row& row) { return row.key.id > of_class.acknowledged; }));
  }
  return count;
}

std::uint64_t FakeStore::generation() const {
  const std::lock_guard lock(mutex_);
  return generation_;
}

FakeStore::Stream& FakeStore::find_or_add(std::string_view name, Priority priority) {
  for (Stream& stream : streams_) {
    if (stream.name == name) return stream;
  }
  Stream stream;
  stream.name = name;
  stream.state.id = static_cast<std::uint32_t>(streams_.size() + 1);
  stream.state.priority = priority;
  streams_.push_back(std::move(stream));
  return streams_.back();
}

Result<buffer::StreamState> FakeStore::open_stream(std::string_view name, Priority priority,
                                                   buffer::WhenFull) {
  const std::lock_guard lock(mutex_);
  return find_or_add(name, priority).state;
}

std::string FakeStore::stream_name(std::uint32_t stream_id) const {
  const std::lock_guard lock(mutex_);
  if (stream_id == 0 || stream_id > streams_.size()) return {};
  return streams_[stream_id - 1].name;
}

bool FakeStore::has_stream(std::string_view name) const {
  const std::lock_guard lock(mutex_);
  return std::any_of(streams_.begin(), streams_.end(),
                     [&](const Stream& stream) { return stream.name == name; });
}

Result<std::optional<std::string>> FakeStore::position(std::string_view owner,
                                                       std::string_view part) const {
  const std::lock_guard lock(mutex_);
  const auto found = positions_.find({std::string(owner), std::string(part)});
  if (found == positions_.end()) return std::optional<std::string>();
  return std::optional<std::string>(found->second);
}

Result<std::vector<std::string>> FakeStore::position_parts(std::string_view owner) const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> parts;
  for (const auto& [key, bytes] : positions_) {
    if (key.first == owner) parts.push_back(key.second);
  }
  return parts;
}

void FakeStore::append(const buffer::NewRow& row) {
  Stream& stream = streams_.at(row.stream_id - 1);
  PENSTOCK_ASSERT(row.seq == stream.state.next_seq);
  stream.state.next_seq += row.count;
  Row stored;
  stored.key = {next_id_++, row.stream_id, row.seq, row.count};
  stored.priority = stream.state.priority;
  stored.kind = row.kind;
  stored.loss_reason = row.loss_reason;
  stored.loss_is_exact = row.loss_is_exact;
  stored.time_unix_us = row.time_unix_us;
  if (row.kind == RowKind::batch) {
    compressor_.append(stored.stored, row.value);
    stored.raw_size = static_cast<std::uint32_t>(row.value.size());
  }
  classes_[index(stored.priority)].rows.push_back(std::move(stored));
}

void FakeStore::trim() {
  for (Class& of_class : classes_) {
    while (!of_class.rows.empty() && of_class.rows.front().key.id <= of_class.acknowledged) {
      Row& row = of_class.rows.front();
      const auto parked = parked_.find(row.key.stream_id);
      if (parked != parked_.end() && row.key.id >= parked->second.from_id) {
        row.is_parked = true;
        parked->second.rows.push_back(std::move(row));
      }
      of_class.rows.pop_front();
    }
  }
  for (auto& [stream, parked] : parked_) trim_parked(parked);
}

void FakeStore::trim_parked(ParkedRows& parked) {
  while (!parked.rows.empty() && parked.rows.front().key.id <= parked.acknowledged) {
    parked.rows.pop_front();
  }
  for (Row& row : parked.rows) {
    const auto refused = parked.refused.find(row.key.id);
    if (refused == parked.refused.end()) continue;
    row.kind = RowKind::loss;
    row.loss_reason = static_cast<std::uint8_t>(LossReason::refused);
    row.refusal_code = refused->second;
    row.stored.clear();
  }
}

std::vector<std::string> FakeStore::parked() const {
  std::vector<std::string> names;
  for (const std::uint32_t stream : streams()) names.push_back(stream_name(stream));
  return names;
}

std::vector<std::uint32_t> FakeStore::streams() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::uint32_t> out;
  for (const auto& [stream, parked] : parked_) out.push_back(stream);
  return out;
}

void FakeStore::park(std::uint32_t stream_id, std::uint64_t from_id) {
  const std::lock_guard lock(mutex_);
  const auto [at, is_new] = parked_.try_emplace(stream_id);
  if (is_new) at->second.from_id = from_id;
}

void FakeStore::refuse(std::uint32_t stream_id, std::uint64_t id, std::uint8_t code) {
  const std::lock_guard lock(mutex_);
  parked_[stream_id].refused[id] = code;
}

Result<std::vector<Row>> FakeStore::rows_after(std::uint32_t stream_id, std::uint64_t after_id,
                                               std::size_t bytes_max) const {
  const std::lock_guard lock(mutex_);
  if (parked_error_) {
    ++failed_reads_;
    return *parked_error_;
  }
  std::vector<Row> rows;
  std::size_t bytes = 0;
  const auto parked = parked_.find(stream_id);
  if (parked == parked_.end()) return rows;
  for (const Row& row : parked->second.rows) {
    if (row.key.id <= after_id) continue;
    if (!rows.empty() && bytes + row.stored.size() > bytes_max) break;
    bytes += row.stored.size();
    rows.push_back(row);
  }
  return rows;
}

Result<std::vector<Row>> FakeStore::peek_after(std::uint32_t stream_id, std::uint64_t after_id,
                                               std::size_t bytes_max) const {
  return rows_after(stream_id, after_id, bytes_max);
}

void FakeStore::acknowledge(std::uint32_t stream_id, std::uint64_t id) {
  const std::lock_guard lock(mutex_);
  ParkedRows& parked = parked_[stream_id];
  parked.acknowledged = std::max(parked.acknowledged, id);
}

Result<bool> FakeStore::unpark(std::uint32_t stream_id, std::uint64_t moved_to) {
  const std::lock_guard lock(mutex_);
  const auto at = parked_.find(stream_id);
  if (at == parked_.end()) return true;
  ParkedRows& parked = at->second;
  if (!parked.rows.empty() && parked.rows.back().key.id > parked.acknowledged) return false;
  for (const Class& of_class : classes_) {
    for (const Row& row : of_class.rows) {
      if (row.key.stream_id == stream_id && row.key.id <= moved_to) return false;
    }
  }
  parked_.erase(at);
  return true;
}

Result<buffer::CommitReport> FakeStore::commit(const buffer::CommitRequest& request) {
  buffer::CommitReport report;
  {
    const std::lock_guard lock(mutex_);
    trim();
    for (const buffer::NewRow& row : request.rows) append(row);
    for (const buffer::NewPosition& position : request.positions) {
      std::pair key{std::string(position.owner), std::string(position.part)};
      if (position.bytes.empty()) {
        positions_.erase(key);
      } else {
        positions_[std::move(key)] = position.bytes;
      }
    }
    ++commits_;
    report.durable_id = next_id_ - 1;
  }
  if (on_stored_ && !request.rows.empty()) on_stored_();
  return report;
}

bool FakeStore::has_pending_trims() const {
  const std::lock_guard lock(mutex_);
  return std::any_of(classes_.begin(), classes_.end(), [](const Class& of_class) {
    return !of_class.rows.empty() && of_class.rows.front().key.id <= of_class.acknowledged;
  });
}

Result<std::vector<Row>> FakeStore::rows_after(Priority priority, std::uint64_t after_id,
                                               std::size_t bytes_max) const {
  const std::lock_guard lock(mutex_);
  if (rows_error_) {
    ++failed_reads_;
    return *rows_error_;
  }
  Class& of_class = classes_[index(priority)];
  std::vector<Row> rows;
  std::size_t bytes = 0;
  for (const Row& row : of_class.rows) {
    if (row.key.id <= after_id) continue;
    if (!rows.empty() && bytes + row.stored.size() > bytes_max) break;
    bytes += row.stored.size();
    rows.push_back(row);
    of_class.pinned = std::max(of_class.pinned, row.key.id);
  }
  return rows;
}

std::uint64_t FakeStore::durable_id() const {
  const std::lock_guard lock(mutex_);
  return next_id_ - 1;
}

void FakeStore::on_stored(std::function<void()> callback) { on_stored_ = std::move(callback); }

void FakeStore::acknowledge(std::uint64_t generation, Priority priority, std::uint64_t id) {
  const std::lock_guard lock(mutex_);
  if (generation != generation_) return;
  Class& of_class = classes_[index(priority)];
  of_class.acknowledged = std::max(of_class.acknowledged, id);
}

void FakeStore::pin(std::uint64_t generation, Priority priority, std::uint64_t id) {
  const std::lock_guard lock(mutex_);
  if (id != 0 && generation != generation_) return;
  Class& of_class = classes_[index(priority)];
  of_class.pinned = id == 0 ? 0 : std::max(of_class.pinned, id);
}

buffer::StoreStats FakeStore::stats() const {
  const std::lock_guard lock(mutex_);
  buffer::StoreStats stats;
  stats.epoch = epoch_;
  stats.commits = commits_;
  stats.streams = static_cast<std::uint32_t>(streams_.size());
  for (const Class& of_class : classes_) {
    stats.rows += of_class.rows.size();
    for (const Row& row : of_class.rows) {
      if (row.kind == RowKind::batch) stats.events += row.key.count;
    }
  }
  return stats;
}

Result<std::vector<buffer::StreamStats>> FakeStore::stream_stats() const {
  const std::lock_guard lock(mutex_);
  std::vector<buffer::StreamStats> out;
  for (const Stream& stream : streams_) {
    out.push_back({stream.name, stream.state, 0, stream.state.next_seq, 0, 0, 0});
  }
  return out;
}

Result<buffer::Store::VerifyReport> FakeStore::verify(
    const std::function<bool(std::uint64_t, std::uint64_t)>&) const {
  VerifyReport report;
  report.rows = stats().rows;
  return report;
}

Result<std::vector<std::array<std::string, 3>>> FakeStore::positions() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::array<std::string, 3>> out;
  for (const auto& [key, bytes] : positions_) out.push_back({key.first, key.second, bytes});
  return out;
}

}  // namespace penstock::tests
