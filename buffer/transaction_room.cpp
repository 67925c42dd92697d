// The steps of a commit that make room: shares, drops, expiry; what goes leaves a loss row behind.
#include <algorithm>
#include <limits>

#include "buffer/transaction.hpp"

namespace penstock::buffer {
namespace {

constexpr Priority lowest_first[] = {Priority::low, Priority::normal, Priority::high};

}  // namespace

std::uint64_t Transaction::pages_for(std::span<const PackedRow> rows, std::size_t page_size) {
  RowSpace space(page_size);
  for (const PackedRow& packed : rows) space.add(packed);
  return space.pages();
}

Result<bool> Transaction::is_empty() {
  for (const Priority priority : lowest_first) {
    PENSTOCK_TRY_ASSIGN(const std::uint64_t rows, txn_.entries(table_of(priority)));
    if (rows != 0) return false;
  }
  PENSTOCK_TRY_ASSIGN(const std::uint64_t parked, txn_.entries(Table::parked));
  return parked == 0;
}

Result<void> Transaction::keep_shares(std::span<PackedRow> rows) {
  std::vector<std::pair<Group*, RowSpace>> groups;
  for (const PackedRow& packed : rows) {
    Group* group = streams_.find(packed.row->stream_id)->group;
    const bool is_limited =
        group->policy.share_bytes_max != 0 && group->policy.when_full != WhenFull::block;
    if (!is_limited) continue;
    auto at = std::find_if(groups.begin(), groups.end(),
                           [group](const auto& entry) { return entry.first == group; });
    if (at == groups.end()) at = groups.insert(at, {group, RowSpace(page_size_)});
    at->second.add(packed);
  }
  for (const auto& [group, wanted] : groups) {
    if (group->next + wanted.bytes() <= group->policy.share_bytes_max) continue;
    PENSTOCK_TRY(keep_share(*group, rows));
  }
  return {};
}

Result<void> Transaction::keep_share(Group& group, std::span<PackedRow> rows) {
  Newcomers newcomers(rows, streams_, &group, page_size_);
  while (group.next + newcomers.space().bytes() > group.policy.share_bytes_max) {
    if (group.policy.when_full == WhenFull::drop_oldest) {
      PENSTOCK_TRY_ASSIGN(const bool has_dropped, drop_oldest(&group));
      if (has_dropped) continue;
    }
    if (!turn_into_loss(newcomers, group.policy.when_full)) break;
  }
  return {};
}

Result<void> Transaction::make_room(std::span<PackedRow> rows, const Room& room) {
  if (rows.empty()) return {};
  Newcomers newcomers(rows, streams_, nullptr, page_size_);
  for (;;) {
    const std::uint64_t limit = newcomers.has_batches() ? room.pages - room.reserved : room.pages;
    PENSTOCK_TRY_ASSIGN(const std::uint64_t used, txn_.pages());
    if (used + newcomers.space().pages() <= limit) return {};
    PENSTOCK_TRY_ASSIGN(const bool is_alone, is_empty());
    if (is_alone) return {};
    PENSTOCK_TRY_ASSIGN(const bool has_given_way, give_way(newcomers));
    if (!has_given_way) {
      return Error{Errc::full,
                   "the buffer is full" + (room.limit.empty() ? "" : ": " + room.limit)};
    }
  }
}

Result<bool> Transaction::give_way(Newcomers& rows) {
  for (const Priority priority : lowest_first) {
    if (turn_into_loss(rows, WhenFull::drop_newest, priority)) return true;
    PENSTOCK_TRY_ASSIGN(bool has_dropped, drop_oldest_parked(priority, nullptr));
    if (has_dropped) return true;
    PENSTOCK_TRY_ASSIGN(has_dropped, drop_oldest_of(priority, nullptr));
    if (has_dropped) return true;
  }
  return turn_into_loss(rows, WhenFull::drop_oldest);
}

bool Transaction::turn_into_loss(Newcomers& rows, WhenFull policy) {
  return std::any_of(std::begin(lowest_first), std::end(lowest_first),
                     [&](Priority priority) { return turn_into_loss(rows, policy, priority); });
}

bool Transaction::turn_into_loss(Newcomers& rows, WhenFull policy, Priority priority) {
  const PackedRow* row = rows.give_way(policy, priority);
  if (row == nullptr) return false;
  ++dropped_.rows;
  dropped_.events += row->row->count;
  return true;
}

Result<void> Transaction::make_room_ahead(std::uint64_t pages, const Room& room) {
  for (bool has_dropped = true; has_dropped;) {
    PENSTOCK_TRY_ASSIGN(const std::uint64_t used, txn_.pages());
    if (used + pages <= room.pages - room.reserved) return {};
    PENSTOCK_TRY_ASSIGN(has_dropped, drop_oldest(nullptr));
  }
  return {};
}

Result<bool> Transaction::drop_oldest(Group* group) {
  for (const Priority priority : lowest_first) {
    PENSTOCK_TRY_ASSIGN(bool has_dropped, drop_oldest_parked(priority, group));
    if (has_dropped) return true;
    PENSTOCK_TRY_ASSIGN(has_dropped, drop_oldest_of(priority, group));
    if (has_dropped) return true;
  }
  return false;
}

Result<bool> Transaction::drop_oldest_of(Priority priority, Group* group) {
  ClassMarks& marks = marks_of(priority);
  std::uint64_t& searched =
      group == nullptr ? marks.searched : group->searched[static_cast<std::size_t>(priority)];
  searched = std::max(searched, marks.pinned);
  PENSTOCK_TRY_ASSIGN(Cursor cursor, Cursor::open(txn_, table_of(priority)));
  PENSTOCK_TRY_ASSIGN(bool found, cursor.seek(view(first_key_from(searched + 1))));
  while (found) {
    const auto row = decode_row_key(cursor.key());
    Stream* stream = row ? streams_.find(row->key.stream_id) : nullptr;
    if (stream == nullptr) {
      PENSTOCK_TRY_ASSIGN(found, cursor.next());
      continue;
    }
    // An id that was never given is damaged, and would end the search.
    if (row->key.id < counters_.next_id) searched = row->key.id;
    const bool may_drop =
        stream->when_full == WhenFull::drop_oldest && (group == nullptr || stream->group == group);
    if (may_drop && row->kind == RowKind::batch) {
      PENSTOCK_TRY_ASSIGN(const bool is_sound, is_whole(table_of(priority), cursor, *row, *stream));
      if (is_sound) {
        PENSTOCK_TRY(replace_by_loss(priority, cursor, row->key, *stream, LossReason::buffer_full));
      } else {
        PENSTOCK_TRY(take_out_damaged(cursor, *row));
      }
      return true;
    }
    if (may_drop) {
      PENSTOCK_TRY_ASSIGN(const bool has_merged,
                          pass_loss(priority, row->key, cursor.value(), *stream));
      if (has_merged) return true;  // some room
    }
    PENSTOCK_TRY_ASSIGN(found, cursor.next());
  }
  return false;
}

Result<std::uint64_t> Transaction::expire(std::uint64_t max_age_us) {
  std::uint64_t next_us = times_.buffer_us + max_age_us;
  for (ParkedStream& parked : parked_) PENSTOCK_TRY(expire_parked(parked, max_age_us, next_us));
  for (const Priority priority : lowest_first) {
    for (bool has_expired = true; has_expired;) {
      if (expired_.rows == expire_rows_max) return times_.buffer_us;
      PENSTOCK_TRY_ASSIGN(has_expired, expire_next(priority, max_age_us, next_us));
    }
  }
  return next_us;
}

Result<bool> Transaction::expire_next(Priority priority, std::uint64_t max_age_us,
                                      std::uint64_t& next_us) {
  ClassMarks& marks = marks_of(priority);
  marks.aged = std::max(marks.aged, marks.pinned);
  PENSTOCK_TRY_ASSIGN(Cursor cursor, Cursor::open(txn_, table_of(priority)));
  PENSTOCK_TRY_ASSIGN(bool found, cursor.seek(view(first_key_from(marks.aged + 1))));
  while (found) {
    const auto row = decode_row_key(cursor.key());
    Stream* stream = row ? streams_.find(row->key.stream_id) : nullptr;
    const bool can_be = stream != nullptr && is_within(row->key, *stream);
    const auto stored =
        can_be ? decode_row(epoch_, table_of(priority), cursor.key(), row->kind, cursor.value())
               : std::nullopt;
    if (!stored) {
      // Damage is told when the row is read.
      PENSTOCK_TRY_ASSIGN(found, cursor.next());
      continue;
    }
    if (row->kind == RowKind::batch) {
      const std::uint64_t end_us = stored->tail.buffer_time_us + max_age_us;
      if (end_us > times_.buffer_us) {
        next_us = std::min(next_us, end_us);
        return false;
      }
      marks.aged = row->key.id;
      PENSTOCK_TRY(replace_by_loss(priority, cursor, row->key, *stream, LossReason::expired));
      return true;
    }
    marks.aged = row->key.id;
    PENSTOCK_TRY(pass_loss(priority, row->key, cursor.value(), *stream));
    PENSTOCK_TRY_ASSIGN(found, cursor.seek(view(first_key_from(marks.aged + 1))));
  }
  return false;
}

void Transaction::count_loss(Stream& stream, const RowKey& key, LossReason reason) {
  if (reason == LossReason::purged) return;  // by hand, not by a limit
  const bool has_expired = reason == LossReason::expired;
  Drops& drops = has_expired ? expired_ : dropped_;
  ++drops.rows;
  drops.events += key.count;
  (has_expired ? stream.next.account.expired : stream.next.account.dropped) += key.count;
}

Result<bool> Transaction::is_whole(Table table, Cursor& cursor, const DecodedKey& row,
                                   const Stream& stream) {
  PENSTOCK_TRY(cursor.check());
  return is_within(row.key, stream) &&
         decode_row(epoch_, table, cursor.key(), row.kind, cursor.value()).has_value();
}

Result<void> Transaction::take_out_damaged(Cursor& cursor, const DecodedKey& row) {
  const std::size_t value_size = cursor.value().size();
  PENSTOCK_TRY(cursor.erase());
  forget_damaged(row, value_size);
  return {};
}

Result<void> Transaction::replace_by_loss(Priority priority, Cursor& cursor, const RowKey& key,
                                          Stream& stream, LossReason reason) {
  const std::size_t value_size = cursor.value().size();
  PENSTOCK_TRY(cursor.erase());
  streams_.add_rows(stream, -1, -static_cast<std::int64_t>(row_space(value_size, page_size_)));
  events_of(priority) -= std::min<std::uint64_t>(events_of(priority), key.count);
  count_loss(stream, key, reason);
  Loss loss{static_cast<std::uint8_t>(reason), true, times_.wall_us};
  RowKey merged = key;
  PENSTOCK_TRY(merge(priority, stream.last_loss_id, stream.losses_passed, loss, merged, stream));
  stream.last_loss_id = key.id;
  return put_loss(priority, merged, loss, stream);
}

Result<bool> Transaction::pass_loss(Priority priority, const RowKey& key, std::string_view value,
                                    Stream& stream) {
  if (key.id <= stream.last_loss_id) return false;
  const Table table = table_of(priority);
  const RowKeyBytes old = encode_row_key(key, RowKind::loss);
  const auto row = decode_row(epoch_, table, view(old), RowKind::loss, value);
  if (!row || !is_within(key, stream)) return false;
  const std::uint64_t before = std::exchange(stream.last_loss_id, key.id);
  Loss loss{row->tail.loss_reason, row->tail.loss_is_exact, row->tail.time_unix_us};
  RowKey merged = key;
  PENSTOCK_TRY_ASSIGN(const bool has_merged,
                      merge(priority, before, stream.losses_passed, loss, merged, stream));
  if (!has_merged) return false;
  PENSTOCK_TRY(txn_.erase(table, view(old)));
  streams_.add_rows(stream, -1, -static_cast<std::int64_t>(row_space(row_overhead, page_size_)));
  PENSTOCK_TRY(put_loss(priority, merged, loss, stream));
  return true;
}

bool Transaction::take_in(const RowTail& before, Loss& loss, bool joins) {
  const bool is_same = before.loss_reason == loss.reason;
  if (is_same && before.loss_is_exact && loss.is_exact) return true;
  if (!joins) return false;
  if (!is_same) loss.reason = static_cast<std::uint8_t>(LossReason::buffer_full);
  loss.is_exact = loss.is_exact && before.loss_is_exact;
  return true;
}

Result<bool> Transaction::merge(Priority priority, std::uint64_t id, std::uint32_t& kept,
                                Loss& loss, RowKey& key, Stream& stream) {
  PENSTOCK_TRY_ASSIGN(const bool has_merged,
                      merge_row(priority, id, kept >= losses_kept_max, loss, key, stream));
  if (!has_merged) ++kept;
  return has_merged;
}

Result<bool> Transaction::merge_row(Priority priority, std::uint64_t id, bool joins, Loss& loss,
                                    RowKey& key, Stream& stream) {
  if (id == 0 || id <= marks_of(priority).pinned) return false;
  const Table table = table_of(priority);
  PENSTOCK_TRY_ASSIGN(Cursor cursor, Cursor::open(txn_, table));
  PENSTOCK_TRY_ASSIGN(const bool found, cursor.seek(view(first_key_from(id))));
  const auto previous = found ? decode_row_key(cursor.key()) : std::nullopt;
  if (!previous || previous->kind != RowKind::loss) return false;
  const RowKey& before = previous->key;
  if (before.id != id || before.stream_id != key.stream_id ||
      before.seq + before.count != key.seq || before.count > row_count_max - key.count) {
    return false;
  }
  const auto row = decode_row(epoch_, table, cursor.key(), RowKind::loss, cursor.value());
  if (!row || !take_in(row->tail, loss, joins)) return false;
  key.seq = before.seq;
  key.count += before.count;
  streams_.add_rows(stream, -1, -static_cast<std::int64_t>(row_space(row_overhead, page_size_)));
  PENSTOCK_TRY(cursor.erase());
  return true;
}

Result<void> Transaction::put_loss(Priority priority, const RowKey& key, const Loss& loss,
                                   Stream& stream) {
  PENSTOCK_ASSERT(is_within(key, stream));
  const Table table = table_of(priority);
  const RowKeyBytes bytes = encode_row_key(key, RowKind::loss);
  PENSTOCK_TRY_ASSIGN(char* out, txn_.put_reserved(table, view(bytes), row_overhead));
  encode_row(out, epoch_, table, view(bytes), {},
             {loss.reason, loss.is_exact, 0, loss.time_unix_us, times_.buffer_us});
  streams_.add_rows(stream, 1, static_cast<std::int64_t>(row_space(row_overhead, page_size_)));
  return {};
}

}  // namespace penstock::buffer
