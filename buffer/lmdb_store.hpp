// LmdbStore: the store over one LMDB file. Commits are in lmdb_store_commit.cpp, reading is in
// lmdb_store_read.cpp, parked streams, purging and compaction in files of their names, the rest is
// in lmdb_store.cpp.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/log.hpp"
#include "buffer/content.hpp"
#include "buffer/damage_watch.hpp"
#include "buffer/directory.hpp"
#include "buffer/fair_lock.hpp"
#include "buffer/faults.hpp"
#include "buffer/file.hpp"
#include "buffer/parking.hpp"
#include "buffer/store.hpp"
#include "buffer/streams.hpp"
#include "buffer/transaction.hpp"

namespace penstock::buffer {

/// Longer values cannot have been stored: the length itself is damaged.
inline constexpr std::size_t row_value_max = row_content_max + row_content_max / 128 + 4096;
/// Tells a row's value, copied into `stored`, apart into its parts.
void unpack(Row& row, std::uint32_t epoch);

/// Everything that touches the file happens in a turn: under turn_, from begin to the end of the
/// commit, its syncs included. What other threads ask often is in atomics.
class LmdbStore final : public Store, private Parking {
 public:
  LmdbStore(const StoreOptions& options, Directory directory, OpenFile file, bool is_reserved,
            const Clock& clock, const Faults& faults);

  const std::string& epoch() const override { return epoch_text_; }
  std::uint64_t generation() const override { return generation_; }
  Result<StreamState> open_stream(std::string_view name, Priority priority,
                                  WhenFull when_full) override;
  std::string stream_name(std::uint32_t stream_id) const override;
  bool has_stream(std::string_view name) const override { return streams_.has(name); }
  void set_policy(std::string_view group, const GroupPolicy& policy) override;
  std::uint64_t group_bytes(std::string_view group) const override;
  Result<std::optional<std::string>> position(std::string_view owner,
                                              std::string_view part) const override;
  Result<std::vector<std::string>> position_parts(std::string_view owner) const override;
  Result<std::uint64_t> damaged_positions(std::string_view owner) const override;
  bool is_nearly_full() const override;
  Result<CommitReport> commit(const CommitRequest& request) override;
  bool has_pending_trims() const override;
  Result<std::vector<Row>> rows_after(Priority priority, std::uint64_t after_id,
                                      std::size_t bytes_max) const override;
  Result<std::vector<Row>> peek_after(Priority priority, std::uint64_t after_id,
                                      std::size_t bytes_max) const override;
  std::uint64_t durable_id() const override { return durable_id_; }
  void on_stored(std::function<void()> callback) override { on_stored_ = std::move(callback); }
  void on_damaged(std::function<void()> callback) override { on_damaged_ = std::move(callback); }
  void acknowledge(std::uint64_t generation, Priority priority, std::uint64_t id) override;
  void pin(std::uint64_t generation, Priority priority, std::uint64_t id) override;
  Result<PurgeReport> purge(std::uint64_t generation, std::span<const RowPlace> rows) override;
  Result<CompactReport> compact(
      const std::function<void(std::uint64_t, std::uint64_t)>& progress) override;
  /// Compacts where that takes moments and gives much back; a failure is logged and changes
  /// nothing. Thread: the one of commit.
  void compact_if_worthwhile();
  Parking* parking() override { return this; }
  StoreStats stats() const override;
  Result<std::vector<StreamStats>> stream_stats() const override;
  std::vector<GroupStats> group_stats() const override;
  Result<VerifyReport> verify(
      const std::function<bool(std::uint64_t, std::uint64_t)>& progress) const override;
  Result<std::vector<std::array<std::string, 3>>> positions() const override;
  void close() override;

 private:
  // Parking
  std::vector<std::uint32_t> streams() const override;
  void park(std::uint32_t stream_id, std::uint64_t from_id) override;
  void refuse(std::uint32_t stream_id, std::uint64_t id, std::uint8_t code) override;
  Result<std::vector<Row>> rows_after(std::uint32_t stream_id, std::uint64_t after_id,
                                      std::size_t bytes_max) const override;
  Result<std::vector<Row>> peek_after(std::uint32_t stream_id, std::uint64_t after_id,
                                      std::size_t bytes_max) const override;
  void acknowledge(std::uint32_t stream_id, std::uint64_t id) override;
  void unpin() override;
  Result<bool> unpark(std::uint32_t stream_id, std::uint64_t moved_to) override;
  Result<void> find_parked(Txn& txn);
  Result<std::vector<Row>> read_parked(std::uint32_t stream_id, std::uint64_t after_id,
                                       std::size_t bytes_max, bool pins) const;

  using PerClass = std::array<std::atomic<std::uint64_t>, priority_count>;

  /// What a commit leaves behind in memory once it is known to be durable.
  struct Effects {
    Counters counters;
    Marks marks;
    std::vector<ParkedStream> parked;
    std::uint64_t used_pages = 0;
    bool has_more_to_trim = false;
    std::uint64_t next_expiry_us = 0;
    bool is_upgraded = false;  // the file has the present format
    CommitReport report;
  };
  /// A commit that failed and may still be in the file.
  struct Undecided {
    std::uint64_t fingerprint = 0;  ///< of the request
    Effects effects;
  };

  Result<void> look_at_file();

  // Each within a turn.
  Transaction begin_work(Txn& txn);
  Result<Effects> finish_work(Txn& txn, Transaction& work, bool is_clean,
                              std::uint64_t next_expiry_us);
  Result<void> upgrade(Txn& txn);
  Result<std::uint64_t> expire(Transaction& work);
  Result<Effects> build(Txn& txn, std::vector<PackedRow>& rows,
                        std::span<const NewPosition> positions, bool is_clean);
  Result<CommitReport> commit_in_turn(std::vector<PackedRow>& rows, const CommitRequest& request);
  Result<CommitReport> commit_anew(std::vector<PackedRow>& rows, const CommitRequest& request);
  Result<CommitReport> settle(const Error& cause, std::uint64_t wanted_pages);
  Result<CommitReport> confirm();
  void make_space(std::uint64_t wanted_pages);
  Result<void> commit_space(std::uint64_t wanted_pages, std::size_t trim_rows);
  Result<void> commit_txn(Txn& txn);
  Result<void> count_pages();
  void count_written();
  Result<void> reopen();
  Result<void> reopen_to_write();
  Result<void> sync_names() const;
  std::unique_ptr<Env> opened_to_read() const;
  void publish(const Effects& effects);
  void note_drops(const CommitReport& report);
  void forget_crashes_in_time();
  CommitReport take_report();
  void drop_env();
  Error judged(const Error& error);
  void note_reading(const Result<std::vector<Row>>& rows) const;
  void give_up_on_file(std::string_view why) const;
  bool is_compaction_worthwhile();
  Result<CompactReport> compact_in_turn(
      const std::function<void(std::uint64_t, std::uint64_t)>& progress);
  std::uint64_t file_bytes() const;
  Result<Txn> begin_read() const;
  bool is_whole(const DecodedKey& row, Table table, const Cursor& cursor) const;
  Result<void> visit_positions(std::string_view prefix,
                               const std::function<void(const PositionRecord*)>& visit) const;
  Result<std::vector<Row>> read_rows(Priority priority, std::uint64_t after_id,
                                     std::size_t bytes_max, bool pins) const;

  std::vector<PackedRow> pack(std::span<const NewRow> rows);
  std::uint64_t buffer_time_us() const;
  Room room(std::uint64_t wanted_pages);
  std::uint64_t growth_of_disk() const;
  void look_at_disk() const;
  std::uint64_t max_pages() const { return options_.max_size / page_size_; }

  /// Visits (key, value) of up to rows_max rows from this key on in one turn, and moves it behind
  /// them. False: there are no more.
  template <typename Visitor>
  Result<bool> visit_rows(Table table, RowKeyBytes& from, std::size_t rows_max,
                          Visitor visit) const;
  struct Tally;  // what verify() finds
  void check_row(Table table, const DecodedKey& row, std::string_view value, Tally& tally) const;
  Result<void> check_state(Tally& tally) const;

  const StoreOptions options_;
  const Directory directory_;
  const Clock& clock_;
  const Faults& faults_;
  Identity identity_;  // its format rises with the first commit to an older file
  const std::uint32_t epoch_;
  const std::string epoch_text_;
  const std::size_t page_size_;
  const bool is_reserved_;
  mutable Log log_{"buffer"};
  std::function<void()> on_stored_;
  std::function<void()> on_damaged_;

  mutable FairLock turn_;           // guards everything up to the next blank line
  std::unique_ptr<Env> env_;        // none: a failed commit closed it
  std::unique_ptr<Env> only_read_;  // while it cannot be opened again for writing
  mutable Streams streams_;
  Counters counters_;  // as durable
  Marks marks_;        // acked and pinned are copied in by each commit
  std::optional<Undecided> undecided_;
  std::optional<Effects> unsure_space_;  // of a commit without rows that failed; until reopened
  bool has_met_damage_ = false;          // in what the present commit tried
  std::uint64_t map_bytes_ = 0;
  std::uint64_t buffer_time_base_us_ = 0;
  std::int64_t boot_base_us_ = 0;
  std::uint64_t shortage_pages_ = 0;  // room given up because the disk refused
  std::string growth_refusal_;        // why, while is_growth_refused_
  // Those of the file since it may not grow for data any more; else no limit.
  std::uint64_t held_pages_ = std::numeric_limits<std::uint64_t>::max();
  std::uint64_t commits_ = 0;
  std::uint64_t dropped_events_ = 0;
  std::uint64_t expired_events_ = 0;
  std::uint64_t tree_pages_ = 0;  // in use after the last commit, LMDB's own lists with them
  std::uint64_t written_bytes_ = 0;
  CommitReport unreported_;              // drops of commits that no caller asked for
  bool is_marked_crashed_ = false;       // an earlier process left a marker
  bool is_name_unsynced_ = false;        // a copy may have taken the file's name, not durably
  std::int64_t next_compaction_us_ = 0;  // on the steady clock; none by itself before
  bool has_told_compaction_ = false;     // that it failed
  const std::int64_t opened_steady_us_;

  Compressor compressor_;  // intake only, with frames_
  std::string frames_;

  std::mutex marking_;  // guards: that acked_ and pinned_ are set in the generation they are of
  std::atomic<std::uint64_t> generation_{1};
  std::atomic<std::uint64_t> durable_id_{0};
  std::atomic<std::uint64_t> used_pages_{0};
  std::atomic<std::uint64_t> file_pages_{0};
  std::atomic<bool> has_refused_{false};  // and nothing has changed since
  DamageWatch commits_watch_;
  mutable DamageWatch reading_watch_;
  mutable std::atomic<bool> is_damaged_{false};
  std::atomic<std::uint64_t> next_expiry_us_{0};  // in buffer time; nothing expires before
  mutable std::atomic<std::int64_t> disk_checked_us_{0};
  std::atomic<std::uint64_t> bytes_ahead_{0};           // blocks that the file has behind its pages
  std::atomic<bool> is_growth_refused_{false};          // by a quota, say: the disk has room
  mutable std::atomic<std::uint64_t> growth_pages_{0};  // that the disk allows the file
  PerClass acked_ = {};
  PerClass trimmed_ = {};
  mutable PerClass pinned_ = {};
  mutable ParkedStreams parked_;
};

}  // namespace penstock::buffer
