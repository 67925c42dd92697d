// Rows that a person takes out: loss records with a reason of their own come in their place.
#include <algorithm>

#include "agent/base/wire.hpp"
#include "buffer/transaction.hpp"

namespace penstock::buffer {

Result<PurgeReport> Transaction::purge(std::span<const RowPlace> rows) {
  PurgeReport report;
  for (const RowPlace& place : rows) {
    Stream* stream = streams_.find(place.key.stream_id);
    if (stream == nullptr) continue;
    const Table table = place.is_parked ? Table::parked : table_of(place.priority);
    const ParkedStream* parked = parked_of(place.key.stream_id);
    const ClassMarks& marks = marks_of(place.priority);
    const std::uint64_t handed_over = !place.is_parked    ? std::max(marks.pinned, marks.acked)
                                      : parked == nullptr ? 0
                                                          : std::max(parked->pinned, parked->acked);
    if (place.key.id <= handed_over) continue;
    const RowKeyBytes key = place.is_parked ? encode_parked_key(place.key, RowKind::batch)
                                            : encode_row_key(place.key, RowKind::batch);
    PENSTOCK_TRY_ASSIGN(Cursor cursor, Cursor::open(txn_, table));
    PENSTOCK_TRY_ASSIGN(const bool found, cursor.seek(view(key)));
    if (!found || cursor.key() != view(key)) continue;
    ++report.rows;
    const DecodedKey row{place.key, RowKind::batch};
    PENSTOCK_TRY_ASSIGN(const bool is_sound, is_whole(table, cursor, row, *stream));
    if (!is_sound) {
      PENSTOCK_TRY(take_out_damaged(cursor, row));
      continue;
    }
    report.events += place.key.count;
    if (place.is_parked) {
      PENSTOCK_TRY(lose_parked(cursor, place.key, *stream, LossReason::purged));
    } else {
      PENSTOCK_TRY(replace_by_loss(place.priority, cursor, place.key, *stream, LossReason::purged));
    }
  }
  return report;
}

}  // namespace penstock::buffer
