// The store's side of parked streams.
#include "buffer/lmdb_store.hpp"

namespace penstock::buffer {

std::vector<std::uint32_t> LmdbStore::streams() const {
  std::vector<std::uint32_t> out;
  for (const ParkedStream& stream : parked_.all()) {
    if (!stream.is_leaving) out.push_back(stream.stream_id);
  }
  return out;
}

Result<void> LmdbStore::find_parked(Txn& txn) {
  if (!txn.has(Table::parked)) return {};
  PENSTOCK_TRY_ASSIGN(Cursor cursor, Cursor::open(txn, Table::parked));
  PENSTOCK_TRY_ASSIGN(bool found, cursor.first());
  while (found) {
    const auto row = decode_parked_key(cursor.key());
    if (!row) {
      PENSTOCK_TRY_ASSIGN(found, cursor.next());
      continue;
    }
    parked_.found(row->key.stream_id);
    if (row->key.stream_id == UINT32_MAX) break;
    PENSTOCK_TRY_ASSIGN(found, cursor.seek(view(first_parked_key(row->key.stream_id + 1, 0))));
  }
  return {};
}

void LmdbStore::park(std::uint32_t stream_id, std::uint64_t from_id) {
  parked_.park(stream_id, from_id);
}

void LmdbStore::refuse(std::uint32_t stream_id, std::uint64_t id, std::uint8_t code) {
  parked_.refuse(stream_id, id, code);
}

Result<std::vector<Row>> LmdbStore::rows_after(std::uint32_t stream_id, std::uint64_t after_id,
                                               std::size_t bytes_max) const {
  auto rows = read_parked(stream_id, after_id, bytes_max, true);
  note_reading(rows);
  return rows;
}

Result<std::vector<Row>> LmdbStore::peek_after(std::uint32_t stream_id, std::uint64_t after_id,
                                               std::size_t bytes_max) const {
  return read_parked(stream_id, after_id, bytes_max, false);
}

Result<std::vector<Row>> LmdbStore::read_parked(std::uint32_t stream_id, std::uint64_t after_id,
                                                std::size_t bytes_max, bool pins) const {
  std::vector<Row> rows;
  {
    const std::lock_guard turn(turn_);
    PENSTOCK_TRY_ASSIGN(Txn txn, begin_read());
    if (!txn.has(Table::parked)) return rows;
    PENSTOCK_TRY_ASSIGN(Cursor cursor, Cursor::open(txn, Table::parked));
    const Stream* stream = streams_.find(stream_id);
    std::size_t bytes = 0;
    std::uint64_t last_id = after_id;
    PENSTOCK_TRY_ASSIGN(bool found, cursor.seek(view(first_parked_key(stream_id, after_id + 1))));
    while (found && is_parked_key_of(cursor.key(), stream_id)) {
      const auto decoded = decode_parked_key(cursor.key());
      const std::uint64_t id = decoded ? decoded->key.id : 0;
      if (id > durable_id_ && is_whole(*decoded, Table::parked, cursor)) break;
      if (id <= last_id || id > durable_id_) {
        // It cannot be, or is out of order: its key is damaged.
        PENSTOCK_TRY_ASSIGN(found, cursor.next());
        continue;
      }
      last_id = id;
      bytes += cursor.value().size();
      if (!rows.empty() && bytes > bytes_max) break;
      Row& row = rows.emplace_back();
      row.key = decoded->key;
      row.priority = stream == nullptr ? Priority::normal : stream->stored.priority;
      row.kind = decoded->kind;
      row.is_parked = true;
      if (cursor.value().size() <= row_value_max) row.stored = cursor.value();
      PENSTOCK_TRY_ASSIGN(found, cursor.next());
    }
    if (pins && !rows.empty()) parked_.pin(stream_id, rows.back().key.id);
  }
  for (Row& row : rows) unpack(row, epoch_);
  return rows;
}

void LmdbStore::acknowledge(std::uint32_t stream_id, std::uint64_t id) {
  parked_.acknowledge(stream_id, std::min(id, durable_id_.load()));
}

void LmdbStore::unpin() {
  parked_.unpin();
  // What was pinned may have come of age meanwhile.
  next_expiry_us_ = 0;
}

Result<bool> LmdbStore::unpark(std::uint32_t stream_id, std::uint64_t moved_to) {
  const std::lock_guard turn(turn_);
  const auto parked = parked_.find(stream_id);
  if (!parked) return true;
  const Stream* stream = streams_.find(stream_id);
  if (undecided_ || stream == nullptr) return false;
  if (trimmed_[static_cast<std::size_t>(stream->stored.priority)] < moved_to) return false;
  PENSTOCK_TRY_ASSIGN(Txn txn, begin_read());
  if (txn.has(Table::parked)) {
    PENSTOCK_TRY_ASSIGN(Cursor cursor, Cursor::open(txn, Table::parked));
    PENSTOCK_TRY_ASSIGN(bool found,
                        cursor.seek(view(first_parked_key(stream_id, parked->acked + 1))));
    while (found && is_parked_key_of(cursor.key(), stream_id)) {
      const auto row = decode_parked_key(cursor.key());
      if (row && row->key.id <= durable_id_) return false;
      PENSTOCK_TRY_ASSIGN(found, cursor.next());
    }
  }
  parked_.leave(stream_id);
  return true;
}

}  // namespace penstock::buffer
