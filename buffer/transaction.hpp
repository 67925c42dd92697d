// Transaction: the steps of one commit: trims, class changes, drops, appends, positions, counters.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <queue>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "agent/base/wire.hpp"
#include "buffer/layout.hpp"
#include "buffer/lmdb.hpp"
#include "buffer/newcomers.hpp"
#include "buffer/parking.hpp"
#include "buffer/store.hpp"
#include "buffer/streams.hpp"

namespace penstock::buffer {

/// Where one class stands in memory.
struct ClassMarks {
  std::uint64_t acked = 0;
  std::uint64_t pinned = 0;
  std::uint64_t searched = 0;  ///< nothing up to and with this id can be dropped
  std::uint64_t aged = 0;      ///< nothing up to and with this id can expire
};
using Marks = std::array<ClassMarks, priority_count>;

struct Room {
  std::uint64_t pages = 0;     ///< the most that may hold data
  std::uint64_t reserved = 0;  ///< of these, kept free of batches, so that all else always fits
  std::string limit;           ///< why there are not more, where it is not max_size
};

struct Times {
  std::int64_t wall_us = 0;
  std::uint64_t buffer_us = 0;
};

/// What became loss records.
struct Drops {
  std::uint64_t rows = 0;
  std::uint64_t events = 0;
};

/// Works on the streams' `next` and on its own copy of the counters and marks; nothing is published
/// before the caller knows that the commit succeeded. Steps that make room are in
/// transaction_room.cpp. Thread: inside the store's turn.
class Transaction {
 public:
  Transaction(Txn& txn, std::size_t page_size, std::uint32_t epoch, Streams& streams,
              const Counters& counters, const Marks& marks, const Times& times,
              std::vector<ParkedStream> parked);

  static constexpr std::size_t trim_rows_max = 32768;
  static constexpr std::uint32_t losses_kept_max = 8;
  /// Removes acknowledged rows, at most rows_max; moves those of parked streams instead.
  Result<void> trim(std::size_t rows_max = trim_rows_max);
  /// Rows of parked streams stay where they are: this transaction is to make room.
  void leave_parked() { may_move_ = false; }
  bool has_more_to_trim() const { return has_more_to_trim_; }

  static constexpr std::size_t expire_rows_max = 32768;
  /// Turns batches stored more than max_age_us of buffer time ago into loss rows, at most
  /// expire_rows_max. Returns the buffer time from which on there may be more.
  Result<std::uint64_t> expire(std::uint64_t max_age_us);
  /// Streams without a backlog take the class that was asked for last.
  void change_classes(std::span<const PackedRow> rows);
  /// Keeps groups that may drop within their shares: drops rows of their own, then new ones.
  Result<void> keep_shares(std::span<PackedRow> rows);
  /// Drops old rows and turns new ones into loss rows until all fit: the lowest class first, in it
  /// new batches of streams that drop their newest, then the oldest rows of those that drop these;
  /// in the end new ones of the latter. full: nothing more may be dropped. A request always fits
  /// into a buffer without rows.
  Result<void> make_room(std::span<PackedRow> rows, const Room& room);
  /// Drops old rows, as far as that is allowed, until rows that come later will fit.
  Result<void> make_room_ahead(std::uint64_t pages, const Room& room);
  /// Batches that a person takes out; those handed over or gone stay.
  Result<PurgeReport> purge(std::span<const RowPlace> rows);
  Result<void> append(std::span<const PackedRow> rows);
  Result<void> put_positions(std::span<const NewPosition> positions);
  /// Stores the streams touched and the counters. The caller commits the LMDB transaction then.
  Result<void> finish(bool is_clean);

  static std::uint64_t pages_for(std::span<const PackedRow> rows, std::size_t page_size);
  const Counters& counters() const { return counters_; }
  const Marks& marks() const { return marks_; }
  const std::vector<ParkedStream>& parked() const { return parked_; }
  std::uint64_t used_pages() const { return used_pages_; }
  const Drops& dropped() const { return dropped_; }
  const Drops& expired() const { return expired_; }

 private:
  struct Loss {
    std::uint8_t reason;
    bool is_exact;
    std::int64_t time_unix_us;
  };
  /// Makes one of two losses. joins: whatever they tell; otherwise false if they are not of a kind.
  static bool take_in(const RowTail& before, Loss& loss, bool joins);
  Result<void> trim_class(Priority priority, std::size_t& rows_left);
  void forget_row(const DecodedKey& row, std::size_t value_size);
  /// Of the lowest class that has one. group: only of this one; nullptr: of any.
  Result<bool> drop_oldest(Group* group);
  Result<bool> drop_oldest_of(Priority priority, Group* group);
  /// A search came by a loss row of a stream whose rows before it are gone: takes the one before
  /// into it, if they touch. Whether it did.
  Result<bool> pass_loss(Priority priority, const RowKey& key, std::string_view value,
                         Stream& stream);
  Result<bool> expire_next(Priority priority, std::uint64_t max_age_us, std::uint64_t& next_us);
  /// A loss row takes the place of the batch at the cursor, which is whole.
  Result<void> replace_by_loss(Priority priority, Cursor& cursor, const RowKey& key, Stream& stream,
                               LossReason reason);
  /// Whether the row at the cursor is what was stored: a loss row made of a damaged key would tell
  /// of other numbers.
  Result<bool> is_whole(Table table, Cursor& cursor, const DecodedKey& row, const Stream& stream);
  /// Takes the row at the cursor out. What it had is told as missing before the next row of its
  /// stream.
  Result<void> take_out_damaged(Cursor& cursor, const DecodedKey& row);
  void count_loss(Stream& stream, const RowKey& key, LossReason reason);
  Result<void> keep_share(Group& group, std::span<PackedRow> rows);
  /// Turns a new batch of this policy into a loss: of the class, or of the lowest one.
  bool turn_into_loss(Newcomers& rows, WhenFull policy, Priority priority);
  bool turn_into_loss(Newcomers& rows, WhenFull policy);
  Result<bool> give_way(Newcomers& rows);
  Result<bool> is_empty();
  /// Takes the loss row `id` out of the table if `key`, a loss of the same kind, can continue it.
  /// So that losses of many kinds do not fill the buffer, a stream has no more than losses_kept_max
  /// apart from each other: above this, `kept` of them, any two become one.
  Result<bool> merge(Priority priority, std::uint64_t id, std::uint32_t& kept, Loss& loss,
                     RowKey& key, Stream& stream);
  Result<bool> merge_row(Priority priority, std::uint64_t id, bool joins, Loss& loss, RowKey& key,
                         Stream& stream);
  Result<void> append_row(const PackedRow& row);
  Result<void> put_loss(Priority priority, const RowKey& key, const Loss& loss, Stream& stream);

  // transaction_parking.cpp
  /// Parked streams by the id of their oldest batch, which may be gone meanwhile.
  using ParkedByAge =
      std::priority_queue<std::pair<std::uint64_t, const ParkedStream*>,
                          std::vector<std::pair<std::uint64_t, const ParkedStream*>>,
                          std::greater<>>;
  const ParkedStream* find_parked(std::uint32_t stream_id) const;
  const ParkedStream* parked_of(std::uint32_t stream_id) const;  ///< nullptr: also if it leaves
  bool must_move(const RowKey& key) const;
  /// false: it stays for a later commit.
  Result<bool> move_row(Priority priority, const DecodedKey& row, std::string_view value);
  void forget_damaged(const DecodedKey& row, std::size_t value_size);
  Result<void> trim_parked(std::size_t& rows_left);
  Result<void> store_refusals();
  Result<bool> goes_to_parked(const Stream& stream);
  Result<void> append_parked(const PackedRow& packed, const RowKey& key, Stream& stream);
  /// group: only of this one; nullptr: of any.
  Result<bool> drop_oldest_parked(Priority priority, const Group* group);
  /// 0: it has none that may be dropped.
  Result<std::uint64_t> oldest_parked_batch(const ParkedStream& parked);
  Result<ParkedByAge*> parked_by_age(Priority priority, const Group* group);
  Result<void> drop_parked(const ParkedStream& parked, std::uint64_t id);
  Result<void> expire_parked(ParkedStream& parked, std::uint64_t max_age_us,
                             std::uint64_t& next_us);
  Result<void> lose_parked(Cursor& cursor, const RowKey& key, Stream& stream, LossReason reason);
  /// Takes the parked loss rows behind `pinned` that `key`, a loss of the same kind, continues, and
  /// those of any kind that are too many.
  Result<void> merge_parked(std::uint64_t pinned, Loss& loss, RowKey& key);
  /// The parked loss row behind `pinned` that `key` continues.
  struct ParkedLoss {
    RowKey key;
    RowTail tail;
  };
  Result<std::optional<ParkedLoss>> parked_loss_before(std::uint64_t pinned, const RowKey& key);
  Result<void> put_parked_loss(const RowKey& key, const Loss& loss, std::uint8_t code,
                               Stream& stream);
  void uncount(const DecodedKey& row);
  /// The account of a row that becomes, or became, a loss row.
  void count_row(std::uint32_t stream_id, std::int64_t rows, std::size_t value_size);

  ClassMarks& marks_of(Priority priority) { return marks_[static_cast<std::size_t>(priority)]; }
  std::uint64_t& events_of(Priority priority) {
    return counters_.events[static_cast<std::size_t>(priority)];
  }

  Txn& txn_;
  std::size_t page_size_;
  std::uint32_t epoch_;
  Streams& streams_;
  Counters counters_;
  Marks marks_;
  Times times_;
  std::vector<ParkedStream> parked_;                                        // by stream id
  std::map<std::pair<const Group*, Priority>, ParkedByAge> parked_by_age_;  // made when asked for
  bool may_move_ = true;
  std::uint64_t moved_bytes_ = 0;
  bool has_more_to_trim_ = false;
  std::uint64_t used_pages_ = 0;
  Drops dropped_;
  Drops expired_;
};

}  // namespace penstock::buffer
