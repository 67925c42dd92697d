#include "buffer/transaction.hpp"

#include <algorithm>
#include <utility>

namespace penstock::buffer {
namespace {

constexpr Priority all_priorities[] = {Priority::high, Priority::normal, Priority::low};
constexpr auto dropped_reason = static_cast<std::uint8_t>(LossReason::buffer_full);

}  // namespace

Transaction::Transaction(Txn& txn, std::size_t page_size, std::uint32_t epoch, Streams& streams,
                         const Counters& counters, const Marks& marks, const Times& times,
                         std::vector<ParkedStream> parked)
    : txn_(txn),
      page_size_(page_size),
      epoch_(epoch),
      streams_(streams),
      counters_(counters),
      marks_(marks),
      times_(times),
      parked_(std::move(parked)) {}

Result<void> Transaction::trim(std::size_t rows_max) {
  std::size_t rows_left = rows_max;
  for (const Priority priority : all_priorities) PENSTOCK_TRY(trim_class(priority, rows_left));
  PENSTOCK_TRY(trim_parked(rows_left));
  return store_refusals();
}

Result<void> Transaction::trim_class(Priority priority, std::size_t& rows_left) {
  const std::uint64_t acked = marks_of(priority).acked;
  if (acked == 0) return {};
  PENSTOCK_TRY_ASSIGN(Cursor cursor, Cursor::open(txn_, table_of(priority)));
  std::uint64_t left = 0;  // up to here: rows that stay for a later commit
  for (;;) {
    PENSTOCK_TRY_ASSIGN(const bool found, cursor.seek(view(first_key_from(left + 1))));
    if (!found) return {};
    const auto row = decode_row_key(cursor.key());
    if (row && row->key.id > acked) return {};
    if (rows_left == 0) {
      has_more_to_trim_ = true;
      return {};
    }
    --rows_left;
    if (row && must_move(row->key)) {
      PENSTOCK_TRY_ASSIGN(const bool has_moved, move_row(priority, *row, cursor.value()));
      if (!has_moved) {
        has_more_to_trim_ = true;
        left = row->key.id;
        continue;
      }
    } else if (row && row->kind == RowKind::batch) {
      events_of(priority) -= std::min<std::uint64_t>(events_of(priority), row->key.count);
    }
    PENSTOCK_TRY(cursor.erase());
  }
}

Result<void> Transaction::change_classes(std::span<const PackedRow> rows) {
  for (const PackedRow& packed : rows) {
    Stream* stream = streams_.find(packed.row->stream_id);
    PENSTOCK_ASSERT(stream != nullptr);
    if (stream->is_touched || stream->next.priority == stream->wanted) continue;
    if (has_parked(stream->id)) continue;
    PENSTOCK_TRY_ASSIGN(Cursor cursor, Cursor::open(txn_, table_of(stream->next.priority)));
    PENSTOCK_TRY_ASSIGN(const bool found, cursor.first());
    const auto oldest = found ? decode_row_key(cursor.key()) : std::nullopt;
    if (found && (!oldest || oldest->key.id <= stream->next.last_id)) continue;
    streams_.touch(*stream);
    stream->next.priority = stream->wanted;
  }
  return {};
}

std::uint64_t Transaction::pages_for(std::span<const PackedRow> rows, std::size_t page_size) {
  // LMDB keeps a value in its leaf only if two such entries fit into a page.
  constexpr std::uint64_t page_header = 16;
  constexpr std::uint64_t node_header = 8 + row_key_size + 2;
  const std::uint64_t node_max = (page_size - page_header) / 2 - 2;
  std::uint64_t pages = 1;
  std::uint64_t leaf_bytes = 0;
  for (const PackedRow& packed : rows) {
    const std::uint64_t size = packed.content.size() + row_overhead;
    if (node_header + size <= node_max) {
      leaf_bytes += node_header + size;
    } else {
      leaf_bytes += node_header + 8;
      pages += (size + page_header + page_size - 1) / page_size;
    }
  }
  return pages + leaf_bytes / (page_size - page_header);
}

Result<bool> Transaction::is_empty() {
  for (const Priority priority : all_priorities) {
    PENSTOCK_TRY_ASSIGN(const std::uint64_t rows, txn_.entries(table_of(priority)));
    if (rows != 0) return false;
  }
  PENSTOCK_TRY_ASSIGN(const std::uint64_t parked, txn_.entries(Table::parked));
  return parked == 0;
}

Result<void> Transaction::make_room(std::span<PackedRow> rows, const Room& room) {
  for (;;) {
    const bool has_batches = std::any_of(rows.begin(), rows.end(), [](const PackedRow& packed) {
      return packed.kind == RowKind::batch;
    });
    const std::uint64_t limit = has_batches ? room.pages - room.reserved : room.pages;
    PENSTOCK_TRY_ASSIGN(const std::uint64_t used, txn_.pages());
    if (rows.empty() || used + pages_for(rows, page_size_) <= limit) return {};
    PENSTOCK_TRY_ASSIGN(const bool is_alone, is_empty());
    if (is_alone) return {};
    PENSTOCK_TRY_ASSIGN(const bool has_dropped, drop_oldest());
    if (has_dropped || turn_into_loss(rows)) continue;
    return Error{Errc::full, "the buffer is full"};
  }
}

Result<void> Transaction::make_room_ahead(std::uint64_t pages, const Room& room) {
  for (bool has_dropped = true; has_dropped;) {
    PENSTOCK_TRY_ASSIGN(const std::uint64_t used, txn_.pages());
    if (used + pages <= room.pages - room.reserved) return {};
    PENSTOCK_TRY_ASSIGN(has_dropped, drop_oldest());
  }
  return {};
}

Result<bool> Transaction::drop_oldest() {
  for (std::size_t i = priority_count; i-- > 0;) {
    PENSTOCK_TRY_ASSIGN(bool has_dropped, drop_oldest_parked(all_priorities[i]));
    if (has_dropped) return true;
    PENSTOCK_TRY_ASSIGN(has_dropped, drop_oldest_of(all_priorities[i]));
    if (has_dropped) return true;
  }
  return false;
}

Result<bool> Transaction::drop_oldest_of(Priority priority) {
  ClassMarks& marks = marks_of(priority);
  marks.searched = std::max(marks.searched, marks.pinned);
  PENSTOCK_TRY_ASSIGN(Cursor cursor, Cursor::open(txn_, table_of(priority)));
  PENSTOCK_TRY_ASSIGN(bool found, cursor.seek(view(first_key_from(marks.searched + 1))));
  while (found) {
    const auto row = decode_row_key(cursor.key());
    Stream* stream = row ? streams_.find(row->key.stream_id) : nullptr;
    if (stream != nullptr) {
      marks.searched = row->key.id;
      if (row->kind == RowKind::loss) {
        stream->last_loss_id = row->key.id;
      } else if (stream->when_full == WhenFull::drop_oldest) {
        PENSTOCK_TRY(replace_by_loss(priority, row->key, *stream));
        return true;
      }
    }
    PENSTOCK_TRY_ASSIGN(found, cursor.next());
  }
  return false;
}

Result<void> Transaction::replace_by_loss(Priority priority, const RowKey& key, Stream& stream) {
  PENSTOCK_TRY(txn_.erase(table_of(priority), view(encode_row_key(key, RowKind::batch))));
  events_of(priority) -= std::min<std::uint64_t>(events_of(priority), key.count);
  ++dropped_rows_;
  dropped_events_ += key.count;
  const Loss loss{dropped_reason, true, times_.wall_us};
  RowKey merged = key;
  PENSTOCK_TRY(merge(priority, stream.last_loss_id, loss, merged));
  stream.last_loss_id = key.id;
  return put_loss(priority, merged, loss);
}

Result<void> Transaction::merge(Priority priority, std::uint64_t id, const Loss& loss,
                                RowKey& key) {
  if (id == 0 || id <= marks_of(priority).pinned || !loss.is_exact) return {};
  const Table table = table_of(priority);
  PENSTOCK_TRY_ASSIGN(Cursor cursor, Cursor::open(txn_, table));
  PENSTOCK_TRY_ASSIGN(const bool found, cursor.seek(view(first_key_from(id))));
  const auto previous = found ? decode_row_key(cursor.key()) : std::nullopt;
  if (!previous || previous->kind != RowKind::loss) return {};
  const RowKey& before = previous->key;
  if (before.id != id || before.stream_id != key.stream_id ||
      before.seq + before.count != key.seq || before.count > row_count_max - key.count) {
    return {};
  }
  const auto row = decode_row(epoch_, table, cursor.key(), RowKind::loss, cursor.value());
  if (!row || row->tail.loss_reason != loss.reason || !row->tail.loss_is_exact) return {};
  key.seq = before.seq;
  key.count += before.count;
  return cursor.erase();
}

Result<void> Transaction::put_loss(Priority priority, const RowKey& key, const Loss& loss) {
  const Table table = table_of(priority);
  const RowKeyBytes bytes = encode_row_key(key, RowKind::loss);
  PENSTOCK_TRY_ASSIGN(char* out, txn_.put_reserved(table, view(bytes), row_overhead));
  encode_row(out, epoch_, table, view(bytes), {},
             {loss.reason, loss.is_exact, 0, loss.time_unix_us, times_.buffer_us});
  return {};
}

bool Transaction::turn_into_loss(std::span<PackedRow> rows) {
  PackedRow* chosen = nullptr;
  Priority lowest = Priority::high;
  for (PackedRow& packed : rows) {
    const Stream* stream = streams_.find(packed.row->stream_id);
    if (packed.kind == RowKind::loss || stream->when_full != WhenFull::drop_oldest) continue;
    if (chosen == nullptr || stream->next.priority > lowest) {
      chosen = &packed;
      lowest = stream->next.priority;
    }
  }
  if (chosen == nullptr) return false;
  chosen->kind = RowKind::loss;
  chosen->loss_reason = dropped_reason;
  chosen->loss_is_exact = true;
  chosen->content = {};
  ++dropped_rows_;
  dropped_events_ += chosen->row->count;
  return true;
}

Result<void> Transaction::append(std::span<const PackedRow> rows) {
  for (const PackedRow& packed : rows) PENSTOCK_TRY(append_row(packed));
  return {};
}

Result<void> Transaction::append_row(const PackedRow& packed) {
  const NewRow& row = *packed.row;
  Stream* stream = streams_.find(row.stream_id);
  PENSTOCK_ASSERT(stream != nullptr && row.seq == stream->next.next_seq);
  streams_.touch(*stream);
  const Priority priority = stream->next.priority;
  const Table table = table_of(priority);
  PENSTOCK_TRY_ASSIGN(const bool is_parked, goes_to_parked(*stream));
  RowKey key{counters_.next_id++, row.stream_id, row.seq, row.count};
  if (is_parked) {
    PENSTOCK_TRY(append_parked(packed, key));
    if (packed.kind == RowKind::batch) events_of(priority) += row.count;
  } else if (packed.kind == RowKind::loss) {
    const bool is_from_source = row.kind == RowKind::loss;
    const Loss loss{packed.loss_reason, packed.loss_is_exact,
                    is_from_source ? row.time_unix_us : times_.wall_us};
    PENSTOCK_TRY(merge(priority, stream->next.last_id, loss, key));
    PENSTOCK_TRY(put_loss(priority, key, loss));
  } else {
    const RowKeyBytes bytes = encode_row_key(key, RowKind::batch);
    PENSTOCK_TRY_ASSIGN(
        char* out, txn_.append_reserved(table, view(bytes), packed.content.size() + row_overhead));
    encode_row(out, epoch_, table, view(bytes), packed.content,
               {0, true, packed.raw_size, 0, times_.buffer_us});
    events_of(priority) += row.count;
  }
  stream->next.next_seq = row.seq + row.count;
  stream->next.last_id = key.id;
  return {};
}

Result<void> Transaction::put_positions(std::span<const NewPosition> positions) {
  for (const NewPosition& position : positions) {
    const std::string key = encode_position_key(position.owner, position.part);
    if (position.bytes.empty()) {
      PENSTOCK_TRY(txn_.erase(Table::state, key));
      continue;
    }
    PENSTOCK_TRY(
        txn_.put(Table::state, key,
                 encode_position(epoch_, key, {position.owner, position.part, position.bytes})));
  }
  return {};
}

Result<void> Transaction::finish(bool is_clean) {
  for (const Stream* stream : streams_.touched()) {
    const std::string key = encode_stream_key(stream->id);
    PENSTOCK_TRY(
        txn_.put(Table::state, key, encode_stream(epoch_, key, stream->next, stream->name)));
  }
  ++counters_.commit_no;
  counters_.buffer_time_us = times_.buffer_us;
  counters_.is_clean = is_clean;
  PENSTOCK_TRY(txn_.put(Table::state, counters_key, encode_counters(epoch_, counters_)));
  PENSTOCK_TRY_ASSIGN(used_pages_, txn_.pages());
  return {};
}

}  // namespace penstock::buffer
