#include "tests/agent/pipeline/recording_store.hpp"

#include <algorithm>

namespace penstock::tests {

using Lock = std::lock_guard<std::mutex>;

std::vector<std::string> RecordingStore::Commit::shape() const {
  std::vector<std::string> shape;
  for (const SeenRow& seen : rows) {
    shape.push_back((seen.row.kind == buffer::RowKind::loss ? "!" : "") + seen.stream + ":" +
                    std::to_string(seen.row.seq) + "+" + std::to_string(seen.row.count));
  }
  return shape;
}

void RecordingStore::fail_next(std::vector<Errc> failures) {
  const Lock lock(mutex_);
  failures_.assign(failures.begin(), failures.end());
}
void RecordingStore::refuse_batches_of(std::set<std::string> streams) {
  const Lock lock(mutex_);
  refused_ = std::move(streams);
}
void RecordingStore::set_nearly_full(bool value) {
  const Lock lock(mutex_);
  is_nearly_full_ = value;
}
void RecordingStore::set_pending_trims(bool value) {
  const Lock lock(mutex_);
  has_pending_trims_ = value;
}
void RecordingStore::set_open_fails(bool value) {
  const Lock lock(mutex_);
  open_fails_ = value;
}
void RecordingStore::preset_stream(const std::string& name, std::uint64_t next_seq) {
  const Lock lock(mutex_);
  streams_.push_back({name, next_seq});
}
void RecordingStore::preset_position(const std::string& owner, const std::string& part,
                                     const std::string& bytes) {
  const Lock lock(mutex_);
  positions_[{owner, part}] = bytes;
}

std::vector<RecordingStore::Commit> RecordingStore::commits() const {
  const Lock lock(mutex_);
  return commits_;
}
std::size_t RecordingStore::attempts() const {
  const Lock lock(mutex_);
  return attempts_;
}
std::vector<std::string> RecordingStore::offered() const {
  const Lock lock(mutex_);
  return offered_;
}
std::vector<std::string> RecordingStore::values(const std::string& stream) const {
  const Lock lock(mutex_);
  std::vector<std::string> values;
  for (const Commit& commit : commits_) {
    for (const SeenRow& seen : commit.rows) {
      if (seen.stream == stream && seen.row.kind == buffer::RowKind::batch) {
        values.push_back(seen.value);
      }
    }
  }
  return values;
}
std::map<std::string, buffer::WhenFull> RecordingStore::policies() const {
  const Lock lock(mutex_);
  std::map<std::string, buffer::WhenFull> policies;
  for (const Stream& stream : streams_) policies[stream.name] = stream.when_full;
  return policies;
}
std::string RecordingStore::problem() const {
  const Lock lock(mutex_);
  return problem_;
}

Result<buffer::StreamState> RecordingStore::open_stream(std::string_view name,
                                                        buffer::Priority priority,
                                                        buffer::WhenFull when_full) {
  const Lock lock(mutex_);
  if (open_fails_) return Error{Errc::unavailable, "injected"};
  auto found = std::find_if(streams_.begin(), streams_.end(),
                            [&](const Stream& stream) { return stream.name == name; });
  if (found == streams_.end()) {
    streams_.push_back({std::string(name)});
    found = streams_.end() - 1;
  }
  found->when_full = when_full;
  return buffer::StreamState{static_cast<std::uint32_t>(found - streams_.begin()), found->next_seq,
                             priority};
}

std::string RecordingStore::stream_name(std::uint32_t stream_id) const {
  const Lock lock(mutex_);
  return streams_.at(stream_id).name;
}

bool RecordingStore::has_stream(std::string_view name) const {
  const Lock lock(mutex_);
  return std::any_of(streams_.begin(), streams_.end(),
                     [&](const Stream& stream) { return stream.name == name; });
}

std::vector<buffer::GroupStats> RecordingStore::group_stats() const {
  const Lock lock(mutex_);
  std::map<std::string, buffer::GroupStats> groups;
  for (const Stream& stream : streams_) {
    const std::string name = stream.name.substr(0, stream.name.find('/'));
    groups[name].name = name;
    ++groups[name].streams;
  }
  std::vector<buffer::GroupStats> all;
  for (const auto& [name, group] : groups) all.push_back(group);
  return all;
}

Result<std::optional<std::string>> RecordingStore::position(std::string_view owner,
                                                            std::string_view part) const {
  const Lock lock(mutex_);
  const auto found = positions_.find({std::string(owner), std::string(part)});
  if (found == positions_.end()) return std::optional<std::string>();
  return std::optional<std::string>(found->second);
}

Result<std::vector<std::string>> RecordingStore::position_parts(std::string_view owner) const {
  const Lock lock(mutex_);
  if (open_fails_) return Error{Errc::unavailable, "injected"};
  std::vector<std::string> parts;
  for (const auto& [key, bytes] : positions_) {
    if (key.first == owner) parts.push_back(key.second);
  }
  return parts;
}

bool RecordingStore::is_nearly_full() const {
  const Lock lock(mutex_);
  return is_nearly_full_;
}
bool RecordingStore::has_pending_trims() const {
  const Lock lock(mutex_);
  return has_pending_trims_;
}

Result<buffer::CommitReport> RecordingStore::commit(const buffer::CommitRequest& request) {
  if (before_commit) before_commit();
  const Lock lock(mutex_);
  ++attempts_;
  std::string offered;
  for (const buffer::NewRow& row : request.rows) offered += std::string(row.value) + "\n";
  for (const auto& position : request.positions) offered += std::string(position.bytes) + "\n";
  offered_.push_back(offered);
  if (!failures_.empty()) {
    const Errc code = failures_.front();
    failures_.pop_front();
    return Error{code, "injected"};
  }
  for (const buffer::NewRow& row : request.rows) {
    const bool is_refused = refused_.count(streams_.at(row.stream_id).name) != 0;
    if (is_refused && row.kind == buffer::RowKind::batch) return Error{Errc::full, "injected"};
  }
  Commit commit;
  for (const buffer::NewRow& row : request.rows) {
    Stream& stream = streams_.at(row.stream_id);
    if (row.seq != stream.next_seq || row.count == 0) problem_ = "seq of " + stream.name;
    stream.next_seq = row.seq + row.count;
    commit.rows.push_back({stream.name, row, std::string(row.value)});
  }
  for (const buffer::NewPosition& position : request.positions) {
    std::string owner(position.owner);
    const std::string part(position.part);
    if (position.bytes.empty()) {
      positions_.erase({owner, part});
    } else {
      positions_[{owner, part}] = position.bytes;
    }
    std::replace(owner.begin(), owner.end(), '\0', '/');
    commit.positions[owner + "|" + part] = position.bytes;
  }
  commits_.push_back(std::move(commit));
  has_pending_trims_ = false;
  return buffer::CommitReport{};
}

}  // namespace penstock::tests
