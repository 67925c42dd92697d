#include "buffer/transaction.hpp"

#include <algorithm>
#include <utility>

namespace penstock::buffer {
namespace {

constexpr Priority all_priorities[] = {Priority::high, Priority::normal, Priority::low};

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
    // An id that was never given is damaged, and must not keep all behind it.
    if (row && row->key.id > acked && row->key.id < counters_.next_id) return {};
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
    } else if (row) {
      forget_row(*row, cursor.value().size());
      const std::uint64_t events = row->kind == RowKind::batch ? row->key.count : 0;
      events_of(priority) -= std::min(events_of(priority), events);
    }
    PENSTOCK_TRY(cursor.erase());
  }
}

void Transaction::forget_row(const DecodedKey& row, std::size_t value_size) {
  Stream* stream = streams_.find(row.key.stream_id);
  if (stream == nullptr) return;
  streams_.add_rows(*stream, -1, -static_cast<std::int64_t>(row_space(value_size, page_size_)));
  // A damaged key says anything: what was trimmed before would be told as missing after a restart.
  const std::uint64_t end = row.key.seq + row.key.count;
  std::uint64_t& first_seq = stream->next.account.first_seq;
  if (row.key.seq >= first_seq && end <= stream->next.next_seq) first_seq = end;
}

void Transaction::change_classes(std::span<const PackedRow> rows) {
  for (const PackedRow& packed : rows) {
    Stream* stream = streams_.find(packed.row->stream_id);
    PENSTOCK_ASSERT(stream != nullptr);
    if (stream->next.priority == stream->wanted || stream->next.account.rows != 0) continue;
    if (find_parked(stream->id) != nullptr) continue;
    streams_.touch(*stream);
    stream->next.priority = stream->wanted;
  }
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
  stream->next.next_seq = row.seq + row.count;
  const Priority priority = stream->next.priority;
  const Table table = table_of(priority);
  PENSTOCK_TRY_ASSIGN(const bool is_parked, goes_to_parked(*stream));
  RowKey key{counters_.next_id++, row.stream_id, row.seq, row.count};
  if (packed.kind != row.kind) stream->next.account.dropped += row.count;
  if (is_parked) {
    PENSTOCK_TRY(append_parked(packed, key, *stream));
    if (packed.kind == RowKind::batch) events_of(priority) += row.count;
  } else if (packed.kind == RowKind::loss) {
    const bool is_from_source = row.kind == RowKind::loss;
    Loss loss{packed.loss_reason, packed.loss_is_exact,
              is_from_source ? row.time_unix_us : times_.wall_us};
    PENSTOCK_TRY(merge(priority, stream->next.last_id, stream->losses_behind, loss, key, *stream));
    PENSTOCK_TRY(put_loss(priority, key, loss, *stream));
  } else {
    const RowKeyBytes bytes = encode_row_key(key, RowKind::batch);
    const std::size_t value_size = packed.content.size() + row_overhead;
    PENSTOCK_TRY_ASSIGN(char* out, txn_.append_reserved(table, view(bytes), value_size));
    streams_.add_rows(*stream, 1, static_cast<std::int64_t>(row_space(value_size, page_size_)));
    encode_row(out, epoch_, table, view(bytes), packed.content,
               {0, true, packed.raw_size, 0, times_.buffer_us});
    events_of(priority) += row.count;
    stream->losses_behind = 0;
  }
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
    PENSTOCK_TRY(txn_.replace(
        Table::state, key,
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
