// What a commit does with parked streams: rows that move out of their class, refused rows that
// become loss records, trims, drops and appends in the table of parked rows.
#include <algorithm>

#include "agent/base/wire.hpp"
#include "buffer/transaction.hpp"

namespace penstock::buffer {
namespace {

// A commit with more would keep readers waiting; the next one goes on.
constexpr std::uint64_t moved_bytes_max = 4U << 20;

}  // namespace

const ParkedStream* Transaction::find_parked(std::uint32_t stream_id) const {
  const auto found = std::lower_bound(
      parked_.begin(), parked_.end(), stream_id,
      [](const ParkedStream& parked, std::uint32_t id) { return parked.stream_id < id; });
  return found == parked_.end() || found->stream_id != stream_id ? nullptr : &*found;
}

const ParkedStream* Transaction::parked_of(std::uint32_t stream_id) const {
  const ParkedStream* parked = find_parked(stream_id);
  return parked == nullptr || parked->is_leaving ? nullptr : parked;
}

bool Transaction::must_move(const RowKey& key) const {
  const ParkedStream* parked = parked_of(key.stream_id);
  return parked != nullptr && key.id >= parked->from_id;
}

Result<bool> Transaction::move_row(Priority priority, const DecodedKey& row,
                                   std::string_view value) {
  if (!may_move_ || moved_bytes_ > moved_bytes_max) return false;
  const Table from = table_of(priority);
  const RowKeyBytes old_key = encode_row_key(row.key, row.kind);
  const std::string copy(value);
  const auto whole = decode_row(epoch_, from, view(old_key), row.kind, copy);
  if (!whole) {
    // Its key may be damaged too: in the table it could come after rows that followed it. What it
    // had is told as missing before the next row of its stream.
    forget_damaged(row, copy.size());
    return true;
  }
  moved_bytes_ += copy.size();
  const RowKeyBytes key = encode_parked_key(row.key, row.kind);
  PENSTOCK_TRY_ASSIGN(char* out, txn_.put_reserved(Table::parked, view(key), copy.size()));
  encode_row(out, epoch_, Table::parked, view(key), whole->content, whole->tail);
  return true;
}

void Transaction::forget_damaged(const DecodedKey& row, std::size_t value_size) {
  Stream* stream = streams_.find(row.key.stream_id);
  if (stream == nullptr) return;
  if (is_within(row.key, *stream)) uncount(row);
  streams_.add_rows(*stream, -1, -static_cast<std::int64_t>(row_space(value_size, page_size_)));
}

Result<void> Transaction::trim_parked(std::size_t& rows_left) {
  for (const ParkedStream& parked : parked_) {
    if (parked.acked == 0) continue;
    PENSTOCK_TRY_ASSIGN(Cursor cursor, Cursor::open(txn_, Table::parked));
    for (;;) {
      PENSTOCK_TRY_ASSIGN(const bool found,
                          cursor.seek(view(first_parked_key(parked.stream_id, 0))));
      if (!found || !is_parked_key_of(cursor.key(), parked.stream_id)) break;
      const auto row = decode_parked_key(cursor.key());
      // One that cannot be, or an id that was never given, is damaged: nothing waits for it.
      if (row && row->key.id > parked.acked && row->key.id < counters_.next_id) break;
      if (rows_left == 0) {
        has_more_to_trim_ = true;
        return {};
      }
      --rows_left;
      if (row) {
        forget_row(*row, cursor.value().size());
        uncount(*row);
      } else {
        count_row(parked.stream_id, -1, cursor.value().size());
      }
      PENSTOCK_TRY(cursor.erase());
    }
  }
  return {};
}

void Transaction::uncount(const DecodedKey& row) {
  if (row.kind != RowKind::batch) return;
  const Stream* stream = streams_.find(row.key.stream_id);
  const Priority priority = stream == nullptr ? Priority::normal : stream->next.priority;
  events_of(priority) -= std::min<std::uint64_t>(events_of(priority), row.key.count);
}

Result<void> Transaction::store_refusals() {
  for (ParkedStream& parked : parked_) {
    for (ParkedStream::Refusal& refusal : parked.refusals) {
      if (refusal.is_stored) continue;
      PENSTOCK_TRY_ASSIGN(Cursor cursor, Cursor::open(txn_, Table::parked));
      PENSTOCK_TRY_ASSIGN(const bool found,
                          cursor.seek(view(first_parked_key(parked.stream_id, refusal.id))));
      const auto row = found ? decode_parked_key(cursor.key()) : std::nullopt;
      if (!row || row->key.stream_id != parked.stream_id || row->key.id != refusal.id) continue;
      refusal.is_stored = true;
      Stream* stream = streams_.find(parked.stream_id);
      if (row->kind != RowKind::batch || stream == nullptr) continue;
      PENSTOCK_TRY_ASSIGN(const bool is_sound, is_whole(Table::parked, cursor, *row, *stream));
      if (!is_sound) {
        PENSTOCK_TRY(take_out_damaged(cursor, *row));
        continue;
      }
      count_row(row->key.stream_id, -1, cursor.value().size());
      uncount(*row);
      PENSTOCK_TRY(cursor.erase());
      PENSTOCK_TRY(put_parked_loss(
          row->key, {static_cast<std::uint8_t>(LossReason::refused), true, times_.wall_us},
          refusal.code, *stream));
    }
  }
  return {};
}

Result<void> Transaction::put_parked_loss(const RowKey& key, const Loss& loss, std::uint8_t code,
                                          Stream& stream) {
  PENSTOCK_ASSERT(is_within(key, stream));
  const RowKeyBytes bytes = encode_parked_key(key, RowKind::loss);
  PENSTOCK_TRY_ASSIGN(char* out, txn_.put_reserved(Table::parked, view(bytes), row_overhead));
  RowTail tail{loss.reason, loss.is_exact, 0, loss.time_unix_us, times_.buffer_us};
  tail.refusal_code = code;
  encode_row(out, epoch_, Table::parked, view(bytes), {}, tail);
  count_row(key.stream_id, 1, row_overhead);
  return {};
}

void Transaction::count_row(std::uint32_t stream_id, std::int64_t rows, std::size_t value_size) {
  Stream* stream = streams_.find(stream_id);
  if (stream == nullptr) return;
  const auto space = static_cast<std::int64_t>(row_space(value_size, page_size_));
  streams_.add_rows(*stream, rows, rows * space);
}

/// New rows of a parked stream go where its older ones are.
Result<bool> Transaction::goes_to_parked(const Stream& stream) {
  if (parked_of(stream.id) == nullptr) return false;
  PENSTOCK_TRY_ASSIGN(Cursor cursor, Cursor::open(txn_, table_of(stream.next.priority)));
  PENSTOCK_TRY_ASSIGN(const bool found, cursor.first());
  const auto oldest = found ? decode_row_key(cursor.key()) : std::nullopt;
  return !found || (oldest && oldest->key.id > stream.next.last_id);
}

Result<void> Transaction::append_parked(const PackedRow& packed, const RowKey& key,
                                        Stream& stream) {
  const NewRow& row = *packed.row;
  if (packed.kind == RowKind::loss) {
    const bool is_from_source = row.kind == RowKind::loss;
    Loss loss{packed.loss_reason, packed.loss_is_exact,
              is_from_source ? row.time_unix_us : times_.wall_us};
    RowKey merged = key;
    PENSTOCK_TRY(merge_parked(parked_of(stream.id)->pinned, loss, merged));
    return put_parked_loss(merged, loss, 0, stream);
  }
  const RowKeyBytes bytes = encode_parked_key(key, RowKind::batch);
  const std::size_t value_size = packed.content.size() + row_overhead;
  PENSTOCK_TRY_ASSIGN(char* out, txn_.put_reserved(Table::parked, view(bytes), value_size));
  RowTail tail;
  tail.raw_size = packed.raw_size;
  tail.buffer_time_us = times_.buffer_us;
  encode_row(out, epoch_, Table::parked, view(bytes), packed.content, tail);
  count_row(stream.id, 1, value_size);
  return {};
}

/// Of the streams of this class and group that drop their oldest.
Result<Transaction::ParkedByAge*> Transaction::parked_by_age(Priority priority,
                                                             const Group* group) {
  const auto [at, is_new] = parked_by_age_.try_emplace({group, priority});
  for (const ParkedStream& parked : parked_) {
    if (!is_new) break;
    const Stream* stream = streams_.find(parked.stream_id);
    if (stream == nullptr || stream->next.priority != priority) continue;
    if (stream->when_full != WhenFull::drop_oldest) continue;
    if (group != nullptr && stream->group != group) continue;
    PENSTOCK_TRY_ASSIGN(const std::uint64_t id, oldest_parked_batch(parked));
    if (id != 0) at->second.emplace(id, &parked);
  }
  return &at->second;
}

Result<bool> Transaction::drop_oldest_parked(Priority priority, const Group* group) {
  if (parked_.empty()) return false;
  PENSTOCK_TRY_ASSIGN(ParkedByAge* const by_age, parked_by_age(priority, group));
  while (!by_age->empty()) {
    const auto [id, parked] = by_age->top();
    by_age->pop();
    PENSTOCK_TRY_ASSIGN(const std::uint64_t oldest, oldest_parked_batch(*parked));
    if (oldest == id) PENSTOCK_TRY(drop_parked(*parked, id));
    PENSTOCK_TRY_ASSIGN(const std::uint64_t next, oldest_parked_batch(*parked));
    if (next != 0) by_age->emplace(next, parked);
    if (oldest == id) return true;
  }
  return false;
}

Result<void> Transaction::drop_parked(const ParkedStream& parked, std::uint64_t id) {
  PENSTOCK_TRY_ASSIGN(Cursor cursor, Cursor::open(txn_, Table::parked));
  PENSTOCK_TRY_ASSIGN(const bool found, cursor.seek(view(first_parked_key(parked.stream_id, id))));
  const auto row = found ? decode_parked_key(cursor.key()) : std::nullopt;
  Stream* stream = row ? streams_.find(row->key.stream_id) : nullptr;
  PENSTOCK_ASSERT(stream != nullptr);
  PENSTOCK_TRY_ASSIGN(const bool is_sound, is_whole(Table::parked, cursor, *row, *stream));
  if (!is_sound) return take_out_damaged(cursor, *row);
  return lose_parked(cursor, row->key, *stream, LossReason::buffer_full);
}

Result<void> Transaction::expire_parked(ParkedStream& parked, std::uint64_t max_age_us,
                                        std::uint64_t& next_us) {
  Stream* stream = streams_.find(parked.stream_id);
  if (stream == nullptr) return {};
  PENSTOCK_TRY_ASSIGN(Cursor cursor, Cursor::open(txn_, Table::parked));
  bool found = false;
  if (parked.expires_us <= times_.buffer_us) {
    PENSTOCK_TRY_ASSIGN(found,
                        cursor.seek(view(first_parked_key(parked.stream_id, parked.pinned + 1))));
  }
  while (found && is_parked_key_of(cursor.key(), parked.stream_id)) {
    const auto row = decode_parked_key(cursor.key());
    const bool can_be = row && row->kind == RowKind::batch && is_within(row->key, *stream);
    const auto stored =
        can_be ? decode_row(epoch_, Table::parked, cursor.key(), row->kind, cursor.value())
               : std::nullopt;
    if (!stored) {
      // Damage is told when the row is read.
      PENSTOCK_TRY_ASSIGN(found, cursor.next());
      continue;
    }
    parked.expires_us = stored->tail.buffer_time_us + max_age_us;
    if (parked.expires_us > times_.buffer_us || expired_.rows == expire_rows_max) break;
    PENSTOCK_TRY(lose_parked(cursor, row->key, *stream, LossReason::expired));
    PENSTOCK_TRY_ASSIGN(found,
                        cursor.seek(view(first_parked_key(parked.stream_id, row->key.id + 1))));
  }
  // None is left, or has come of age: a row that comes later is not before its time.
  if (parked.expires_us > times_.buffer_us) next_us = std::min(next_us, parked.expires_us);
  return {};
}

Result<std::uint64_t> Transaction::oldest_parked_batch(const ParkedStream& parked) {
  PENSTOCK_TRY_ASSIGN(Cursor cursor, Cursor::open(txn_, Table::parked));
  const RowKeyBytes first = first_parked_key(parked.stream_id, parked.pinned + 1);
  PENSTOCK_TRY_ASSIGN(bool found, cursor.seek(view(first)));
  while (found && is_parked_key_of(cursor.key(), parked.stream_id)) {
    const auto row = decode_parked_key(cursor.key());
    if (row && row->kind == RowKind::batch) return row->key.id;
    PENSTOCK_TRY_ASSIGN(found, cursor.next());
  }
  return std::uint64_t{0};
}

/// The row at the cursor becomes a loss record, one with its predecessor if that is of the same
/// kind.
Result<void> Transaction::lose_parked(Cursor& cursor, const RowKey& key, Stream& stream,
                                      LossReason reason) {
  Loss loss{static_cast<std::uint8_t>(reason), true, times_.wall_us};
  count_row(key.stream_id, -1, cursor.value().size());
  PENSTOCK_TRY(cursor.erase());
  uncount({key, RowKind::batch});
  count_loss(stream, key, reason);
  RowKey merged = key;
  const ParkedStream* parked = parked_of(key.stream_id);
  PENSTOCK_TRY(merge_parked(parked == nullptr ? 0 : parked->pinned, loss, merged));
  return put_parked_loss(merged, loss, 0, stream);
}

Result<std::optional<Transaction::ParkedLoss>> Transaction::parked_loss_before(std::uint64_t pinned,
                                                                               const RowKey& key) {
  using Found = std::optional<ParkedLoss>;
  PENSTOCK_TRY_ASSIGN(Cursor cursor, Cursor::open(txn_, Table::parked));
  PENSTOCK_TRY_ASSIGN(bool found, cursor.seek(view(first_parked_key(key.stream_id, key.id))));
  PENSTOCK_TRY_ASSIGN(found, found ? cursor.previous() : cursor.last());
  const auto before = found ? decode_parked_key(cursor.key()) : std::nullopt;
  if (!before || before->kind != RowKind::loss || before->key.stream_id != key.stream_id ||
      before->key.id <= pinned || before->key.seq + before->key.count != key.seq) {
    return Found();
  }
  const auto row = decode_row(epoch_, Table::parked, cursor.key(), before->kind, cursor.value());
  return row ? Found({before->key, row->tail}) : Found();
}

Result<void> Transaction::merge_parked(std::uint64_t pinned, Loss& loss, RowKey& key) {
  for (;;) {
    PENSTOCK_TRY_ASSIGN(const auto before, parked_loss_before(pinned, key));
    if (!before || before->key.count > row_count_max - key.count) return {};
    if (!take_in(before->tail, loss, false)) {
      std::uint32_t kept = 0;
      for (auto next = before; next && kept < losses_kept_max; ++kept) {
        PENSTOCK_TRY_ASSIGN(next, parked_loss_before(pinned, next->key));
      }
      if (!take_in(before->tail, loss, kept == losses_kept_max)) return {};
    }
    key.seq = before->key.seq;
    key.count += before->key.count;
    count_row(key.stream_id, -1, row_overhead);
    PENSTOCK_TRY(txn_.erase(Table::parked, view(encode_parked_key(before->key, RowKind::loss))));
  }
}

}  // namespace penstock::buffer
