// Taking rows out on a person's word.
#include "buffer/lmdb_store.hpp"

namespace penstock::buffer {

Result<PurgeReport> LmdbStore::purge(std::uint64_t generation, std::span<const RowPlace> rows) {
  const std::lock_guard turn(turn_);
  if (!env_) PENSTOCK_TRY(reopen());
  if (undecided_) return Error{Errc::unavailable, "a commit is undecided; try again"};
  if (generation != generation_) {
    return Error{Errc::unavailable, "the buffer was opened anew meanwhile; try again"};
  }
  Result<PurgeReport> done = [&]() -> Result<PurgeReport> {
    PENSTOCK_TRY_ASSIGN(Txn txn, env_->begin_write());
    Transaction work = begin_work(txn);
    PENSTOCK_TRY(work.trim());
    PENSTOCK_TRY_ASSIGN(const PurgeReport report, work.purge(rows));
    PENSTOCK_TRY_ASSIGN(const Effects effects, finish_work(txn, work, false, next_expiry_us_));
    unsure_space_ = effects;
    PENSTOCK_TRY(commit_txn(txn));
    unsure_space_.reset();
    publish(effects);
    return report;
  }();
  if (done.ok()) return done;
  streams_.discard();
  drop_env();
  // Where this fails the next commit tries again.
  static_cast<void>(reopen().ok());
  return done;
}

}  // namespace penstock::buffer
