// Accounts for files of format 1, which have none.
#include <unordered_map>

#include "buffer/file.hpp"

namespace penstock::buffer {

Result<void> count_rows(Env& env, State& state) {
  std::unordered_map<std::uint32_t, StreamPlace*> places;
  for (auto& [id, record] : state.streams) {
    record.place.account = {0, 0, record.place.next_seq, 0, 0};
    places.emplace(id, &record.place);
  }
  PENSTOCK_TRY_ASSIGN(Txn txn, env.begin_read());
  for (const Table table : {Table::parked, Table::high, Table::normal, Table::low}) {
    PENSTOCK_TRY_ASSIGN(Cursor cursor, Cursor::open(txn, table));
    PENSTOCK_TRY_ASSIGN(bool found, cursor.first());
    while (found) {
      const auto row =
          table == Table::parked ? decode_parked_key(cursor.key()) : decode_row_key(cursor.key());
      const auto place = row ? places.find(row->key.stream_id) : places.end();
      if (place != places.end()) {
        StreamAccount& account = place->second->account;
        if (account.rows == 0) account.first_seq = row->key.seq;
        ++account.rows;
        account.bytes += row_space(cursor.value().size(), env.page_size());
      }
      PENSTOCK_TRY_ASSIGN(found, cursor.next());
    }
  }
  return {};
}

}  // namespace penstock::buffer
