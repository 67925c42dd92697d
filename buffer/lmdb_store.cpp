#include "buffer/lmdb_store.hpp"

#include <fmt/core.h>
#include <sys/statvfs.h>

#include <algorithm>

namespace penstock::buffer {
namespace {

constexpr std::uint64_t reserved_pages_max = 64;
constexpr std::uint64_t disk_low_min = 1 << 20;
constexpr std::int64_t disk_check_every_us = 1'000'000;

std::size_t index_of(Priority priority) { return static_cast<std::size_t>(priority); }

/// Tells one request from another.
std::uint64_t fingerprint_of(const CommitRequest& request) {
  std::uint64_t hash = 0;
  for (const NewRow& row : request.rows) {
    const std::uint64_t numbers[] = {hash, row.stream_id, row.seq, row.count};
    hash = hash_of({reinterpret_cast<const char*>(numbers), sizeof numbers});
    hash ^= hash_of(row.value);
  }
  for (const NewPosition& position : request.positions) {
    hash = hash * 31 + hash_of(position.owner);
    hash = hash * 31 + hash_of(position.part);
    hash = hash * 31 + hash_of(position.bytes);
  }
  return hash;
}

Error unavailable(const Error& error) { return Error{Errc::unavailable, error.text}; }

}  // namespace

LmdbStore::LmdbStore(const StoreOptions& options, Directory directory, OpenFile file,
                     bool is_reserved, const Clock& clock, const Faults& faults)
    : options_(options),
      directory_(std::move(directory)),
      clock_(clock),
      faults_(faults),
      epoch_(file.state.identity.epoch),
      epoch_text_(buffer::epoch_text(epoch_)),
      device_(file.state.identity.device),
      page_size_(file.env->page_size()),
      is_reserved_(is_reserved),
      env_(std::move(file.env)),
      counters_(file.state.counters),
      map_bytes_(env_->map_bytes()),
      buffer_time_base_us_(counters_.buffer_time_us),
      boot_base_us_(clock.boot_us()) {
  streams_.load(file.state.streams);
  durable_id_ = counters_.next_id - 1;
  file_pages_ = env_->file_pages();
  // Where this cannot be read, the first commit will say so.
  static_cast<void>(look_at_file().ok());
  look_at_disk();
}

Result<void> LmdbStore::look_at_file() {
  PENSTOCK_TRY_ASSIGN(Txn txn, env_->begin_read());
  PENSTOCK_TRY_ASSIGN(used_pages_, txn.pages());
  for (std::size_t i = 0; i < priority_count; ++i) {
    PENSTOCK_TRY_ASSIGN(Cursor cursor, Cursor::open(txn, table_of(static_cast<Priority>(i))));
    PENSTOCK_TRY_ASSIGN(const bool found, cursor.first());
    const auto oldest = found ? decode_row_key(cursor.key()) : std::nullopt;
    trimmed_[i] = oldest ? oldest->key.id - 1 : durable_id_.load();
  }
  return {};
}

std::uint64_t LmdbStore::buffer_time_us() const {
  const std::int64_t passed = clock_.boot_us() - boot_base_us_;
  return buffer_time_base_us_ + static_cast<std::uint64_t>(std::max<std::int64_t>(passed, 0));
}

Result<StreamState> LmdbStore::open_stream(std::string_view name, Priority priority,
                                           WhenFull when_full) {
  const std::lock_guard turn(turn_);
  Stream* stream = streams_.find(name);
  if (stream == nullptr) {
    stream = &streams_.add(name, priority);
  } else if (undecided_) {
    return Error{Errc::unavailable, "a commit is undecided"};
  }
  stream->wanted = priority;
  if (when_full != stream->when_full) {
    stream->when_full = when_full;
    for (ClassMarks& marks : marks_) marks.searched = 0;
  }
  return StreamState{stream->id, stream->stored.next_seq, stream->stored.priority};
}

std::string LmdbStore::stream_name(std::uint32_t stream_id) const {
  return streams_.name_of(stream_id);
}

void LmdbStore::look_at_disk() const {
  disk_checked_us_ = clock_.steady_us();
  struct statvfs disk = {};
  if (is_reserved_ || ::statvfs(options_.path.c_str(), &disk) != 0) return;
  const std::uint64_t available = std::uint64_t{disk.f_bavail} * disk.f_frsize;
  is_disk_low_ = available < std::max(options_.keep_free, disk_low_min);
}

bool LmdbStore::is_nearly_full() const {
  if (clock_.steady_us() - disk_checked_us_ >= disk_check_every_us) look_at_disk();
  const std::uint64_t limit =
      is_disk_low_ ? std::min(max_pages(), file_pages_.load()) : max_pages();
  return used_pages_ * 10 >= limit * 9;
}

Room LmdbStore::room() const {
  look_at_disk();
  std::uint64_t pages = max_pages();
  if (is_disk_low_) pages = std::min(pages, env_->file_pages());
  pages -= std::min(shortage_pages_, pages / 2);
  return {pages, std::min(reserved_pages_max, pages / 16)};
}

void LmdbStore::acknowledge(Priority priority, std::uint64_t id) {
  auto& acked = acked_[index_of(priority)];
  acked = std::max(acked.load(), std::min(id, durable_id_.load()));
}

void LmdbStore::pin(Priority priority, std::uint64_t id) {
  auto& pinned = pinned_[index_of(priority)];
  pinned = id == 0 ? 0 : std::max(pinned.load(), id);
}

bool LmdbStore::has_pending_trims() const {
  for (std::size_t i = 0; i < priority_count; ++i) {
    if (acked_[i] > trimmed_[i]) return true;
  }
  return false;
}

std::vector<PackedRow> LmdbStore::pack(std::span<const NewRow> rows) {
  std::vector<PackedRow> packed;
  packed.reserve(rows.size());
  std::vector<std::size_t> ends;
  ends.reserve(rows.size());
  frames_.clear();
  for (const NewRow& row : rows) {
    PackedRow& one = packed.emplace_back();
    one.row = &row;
    one.kind = row.kind;
    if (row.kind == RowKind::batch) {
      one.raw_size = static_cast<std::uint32_t>(row.value.size());
      compressor_.append(frames_, row.value);
    } else {
      PENSTOCK_ASSERT(row.loss_reason != 0);
      one.loss_reason = row.loss_reason;
      one.loss_is_exact = row.loss_is_exact;
    }
    ends.push_back(frames_.size());
  }
  std::size_t start = 0;
  for (std::size_t i = 0; i < packed.size(); ++i) {
    packed[i].content = std::string_view(frames_).substr(start, ends[i] - start);
    start = ends[i];
  }
  return packed;
}

Result<CommitReport> LmdbStore::commit(const CommitRequest& request) {
  std::vector<PackedRow> rows = pack(request.rows);
  Result<CommitReport> result = [&] {
    const std::lock_guard turn(turn_);
    return commit_in_turn(rows, request);
  }();
  if (result.ok() && !request.rows.empty() && on_stored_) on_stored_();
  return result;
}

Result<CommitReport> LmdbStore::commit_in_turn(std::vector<PackedRow>& rows,
                                               const CommitRequest& request) {
  if (!env_) PENSTOCK_TRY(reopen());
  if (undecided_) {
    if (counters_.commit_no >= undecided_->effects.counters.commit_no) {
      if (request.rows.empty() && request.positions.empty()) {
        return Error{Errc::unavailable, "an earlier commit is undecided"};
      }
      PENSTOCK_ASSERT(fingerprint_of(request) == undecided_->fingerprint);
      return confirm();
    }
    undecided_.reset();
  }
  return commit_anew(rows, request);
}

Result<LmdbStore::Effects> LmdbStore::build(Txn& txn, std::vector<PackedRow>& rows,
                                            std::span<const NewPosition> positions, bool is_clean) {
  Marks marks = marks_;
  for (std::size_t i = 0; i < priority_count; ++i) {
    const std::uint64_t pinned = pinned_[i];
    if (pinned < marks[i].pinned) marks[i].searched = 0;
    marks[i].pinned = pinned;
    marks[i].acked = acked_[i];
  }
  Transaction work(txn, page_size_, epoch_, streams_, counters_, marks,
                   {clock_.wall_us(), buffer_time_us()});
  PENSTOCK_TRY(work.trim());
  PENSTOCK_TRY(work.change_classes(rows));
  PENSTOCK_TRY(work.make_room(rows, room()));
  PENSTOCK_TRY(work.append(rows));
  PENSTOCK_TRY(work.put_positions(positions));
  PENSTOCK_TRY(work.finish(is_clean));
  Effects effects;
  effects.counters = work.counters();
  effects.marks = work.marks();
  effects.used_pages = work.used_pages();
  effects.has_more_to_trim = work.has_more_to_trim();
  effects.report = {work.counters().next_id - 1, work.dropped_rows(), work.dropped_events()};
  return effects;
}

Result<CommitReport> LmdbStore::commit_anew(std::vector<PackedRow>& rows,
                                            const CommitRequest& request) {
  Result<Effects> effects = Error{};
  Result<void> committed;
  {
    auto txn = env_->begin_write();
    if (!txn.ok()) {
      drop_env();
      return unavailable(txn.error());
    }
    effects = build(*txn, rows, request.positions, false);
    if (effects.ok()) committed = commit_txn(*txn);
  }
  if (effects.ok() && committed.ok()) return publish(*effects);
  streams_.discard();
  for (ClassMarks& marks : marks_) marks.searched = 0;
  if (effects.ok()) {
    undecided_ = Undecided{fingerprint_of(request), *effects};
    return settle(committed.error());
  }
  const Error error = effects.error();
  if (error.code == Errc::full && !env_->was_map_full()) {
    // Only LMDB's map or the request itself had no room: what is acknowledged can still go.
    trim_alone();
    return error;
  }
  drop_env();
  return error.code == Errc::full ? error : unavailable(error);
}

Result<void> LmdbStore::commit_txn(Txn& txn) {
  if (faults_.before_commit && faults_.before_commit()) {
    return Error{Errc::unavailable, "commit: fault before"};
  }
  PENSTOCK_TRY(txn.commit());
  if (faults_.after_commit && faults_.after_commit()) {
    return Error{Errc::unavailable, "commit: fault after"};
  }
  return {};
}

Result<CommitReport> LmdbStore::settle(const Error& cause) {
  drop_env();
  if (const auto reopened = reopen(); !reopened.ok()) {
    return Error{Errc::unavailable, fmt::format("{}; {}", cause.text, reopened.error().text)};
  }
  if (counters_.commit_no >= undecided_->effects.counters.commit_no) return confirm();
  undecided_.reset();
  if (cause.code != Errc::full) return unavailable(cause);
  shortage_pages_ = std::max(2 * shortage_pages_, reserved_pages_max);
  trim_alone();
  return cause;
}

Result<CommitReport> LmdbStore::confirm() {
  Counters counters = counters_;
  ++counters.commit_no;
  const Result<void> done = [&]() -> Result<void> {
    PENSTOCK_TRY_ASSIGN(Txn txn, env_->begin_write());
    PENSTOCK_TRY(txn.put(Table::state, counters_key, encode_counters(epoch_, counters)));
    return commit_txn(txn);
  }();
  if (!done.ok()) {
    drop_env();
    return unavailable(done.error());
  }
  Effects effects = undecided_->effects;
  undecided_.reset();
  effects.counters = counters;
  for (ClassMarks& marks : effects.marks) marks.searched = 0;
  return publish(effects);
}

void LmdbStore::trim_alone() {
  if (!has_pending_trims()) return;
  std::vector<PackedRow> none;
  const Result<Effects> effects = [&]() -> Result<Effects> {
    PENSTOCK_TRY_ASSIGN(Txn txn, env_->begin_write());
    PENSTOCK_TRY_ASSIGN(Effects built, build(txn, none, {}, false));
    PENSTOCK_TRY(commit_txn(txn));
    return built;
  }();
  if (effects.ok()) {
    publish(*effects);
    return;
  }
  streams_.discard();
  drop_env();
  // The next commit tries again; until then there is nothing to read from.
  static_cast<void>(reopen().ok());
}

CommitReport LmdbStore::publish(const Effects& effects) {
  counters_ = effects.counters;
  marks_ = effects.marks;
  streams_.publish();
  used_pages_ = effects.used_pages;
  file_pages_ = env_->file_pages();
  for (std::size_t i = 0; i < priority_count; ++i) {
    if (!effects.has_more_to_trim) trimmed_[i] = marks_[i].acked;
  }
  ++commits_;
  dropped_events_ += effects.report.dropped_events;
  if (!is_disk_low_) shortage_pages_ = 0;
  durable_id_ = counters_.next_id - 1;
  return effects.report;
}

void LmdbStore::drop_env() {
  if (!env_) return;
  // LMDB wants a sixteenth more once deletes were refused.
  if (env_->was_map_full()) map_bytes_ = map_bytes_for(map_bytes_ / 2 + map_bytes_ / 32);
  env_.reset();
}

Result<void> LmdbStore::reopen() {
  if (faults_.reopen && faults_.reopen()) return Error{Errc::unavailable, "reopen: fault"};
  auto file = open_existing(directory_.file(), map_bytes_);
  if (!file.ok()) return unavailable(file.error());
  if (file->state.identity.epoch != epoch_) {
    return Error{Errc::unavailable,
                 fmt::format("{}: another buffer took its place", directory_.file().string())};
  }
  env_ = std::move(file->env);
  counters_ = file->state.counters;
  streams_.load(file->state.streams);
  for (ClassMarks& marks : marks_) marks.searched = 0;
  ++generation_;
  return {};
}

void LmdbStore::close() {
  const std::lock_guard turn(turn_);
  if (!env_ || undecided_ || (commits_ == 0 && !has_pending_trims())) {
    env_.reset();
    return;
  }
  std::vector<PackedRow> none;
  if (auto txn = env_->begin_write(); txn.ok()) {
    // A store that cannot be marked clean is checked at the next start: nothing else is lost.
    if (build(*txn, none, {}, true).ok()) static_cast<void>(commit_txn(*txn).ok());
  }
  env_.reset();
}

}  // namespace penstock::buffer
