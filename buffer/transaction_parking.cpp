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

ParkedStream* Transaction::parked_of(std::uint32_t stream_id) {
  const auto found = std::find_if(
      parked_.begin(), parked_.end(),
      [stream_id](const ParkedStream& parked) { return parked.stream_id == stream_id; });
  return found == parked_.end() || found->is_leaving ? nullptr : &*found;
}

bool Transaction::has_parked(std::uint32_t stream_id) const {
  return std::any_of(parked_.begin(), parked_.end(), [stream_id](const ParkedStream& parked) {
    return parked.stream_id == stream_id;
  });
}

bool Transaction::must_move(const RowKey& key) {
  const ParkedStream* parked = parked_of(key.stream_id);
  return parked != nullptr && key.id >= parked->from_id;
}

Result<bool> Transaction::move_row(Priority priority, const DecodedKey& row,
                                   std::string_view value) {
  if (!may_move_ || moved_bytes_ > moved_bytes_max) return false;
  moved_bytes_ += value.size();
  const std::string copy(value);
  const Table from = table_of(priority);
  const RowKeyBytes old_key = encode_row_key(row.key, row.kind);
  const RowKeyBytes key = encode_parked_key(row.key, row.kind);
  PENSTOCK_TRY_ASSIGN(char* out, txn_.put_reserved(Table::parked, view(key), copy.size()));
  const auto whole = decode_row(epoch_, from, view(old_key), row.kind, copy);
  if (whole) {
    encode_row(out, epoch_, Table::parked, view(key), whole->content, whole->tail);
  } else {
    // Its checksum is wrong in the new place too: it stays known as damaged.
    std::copy(copy.begin(), copy.end(), out);
  }
  return true;
}

Result<void> Transaction::trim_parked(std::size_t& rows_left) {
  for (const ParkedStream& parked : parked_) {
    if (parked.acked == 0) continue;
    PENSTOCK_TRY_ASSIGN(Cursor cursor, Cursor::open(txn_, Table::parked));
    for (;;) {
      PENSTOCK_TRY_ASSIGN(const bool found,
                          cursor.seek(view(first_parked_key(parked.stream_id, 0))));
      const auto row = found ? decode_parked_key(cursor.key()) : std::nullopt;
      if (!row || row->key.stream_id != parked.stream_id || row->key.id > parked.acked) break;
      if (rows_left == 0) {
        has_more_to_trim_ = true;
        return {};
      }
      --rows_left;
      uncount(*row);
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
      if (row->kind != RowKind::batch) continue;
      uncount(*row);
      PENSTOCK_TRY(cursor.erase());
      PENSTOCK_TRY(put_parked_loss(
          row->key, {static_cast<std::uint8_t>(LossReason::refused), true, times_.wall_us},
          refusal.code));
    }
  }
  return {};
}

Result<void> Transaction::put_parked_loss(const RowKey& key, const Loss& loss, std::uint8_t code) {
  const RowKeyBytes bytes = encode_parked_key(key, RowKind::loss);
  PENSTOCK_TRY_ASSIGN(char* out, txn_.put_reserved(Table::parked, view(bytes), row_overhead));
  RowTail tail{loss.reason, loss.is_exact, 0, loss.time_unix_us, times_.buffer_us};
  tail.refusal_code = code;
  encode_row(out, epoch_, Table::parked, view(bytes), {}, tail);
  return {};
}

/// New rows of a parked stream go where its older ones are.
Result<bool> Transaction::goes_to_parked(const Stream& stream) {
  if (parked_of(stream.id) == nullptr) return false;
  PENSTOCK_TRY_ASSIGN(Cursor cursor, Cursor::open(txn_, table_of(stream.next.priority)));
  PENSTOCK_TRY_ASSIGN(const bool found, cursor.first());
  const auto oldest = found ? decode_row_key(cursor.key()) : std::nullopt;
  return !found || (oldest && oldest->key.id > stream.next.last_id);
}

Result<void> Transaction::append_parked(const PackedRow& packed, const RowKey& key) {
  const NewRow& row = *packed.row;
  if (packed.kind == RowKind::loss) {
    const bool is_from_source = row.kind == RowKind::loss;
    return put_parked_loss(key,
                           {packed.loss_reason, packed.loss_is_exact,
                            is_from_source ? row.time_unix_us : times_.wall_us},
                           0);
  }
  const RowKeyBytes bytes = encode_parked_key(key, RowKind::batch);
  PENSTOCK_TRY_ASSIGN(char* out, txn_.put_reserved(Table::parked, view(bytes),
                                                   packed.content.size() + row_overhead));
  RowTail tail;
  tail.raw_size = packed.raw_size;
  tail.buffer_time_us = times_.buffer_us;
  encode_row(out, epoch_, Table::parked, view(bytes), packed.content, tail);
  return {};
}

Result<bool> Transaction::drop_oldest_parked(Priority priority) {
  std::optional<RowKey> oldest;
  for (const ParkedStream& parked : parked_) {
    const Stream* stream = streams_.find(parked.stream_id);
    if (stream == nullptr || stream->next.priority != priority) continue;
    if (stream->when_full != WhenFull::drop_oldest) continue;
    PENSTOCK_TRY_ASSIGN(const auto key, oldest_parked_batch(parked));
    if (key && (!oldest || key->id < oldest->id)) oldest = key;
  }
  if (!oldest) return false;
  PENSTOCK_TRY(lose_parked(*oldest, LossReason::buffer_full));
  return true;
}

Result<std::optional<RowKey>> Transaction::oldest_parked_batch(const ParkedStream& parked) {
  PENSTOCK_TRY_ASSIGN(Cursor cursor, Cursor::open(txn_, Table::parked));
  const RowKeyBytes first = first_parked_key(parked.stream_id, parked.pinned + 1);
  PENSTOCK_TRY_ASSIGN(bool found, cursor.seek(view(first)));
  while (found) {
    const auto row = decode_parked_key(cursor.key());
    if (!row || row->key.stream_id != parked.stream_id) break;
    if (row->kind == RowKind::batch) return std::optional<RowKey>(row->key);
    PENSTOCK_TRY_ASSIGN(found, cursor.next());
  }
  return std::optional<RowKey>();
}

/// The row becomes a loss record, one with its predecessor if that is of the same kind.
Result<void> Transaction::lose_parked(const RowKey& key, LossReason reason) {
  const Loss loss{static_cast<std::uint8_t>(reason), true, times_.wall_us};
  PENSTOCK_TRY(txn_.erase(Table::parked, view(encode_parked_key(key, RowKind::batch))));
  uncount({key, RowKind::batch});
  ++dropped_rows_;
  dropped_events_ += key.count;
  RowKey merged = key;
  const ParkedStream* parked = parked_of(key.stream_id);
  PENSTOCK_TRY_ASSIGN(Cursor cursor, Cursor::open(txn_, Table::parked));
  const std::uint64_t pinned = parked == nullptr ? 0 : parked->pinned;
  PENSTOCK_TRY_ASSIGN(bool found, cursor.seek(view(first_parked_key(key.stream_id, pinned + 1))));
  while (found) {
    const auto before = decode_parked_key(cursor.key());
    if (!before || before->key.stream_id != key.stream_id || before->key.id > key.id) break;
    const auto row = decode_row(epoch_, Table::parked, cursor.key(), before->kind, cursor.value());
    if (before->kind == RowKind::loss && row && row->tail.loss_reason == loss.reason &&
        row->tail.loss_is_exact && before->key.seq + before->key.count == key.seq &&
        before->key.count <= row_count_max - key.count) {
      merged.seq = before->key.seq;
      merged.count += before->key.count;
      PENSTOCK_TRY(cursor.erase());
      break;
    }
    PENSTOCK_TRY_ASSIGN(found, cursor.next());
  }
  return put_parked_loss(merged, loss, 0);
}

}  // namespace penstock::buffer
