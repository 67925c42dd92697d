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
  return find_parked(txn);
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
  return has_refused_ || used_pages_ * 10 >= limit * 9;
}

Room LmdbStore::room() const {
  look_at_disk();
  std::uint64_t pages = max_pages();
  if (is_disk_low_) pages = std::min(pages, env_->file_pages());
  pages -= std::min(shortage_pages_, pages / 2);
  return {pages, std::min(reserved_pages_max, pages / 16)};
}

void LmdbStore::acknowledge(std::uint64_t generation, Priority priority, std::uint64_t id) {
  const std::lock_guard guard(marking_);
  if (generation != generation_) return;
  auto& acked = acked_[index_of(priority)];
  acked = std::max(acked.load(), std::min(id, durable_id_.load()));
}

void LmdbStore::pin(std::uint64_t generation, Priority priority, std::uint64_t id) {
  const std::lock_guard guard(marking_);
  if (id != 0 && generation != generation_) return;
  auto& pinned = pinned_[index_of(priority)];
  pinned = id == 0 ? 0 : std::max(pinned.load(), id);
}

bool LmdbStore::has_pending_trims() const {
  for (std::size_t i = 0; i < priority_count; ++i) {
    if (acked_[i] > trimmed_[i]) return true;
  }
  return parked_.has_pending();
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
