// Giving space back: a copy without free pages takes the place of the file.
#include <fmt/core.h>
#include <sys/stat.h>

#include "buffer/dense_copy.hpp"
#include "buffer/lmdb_store.hpp"

namespace penstock::buffer {
namespace {

// By itself the store copies only what takes about as long as a few commits.
constexpr std::uint64_t data_bytes_max = 8 << 20;
constexpr std::uint64_t file_bytes_min = 32 << 20;
constexpr std::uint64_t file_per_data_min = 8;
constexpr std::int64_t compaction_pause_us = 600'000'000;

}  // namespace

std::uint64_t LmdbStore::file_bytes() const {
  struct stat info = {};
  if (::stat(directory_.file().c_str(), &info) != 0) return 0;
  return static_cast<std::uint64_t>(info.st_size);
}

Result<CompactReport> LmdbStore::compact(
    const std::function<void(std::uint64_t, std::uint64_t)>& progress) {
  const std::lock_guard turn(turn_);
  if (!env_) PENSTOCK_TRY(reopen());
  if (undecided_) return Error{Errc::unavailable, "a commit is undecided; try again"};
  if (is_reserved_) {
    return Error{
        Errc::invalid,
        "the file keeps its size on purpose (buffer.preallocate): a copy would have it too"};
  }
  return compact_in_turn(progress);
}

Result<CompactReport> LmdbStore::compact_in_turn(
    const std::function<void(std::uint64_t, std::uint64_t)>& progress) {
  CompactReport report;
  report.bytes_before = file_bytes();
  std::uint64_t pages = 0;
  {
    PENSTOCK_TRY_ASSIGN(Txn txn, env_->begin_read());
    PENSTOCK_TRY_ASSIGN(pages, txn.table_pages());
  }
  look_at_disk();
  if (growth_pages_ < pages) {
    return Error{Errc::full, fmt::format("the disk has no room for a copy of {} bytes beside the "
                                         "file",
                                         pages * page_size_)};
  }
  PENSTOCK_TRY(directory_.remove_leftovers());
  auto copy = copy_dense(*env_, directory_.copy_file(), map_bytes_, progress);
  if (!copy.ok()) {
    // What stays is removed by the next attempt, or the next start.
    static_cast<void>(directory_.remove_leftovers().ok());
    return copy.error();
  }
  is_name_unsynced_ = true;
  Result<void> published = directory_.publish_copy();
  if (published.ok()) published = sync_names();
  if (!published.ok()) {
    env_.reset();
    // Where this fails the next commit tries again.
    static_cast<void>(reopen().ok());
    return published.error();
  }
  is_name_unsynced_ = false;
  env_ = *std::move(copy);
  static_cast<void>(count_pages().ok());  // nothing but the figures below would be wrong
  used_pages_ = tree_pages_;
  file_pages_ = env_->file_pages();
  written_bytes_ += pages * page_size_;
  unreported_.written_bytes += pages * page_size_;
  report.bytes_after = file_bytes();
  return report;
}

bool LmdbStore::is_compaction_worthwhile() {
  if (!env_ || undecided_ || is_reserved_ || options_.device.empty()) return false;
  const std::uint64_t bytes = file_pages_ * page_size_;
  if (bytes < file_bytes_min || clock_.steady_us() < next_compaction_us_) return false;
  auto txn = env_->begin_read();
  const auto pages = txn.ok() ? txn->table_pages() : txn.error();
  if (!pages.ok()) return false;
  const std::uint64_t data_bytes = *pages * page_size_;
  return data_bytes <= data_bytes_max && data_bytes * file_per_data_min <= bytes;
}

void LmdbStore::compact_if_worthwhile() {
  const std::lock_guard turn(turn_);
  if (!is_compaction_worthwhile()) return;
  const std::int64_t began_us = clock_.steady_us();
  next_compaction_us_ = began_us + compaction_pause_us;
  const auto done = compact_in_turn({});
  if (done.ok()) {
    has_told_compaction_ = false;
    log_.info("event=buffer_compacted bytes_before={} bytes_after={} took_us={}",
              done->bytes_before, done->bytes_after, clock_.steady_us() - began_us);
    return;
  }
  if (std::exchange(has_told_compaction_, true)) return;
  log_.warn(
      "event=buffer_not_compacted effect=\"its file keeps its size; tried again later\" "
      "error={}",
      penstock::quoted(done.error().text));
}

}  // namespace penstock::buffer
