// What the store does when its file turns out to be damaged while it is in use.
#include "buffer/crash_marker.hpp"
#include "buffer/lmdb_store.hpp"

namespace penstock::buffer {

/// What a failed commit answers: with too many that no disk explains it is the file.
Error LmdbStore::judged(const Error& error) {
  if (!has_met_damage_ || !commits_watch_.note_failure()) return error;
  give_up_on_file(error.text);
  return {Errc::corrupt, error.text};
}

/// Thread: of the rows_after calls.
void LmdbStore::note_reading(const Result<std::vector<Row>>& rows) const {
  if (rows.ok()) return reading_watch_.note_success();
  if (rows.error().code != Errc::corrupt || !reading_watch_.note_failure()) return;
  give_up_on_file(rows.error().text);
}

void LmdbStore::give_up_on_file(std::string_view why) const {
  if (options_.device.empty() || is_damaged_.exchange(true)) return;
  note_crash(directory_.path());
  log_.error("event=buffer_damaged effect=\"opened anew, with a full check\" error={}",
             penstock::quoted(why));
  if (on_damaged_) on_damaged_();
}

}  // namespace penstock::buffer
