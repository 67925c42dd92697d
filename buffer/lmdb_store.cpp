#include "buffer/lmdb_store.hpp"

#include <fmt/core.h>
#include <sys/statvfs.h>

#include <algorithm>

namespace penstock::buffer {
namespace {

constexpr std::uint64_t reserved_pages_min = 64;
constexpr std::uint64_t streams_per_page = 32;
constexpr std::uint64_t disk_low_min = 1 << 20;
constexpr std::uint64_t headroom_bytes = 1 << 20;
constexpr std::int64_t disk_check_every_us = 1'000'000;

std::size_t index_of(Priority priority) { return static_cast<std::size_t>(priority); }

}  // namespace

LmdbStore::LmdbStore(const StoreOptions& options, Directory directory, OpenFile file,
                     bool is_reserved, const Clock& clock, const Faults& faults)
    : options_(options),
      directory_(std::move(directory)),
      clock_(clock),
      faults_(faults),
      identity_(std::move(file.state.identity)),
      epoch_(identity_.epoch),
      epoch_text_(buffer::epoch_text(epoch_)),
      page_size_(file.env->page_size()),
      is_reserved_(is_reserved),
      env_(std::move(file.env)),
      counters_(file.state.counters),
      map_bytes_(env_->map_bytes()),
      buffer_time_base_us_(counters_.buffer_time_us),
      boot_base_us_(clock.boot_us()),
      is_marked_crashed_(crash_count(directory_.path()) != CrashCount::none),
      opened_steady_us_(clock.steady_us()) {
  streams_.load(file.state.streams);
  durable_id_ = counters_.next_id - 1;
  file_pages_ = env_->file_pages();
  // Where this cannot be read, the first commit will say so.
  static_cast<void>(look_at_file().ok());
  look_at_disk();
}

Result<void> LmdbStore::look_at_file() {
  PENSTOCK_TRY_ASSIGN(Txn txn, env_->begin_read());
  PENSTOCK_TRY_ASSIGN(tree_pages_, txn.pages());
  used_pages_ = tree_pages_;
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
    streams_.forget_searches();
  }
  return StreamState{stream->id, stream->stored.next_seq, stream->stored.priority};
}

void LmdbStore::set_policy(std::string_view group, const GroupPolicy& policy) {
  const std::lock_guard turn(turn_);
  streams_.set_policy(group, policy);
  for (ClassMarks& marks : marks_) marks.searched = 0;
}

std::uint64_t LmdbStore::group_bytes(std::string_view group) const {
  const std::lock_guard turn(turn_);
  const Group* found = streams_.find_group(group);
  return found == nullptr ? 0 : found->stored;
}

std::string LmdbStore::stream_name(std::uint32_t stream_id) const {
  return streams_.name_of(stream_id);
}

std::uint64_t LmdbStore::growth_of_disk() const {
  struct statvfs disk = {};
  if (is_reserved_ || ::statvfs(options_.path.c_str(), &disk) != 0) return max_pages();
  const std::uint64_t available = std::uint64_t{disk.f_bavail} * disk.f_frsize + bytes_ahead_;
  const std::uint64_t kept = std::max(options_.keep_free, disk_low_min);
  return available < kept ? 0 : (available - kept) / page_size_;
}

void LmdbStore::look_at_disk() const {
  disk_checked_us_ = clock_.steady_us();
  growth_pages_ = is_growth_refused_ ? 0 : growth_of_disk();
}

bool LmdbStore::is_nearly_full() const {
  if (clock_.steady_us() - disk_checked_us_ >= disk_check_every_us) look_at_disk();
  const std::uint64_t limit = std::min(max_pages(), file_pages_ + growth_pages_);
  return has_refused_ || used_pages_ * 10 >= limit * 9;
}

/// What a commit of so many pages may fill. Ahead of data there are always blocks for deletes: they
/// too take new pages before they free any.
Room LmdbStore::room(std::uint64_t wanted_pages) {
  bytes_ahead_ = env_->bytes_ahead();
  const std::uint64_t ahead = wanted_pages * page_size_ + headroom_bytes;
  if (!is_reserved_ && growth_of_disk() * page_size_ >= ahead) {
    const Result<void> reserved = env_->reserve_ahead(ahead, headroom_bytes);
    is_growth_refused_ = !reserved.ok();
    growth_refusal_ = reserved.ok() ? "" : reserved.error().text;
    bytes_ahead_ = env_->bytes_ahead();
  }
  look_at_disk();
  const std::uint64_t file_pages = env_->file_pages();
  std::uint64_t pages = std::min(max_pages(), file_pages + growth_pages_);
  std::string limit;
  if (growth_pages_ == 0) {
    limit = is_growth_refused_ ? growth_refusal_ : "no room on its disk beyond keep_free";
    held_pages_ = std::min(held_pages_, file_pages);
    // LMDB uses freed pages again from the second transaction on.
    pages = std::min(pages, held_pages_);
    pages -= std::min(2 * wanted_pages, pages / 2);
  } else {
    held_pages_ = std::numeric_limits<std::uint64_t>::max();
  }
  pages -= std::min(shortage_pages_, pages / 2);
  // Each stream may need a loss row of its own.
  const std::uint64_t reserved = reserved_pages_min + streams_.size() / streams_per_page;
  return {pages, std::min(reserved, pages / 16), std::move(limit)};
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
  // What was pinned may have come of age meanwhile.
  if (id == 0 && pinned != 0) next_expiry_us_ = 0;
  pinned = id == 0 ? 0 : std::max(pinned.load(), id);
}

bool LmdbStore::has_pending_trims() const {
  for (std::size_t i = 0; i < priority_count; ++i) {
    if (acked_[i] > trimmed_[i]) return true;
  }
  if (parked_.has_pending()) return true;
  return options_.max_age_us > 0 && buffer_time_us() >= next_expiry_us_;
}

void LmdbStore::close() {
  const std::lock_guard turn(turn_);
  if (!env_ || undecided_ || is_damaged_ || (commits_ == 0 && !has_pending_trims())) {
    env_.reset();
    only_read_.reset();
    return;
  }
  std::vector<PackedRow> none;
  if (auto txn = env_->begin_write(); txn.ok()) {
    // A store that cannot be marked clean is checked at the next start: nothing else is lost.
    const bool is_clean = build(*txn, none, {}, true).ok() && commit_txn(*txn).ok();
    if (is_clean && is_marked_crashed_) forget_crashes(directory_.path());
  }
  env_.reset();
}

}  // namespace penstock::buffer
