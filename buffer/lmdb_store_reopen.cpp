// Closing the file after a failure, and opening it again: for writing, or to read from meanwhile.
#include <fmt/core.h>

#include <utility>

#include "buffer/lmdb_store.hpp"

namespace penstock::buffer {

void LmdbStore::drop_env() {
  if (!env_) return;
  if (env_->was_map_full()) {
    // LMDB wants a sixteenth more once deletes were refused.
    const std::uint64_t before =
        std::exchange(map_bytes_, map_bytes_for(map_bytes_ / 2 + map_bytes_ / 32));
    has_met_damage_ = has_met_damage_ || map_bytes_ > before;
  }
  has_met_damage_ = has_met_damage_ || env_->has_met_damage();
  env_.reset();
}

Result<void> LmdbStore::reopen() {
  const Result<void> done = reopen_to_write();
  if (done.ok()) {
    only_read_.reset();
  } else if (!only_read_) {
    only_read_ = opened_to_read();
  }
  return done;
}

/// A file system that became read-only holds up nothing that is stored. Nullptr: what is in the
/// file is more than what is known to be durable, or it cannot be read.
std::unique_ptr<Env> LmdbStore::opened_to_read() const {
  auto file = open_existing(directory_.file(), map_bytes_, Access::read);
  if (!file.ok() || file->state.identity.epoch != epoch_) return nullptr;
  if (file->state.counters.commit_no != counters_.commit_no) return nullptr;
  return std::move(file->env);
}

Result<void> LmdbStore::sync_names() const {
  if (faults_.sync_names && faults_.sync_names()) {
    return Error{Errc::unavailable, "sync of the directory: fault"};
  }
  return directory_.sync_names();
}

Result<void> LmdbStore::reopen_to_write() {
  if (faults_.reopen && faults_.reopen()) return Error{Errc::unavailable, "reopen: fault"};
  // Before a commit: after a power cut the other file would have the name.
  if (is_name_unsynced_) PENSTOCK_TRY(sync_names());
  is_name_unsynced_ = false;
  auto file = open_existing(directory_.file(), map_bytes_);
  if (!file.ok()) {
    has_met_damage_ = has_met_damage_ || file.error().code == Errc::corrupt;
    return Error{Errc::unavailable, file.error().text};
  }
  if (file->state.identity.epoch != epoch_) {
    return Error{Errc::unavailable,
                 fmt::format("{}: another buffer took its place", directory_.file().string())};
  }
  env_ = std::move(file->env);
  identity_ = std::move(file->state.identity);
  counters_ = file->state.counters;
  if (unsure_space_ && counters_.commit_no >= unsure_space_->counters.commit_no) {
    note_drops(unsure_space_->report);
  }
  unsure_space_.reset();
  streams_.load(file->state.streams);
  for (ClassMarks& marks : marks_) marks.searched = marks.aged = 0;
  // Only the figure of written bytes would be wrong.
  static_cast<void>(count_pages().ok());
  const std::lock_guard guard(marking_);
  ++generation_;
  return {};
}

}  // namespace penstock::buffer
