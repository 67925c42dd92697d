// One commit from the request to its certain outcome, whatever the disk says.
#include <fmt/core.h>

#include <algorithm>

#include "buffer/lmdb_store.hpp"

namespace penstock::buffer {
namespace {

constexpr std::uint64_t shortage_pages_min = 64;

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
  Result<CommitReport> result = [&]() -> Result<CommitReport> {
    const std::lock_guard turn(turn_);
    has_met_damage_ = false;
    auto committed = commit_in_turn(rows, request);
    if (!committed.ok()) return judged(committed.error());
    commits_watch_.note_success();
    return committed;
  }();
  if (result.ok() && !request.rows.empty() && on_stored_) on_stored_();
  if (result.ok()) compact_if_worthwhile();
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

Transaction LmdbStore::begin_work(Txn& txn) {
  Marks marks = marks_;
  for (std::size_t i = 0; i < priority_count; ++i) {
    const std::uint64_t pinned = pinned_[i];
    if (pinned < marks[i].pinned) {
      marks[i].searched = marks[i].aged = 0;
      streams_.forget_searches();
    }
    marks[i].pinned = pinned;
    marks[i].acked = acked_[i];
  }
  // Read after what is acknowledged: a stream is parked before its rows count as done.
  return {txn,
          page_size_,
          epoch_,
          streams_,
          counters_,
          marks,
          {clock_.wall_us(), buffer_time_us()},
          parked_.all()};
}

Result<LmdbStore::Effects> LmdbStore::finish_work(Txn& txn, Transaction& work, bool is_clean,
                                                  std::uint64_t next_expiry_us) {
  Effects effects;
  effects.is_upgraded = identity_.format < format_version;
  if (effects.is_upgraded) PENSTOCK_TRY(upgrade(txn));
  PENSTOCK_TRY(work.finish(is_clean));
  effects.counters = work.counters();
  effects.marks = work.marks();
  effects.parked = work.parked();
  effects.used_pages = work.used_pages();
  effects.has_more_to_trim = work.has_more_to_trim();
  effects.next_expiry_us = next_expiry_us;
  effects.report = {work.counters().next_id - 1, work.dropped().rows, work.dropped().events,
                    work.expired().rows, work.expired().events};
  return effects;
}

Result<std::uint64_t> LmdbStore::expire(Transaction& work) {
  if (options_.max_age_us <= 0 || buffer_time_us() < next_expiry_us_) return next_expiry_us_.load();
  return work.expire(static_cast<std::uint64_t>(options_.max_age_us));
}

/// Rewrites the records of an older format as this one has them.
Result<void> LmdbStore::upgrade(Txn& txn) {
  Identity identity = identity_;
  identity.format = format_version;
  PENSTOCK_TRY(txn.put(Table::state, identity_key, encode_identity(identity)));
  Result<void> done;
  streams_.for_each([&](const Stream& stream) {
    if (!done.ok() || stream.stored.next_seq == 0 || stream.is_touched) return;
    const std::string key = encode_stream_key(stream.id);
    done = txn.put(Table::state, key, encode_stream(epoch_, key, stream.stored, stream.name));
  });
  return done;
}

Result<LmdbStore::Effects> LmdbStore::build(Txn& txn, std::vector<PackedRow>& rows,
                                            std::span<const NewPosition> positions, bool is_clean) {
  Transaction work = begin_work(txn);
  PENSTOCK_TRY(work.trim());
  PENSTOCK_TRY_ASSIGN(const std::uint64_t next_expiry_us, expire(work));
  work.change_classes(rows);
  PENSTOCK_TRY(work.keep_shares(rows));
  PENSTOCK_TRY(work.make_room(rows, room(Transaction::pages_for(rows, page_size_))));
  PENSTOCK_TRY(work.append(rows));
  PENSTOCK_TRY(work.put_positions(positions));
  return finish_work(txn, work, is_clean, next_expiry_us);
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
  if (effects.ok() && committed.ok()) {
    publish(*effects);
    return take_report();
  }
  const std::uint64_t wanted_pages = Transaction::pages_for(rows, page_size_);
  streams_.discard();
  for (ClassMarks& marks : marks_) marks.searched = marks.aged = 0;
  if (effects.ok()) {
    undecided_ = Undecided{fingerprint_of(request), *effects};
    return settle(committed.error(), wanted_pages);
  }
  const Error error = effects.error();
  if (error.code == Errc::full && !env_->was_map_full()) {
    has_refused_ = true;
    shortage_pages_ /= 2;
    if (has_pending_trims()) make_space(0);
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
  count_written();
  if (faults_.after_commit && faults_.after_commit()) {
    return Error{Errc::unavailable, "commit: fault after"};
  }
  return {};
}

Result<void> LmdbStore::count_pages() {
  PENSTOCK_TRY_ASSIGN(Txn txn, env_->begin_read());
  PENSTOCK_TRY_ASSIGN(tree_pages_, txn.pages());
  return {};
}

/// A commit writes a page for each that it gave up, one for each by which the trees grew, and a
/// meta page. Only a figure would be wrong where this cannot be read.
void LmdbStore::count_written() {
  const Result<std::uint64_t> freed = [&]() -> Result<std::uint64_t> {
    PENSTOCK_TRY_ASSIGN(Txn txn, env_->begin_read());
    return txn.pages_freed_last();
  }();
  const std::uint64_t before = tree_pages_;
  if (!freed.ok() || !count_pages().ok()) return;
  // Unsigned numbers wrap back when the trees shrink.
  const std::uint64_t bytes = (*freed + tree_pages_ - before + 1) * page_size_;
  written_bytes_ += bytes;
  unreported_.written_bytes += bytes;
}

Result<CommitReport> LmdbStore::settle(const Error& cause, std::uint64_t wanted_pages) {
  drop_env();
  if (const auto reopened = reopen(); !reopened.ok()) {
    return Error{Errc::unavailable, fmt::format("{}; {}", cause.text, reopened.error().text)};
  }
  if (counters_.commit_no >= undecided_->effects.counters.commit_no) return confirm();
  undecided_.reset();
  if (cause.code != Errc::full) return unavailable(cause);
  has_refused_ = true;
  shortage_pages_ = std::max({2 * shortage_pages_, shortage_pages_min, wanted_pages});
  make_space(wanted_pages);
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
  for (ClassMarks& marks : effects.marks) marks.searched = marks.aged = 0;
  publish(effects);
  return take_report();
}

Result<void> LmdbStore::commit_space(std::uint64_t wanted_pages, std::size_t trim_rows) {
  if (!env_) PENSTOCK_TRY(reopen());
  const Result<void> done = [&]() -> Result<void> {
    PENSTOCK_TRY_ASSIGN(Txn txn, env_->begin_write());
    Transaction work = begin_work(txn);
    work.leave_parked();
    PENSTOCK_TRY(work.trim(trim_rows));
    std::uint64_t next_expiry_us = next_expiry_us_;
    if (trim_rows == Transaction::trim_rows_max) {
      PENSTOCK_TRY_ASSIGN(next_expiry_us, expire(work));
    }
    if (wanted_pages != 0) PENSTOCK_TRY(work.make_room_ahead(wanted_pages, room(wanted_pages)));
    PENSTOCK_TRY_ASSIGN(const Effects effects, finish_work(txn, work, false, next_expiry_us));
    unsure_space_ = effects;
    PENSTOCK_TRY(commit_txn(txn));
    unsure_space_.reset();
    publish(effects);
    return {};
  }();
  if (done.ok()) return done;
  streams_.discard();
  drop_env();
  return done;
}

void LmdbStore::make_space(std::uint64_t wanted_pages) {
  Result<void> done = commit_space(wanted_pages, Transaction::trim_rows_max);
  if (done.ok() && wanted_pages != 0) {
    // LMDB uses freed pages again from the second transaction on.
    done = commit_space(0, Transaction::trim_rows_max);
  }
  // On a full disk even deletes need free pages: a few at first, each round frees more.
  for (std::size_t rows = 1; !done.ok() && rows <= 256; rows *= 4) {
    if (!commit_space(0, rows).ok()) break;
  }
  // Where this fails the next commit tries again; until then there is nothing to read from.
  if (!env_) static_cast<void>(reopen().ok());
}

void LmdbStore::publish(const Effects& effects) {
  counters_ = effects.counters;
  marks_ = effects.marks;
  streams_.publish();
  used_pages_ = effects.used_pages;
  file_pages_ = env_->file_pages();
  for (std::size_t i = 0; i < priority_count; ++i) {
    if (!effects.has_more_to_trim) trimmed_[i] = marks_[i].acked;
  }
  parked_.publish(effects.parked, effects.has_more_to_trim);
  if (effects.is_upgraded) identity_.format = format_version;
  ++commits_;
  if (growth_pages_ != 0) shortage_pages_ = 0;
  has_refused_ = false;
  note_drops(effects.report);
  bool is_unpinned = false;  // meanwhile: what was pinned may have come of age
  for (std::size_t i = 0; i < priority_count; ++i) {
    is_unpinned = is_unpinned || pinned_[i] < marks_[i].pinned;
  }
  next_expiry_us_ = is_unpinned ? 0 : effects.next_expiry_us;
  durable_id_ = counters_.next_id - 1;
  forget_crashes_in_time();
}

/// A buffer that was used for so long without a crash is not what they came from.
void LmdbStore::forget_crashes_in_time() {
  constexpr std::int64_t trial_us = 600'000'000;
  if (!is_marked_crashed_ || clock_.steady_us() - opened_steady_us_ < trial_us) return;
  forget_crashes(directory_.path());
  is_marked_crashed_ = false;
}

void LmdbStore::note_drops(const CommitReport& report) {
  dropped_events_ += report.dropped_events;
  expired_events_ += report.expired_events;
  unreported_.dropped_rows += report.dropped_rows;
  unreported_.dropped_events += report.dropped_events;
  unreported_.expired_rows += report.expired_rows;
  unreported_.expired_events += report.expired_events;
}

CommitReport LmdbStore::take_report() {
  CommitReport report = std::exchange(unreported_, {});
  report.durable_id = durable_id_;
  return report;
}

}  // namespace penstock::buffer
