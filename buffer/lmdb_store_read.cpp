// What is read from the store: each function takes one turn, or many short ones, and copies out.
#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <unordered_map>

#include "buffer/lmdb_store.hpp"

namespace penstock::buffer {
namespace {

constexpr std::size_t rows_per_turn = 16;
constexpr std::size_t problems_max = 100;
constexpr Table row_tables[] = {Table::parked, Table::high, Table::normal, Table::low};

bool is_position(std::string_view key) { return !key.empty() && key[0] == position_prefix; }

std::optional<DecodedKey> decode_key(Table table, std::string_view key) {
  return table == Table::parked ? decode_parked_key(key) : decode_row_key(key);
}

/// The smallest key behind this one.
RowKeyBytes behind(std::string_view key) {
  RowKeyBytes bytes = {};
  std::copy_n(key.begin(), std::min(key.size(), bytes.size()), bytes.begin());
  for (std::size_t i = bytes.size(); i-- > 0;) {
    bytes[i] = static_cast<char>(static_cast<unsigned char>(bytes[i]) + 1);
    if (bytes[i] != 0) break;
  }
  return bytes;
}

}  // namespace

void unpack(Row& row, std::uint32_t epoch) {
  const Table table = row.is_parked ? Table::parked : table_of(row.priority);
  const RowKeyBytes key =
      row.is_parked ? encode_parked_key(row.key, row.kind) : encode_row_key(row.key, row.kind);
  const auto decoded = decode_row(epoch, table, view(key), row.kind, row.stored);
  if (!decoded) {
    row.is_damaged = true;
    row.stored.clear();
    return;
  }
  row.loss_reason = decoded->tail.loss_reason;
  row.loss_is_exact = decoded->tail.loss_is_exact;
  row.refusal_code = decoded->tail.refusal_code;
  row.time_unix_us = decoded->tail.time_unix_us;
  row.raw_size = decoded->tail.raw_size;
  row.stored.resize(decoded->content.size());
}

Result<Txn> LmdbStore::begin_read() const {
  if (env_) return env_->begin_read();
  if (only_read_) return only_read_->begin_read();
  return Error{Errc::unavailable, "the buffer is being opened again"};
}

Result<std::vector<Row>> LmdbStore::rows_after(Priority priority, std::uint64_t after_id,
                                               std::size_t bytes_max) const {
  auto rows = read_rows(priority, after_id, bytes_max, true);
  note_reading(rows);
  return rows;
}

Result<std::vector<Row>> LmdbStore::peek_after(Priority priority, std::uint64_t after_id,
                                               std::size_t bytes_max) const {
  return read_rows(priority, after_id, bytes_max, false);
}

bool LmdbStore::is_whole(const DecodedKey& row, Table table, const Cursor& cursor) const {
  return decode_row(epoch_, table, cursor.key(), row.kind, cursor.value()).has_value();
}

Result<std::vector<Row>> LmdbStore::read_rows(Priority priority, std::uint64_t after_id,
                                              std::size_t bytes_max, bool pins) const {
  std::vector<Row> rows;
  {
    const std::lock_guard turn(turn_);
    PENSTOCK_TRY_ASSIGN(Txn txn, begin_read());
    PENSTOCK_TRY_ASSIGN(Cursor cursor, Cursor::open(txn, table_of(priority)));
    const std::uint64_t durable = durable_id_;
    std::size_t bytes = 0;
    std::uint64_t last_id = after_id;
    PENSTOCK_TRY_ASSIGN(bool found, cursor.seek(view(first_key_from(after_id + 1))));
    while (found) {
      const auto decoded = decode_row_key(cursor.key());
      const std::string_view value = cursor.value();
      if (decoded && decoded->key.id > durable && is_whole(*decoded, table_of(priority), cursor)) {
        break;
      }
      if (decoded && decoded->key.id <= last_id && decoded->key.id > after_id &&
          is_whole(*decoded, table_of(priority), cursor)) {
        // It is not this one that is out of order.
        while (!rows.empty() && rows.back().key.id >= decoded->key.id) rows.pop_back();
        last_id = decoded->key.id - 1;
      }
      // A key out of order is damaged: what it says is not passed on, and nothing stops at it.
      if (decoded && decoded->key.id > last_id && decoded->key.id <= durable) {
        last_id = decoded->key.id;
        bytes += value.size();
        if (!rows.empty() && bytes > bytes_max) break;
        Row& row = rows.emplace_back();
        row.key = decoded->key;
        row.priority = priority;
        row.kind = decoded->kind;
        if (value.size() <= row_value_max) row.stored = value;
      }
      PENSTOCK_TRY_ASSIGN(found, cursor.next());
    }
    if (pins && !rows.empty()) {
      auto& pinned = pinned_[static_cast<std::size_t>(priority)];
      pinned = std::max(pinned.load(), rows.back().key.id);
    }
  }
  for (Row& row : rows) unpack(row, epoch_);
  return rows;
}

Result<std::optional<std::string>> LmdbStore::position(std::string_view owner,
                                                       std::string_view part) const {
  const std::string key = encode_position_key(owner, part);
  const std::lock_guard turn(turn_);
  if (undecided_) return Error{Errc::unavailable, "a commit is undecided"};
  PENSTOCK_TRY_ASSIGN(Txn txn, begin_read());
  PENSTOCK_TRY_ASSIGN(const auto value, txn.get(Table::state, key));
  if (!value) return std::optional<std::string>();
  const auto record = decode_position(epoch_, key, *value);
  if (!record || record->owner != owner || record->part != part) {
    return Error{Errc::corrupt, "the stored position is damaged"};
  }
  return std::optional<std::string>(record->bytes);
}

/// In one turn; nullptr: a damaged one.
Result<void> LmdbStore::visit_positions(
    std::string_view prefix, const std::function<void(const PositionRecord*)>& visit) const {
  const std::lock_guard turn(turn_);
  if (undecided_) return Error{Errc::unavailable, "a commit is undecided"};
  PENSTOCK_TRY_ASSIGN(Txn txn, begin_read());
  PENSTOCK_TRY_ASSIGN(Cursor cursor, Cursor::open(txn, Table::state));
  PENSTOCK_TRY_ASSIGN(bool found, cursor.seek(prefix));
  while (found && cursor.key().substr(0, prefix.size()) == prefix) {
    const auto record = decode_position(epoch_, cursor.key(), cursor.value());
    visit(record ? &*record : nullptr);
    PENSTOCK_TRY_ASSIGN(found, cursor.next());
  }
  return {};
}

Result<std::vector<std::string>> LmdbStore::position_parts(std::string_view owner) const {
  std::vector<std::string> parts;
  PENSTOCK_TRY(visit_positions(encode_owner_key(owner), [&](const PositionRecord* record) {
    if (record != nullptr && record->owner == owner) parts.emplace_back(record->part);
  }));
  return parts;
}

Result<std::uint64_t> LmdbStore::damaged_positions(std::string_view owner) const {
  std::uint64_t damaged = 0;
  PENSTOCK_TRY(visit_positions(encode_owner_key(owner), [&](const PositionRecord* record) {
    if (record == nullptr) ++damaged;
  }));
  return damaged;
}

Result<std::vector<std::array<std::string, 3>>> LmdbStore::positions() const {
  std::vector<std::array<std::string, 3>> all;
  PENSTOCK_TRY(visit_positions({&position_prefix, 1}, [&](const PositionRecord* record) {
    if (record == nullptr) return;
    all.push_back(
        {std::string(record->owner), std::string(record->part), std::string(record->bytes)});
  }));
  return all;
}

StoreStats LmdbStore::stats() const {
  const std::lock_guard turn(turn_);
  StoreStats stats;
  stats.epoch = epoch_text_;
  stats.device = identity_.device;
  stats.live_bytes = used_pages_ * page_size_;
  stats.max_size = options_.max_size;
  stats.map_bytes = map_bytes_;
  stats.commits = commits_;
  stats.dropped_events = dropped_events_;
  stats.expired_events = expired_events_;
  stats.written_bytes = written_bytes_;
  stats.streams = static_cast<std::uint32_t>(streams_.size());
  for (const std::uint64_t events : counters_.events) stats.events += events;
  stats.file_bytes = file_bytes();
  auto txn = begin_read();
  if (!txn.ok()) return stats;
  const std::uint64_t now = buffer_time_us();
  for (const Table table : row_tables) {
    if (!txn->has(table)) continue;
    const auto entries = txn->entries(table);
    auto cursor = Cursor::open(*txn, table);
    if (!entries.ok() || !cursor.ok()) return stats;
    stats.rows += *entries;
    if (table == Table::parked) stats.parked_rows = *entries;
    const auto found = cursor->first();
    const auto key = found.ok() && *found ? decode_key(table, cursor->key()) : std::nullopt;
    if (!key || cursor->value().size() > row_value_max) continue;
    const auto row = decode_row(epoch_, table, cursor->key(), key->kind, cursor->value());
    if (!row || row->tail.buffer_time_us > now) continue;
    stats.oldest_age_s = std::max(stats.oldest_age_s, (now - row->tail.buffer_time_us) / 1'000'000);
  }
  return stats;
}

template <typename Visitor>
Result<bool> LmdbStore::visit_rows(Table table, RowKeyBytes& from, std::size_t rows_max,
                                   Visitor visit) const {
  const std::lock_guard turn(turn_);
  PENSTOCK_TRY_ASSIGN(Txn txn, begin_read());
  if (!txn.has(table)) return false;
  PENSTOCK_TRY_ASSIGN(Cursor cursor, Cursor::open(txn, table));
  PENSTOCK_TRY_ASSIGN(bool found, cursor.seek(view(from)));
  for (std::size_t i = 0; found && i < rows_max; ++i) {
    const auto row = decode_key(table, cursor.key());
    from = behind(cursor.key());
    if (!row || row->key.id <= durable_id_) visit(row, cursor.value());
    PENSTOCK_TRY_ASSIGN(found, cursor.next());
  }
  return found;
}

Result<std::vector<StreamStats>> LmdbStore::stream_stats() const {
  std::vector<StreamStats> all;
  const std::lock_guard turn(turn_);
  streams_.for_each([&](const Stream& stream) {
    const StreamAccount& account = stream.stored.account;
    all.push_back({stream.name,
                   {stream.id, stream.stored.next_seq, stream.stored.priority},
                   account.rows,
                   account.first_seq,
                   account.bytes,
                   account.dropped,
                   account.expired});
  });
  std::sort(all.begin(), all.end(),
            [](const StreamStats& a, const StreamStats& b) { return a.name < b.name; });
  return all;
}

std::vector<GroupStats> LmdbStore::group_stats() const {
  std::map<std::string_view, GroupStats> groups;
  const std::lock_guard turn(turn_);
  streams_.for_each([&](const Stream& stream) {
    GroupStats& group = groups[stream.group->name];
    group.name = stream.group->name;
    group.share_bytes_max = stream.group->policy.share_bytes_max;
    const StreamAccount& account = stream.stored.account;
    ++group.streams;
    group.rows += account.rows;
    group.bytes += account.bytes;
    group.dropped_events += account.dropped;
    group.expired_events += account.expired;
  });
  std::vector<GroupStats> all;
  for (auto& [name, group] : groups) all.push_back(std::move(group));
  return all;
}

struct LmdbStore::Tally {
  struct Place {
    std::uint64_t next_seq = 0;
    Priority priority = Priority::normal;
    std::uint64_t first_seq = 0;
    std::uint64_t rows = 0;
    std::uint64_t bytes = 0;
  };
  VerifyReport report;
  std::unordered_map<std::uint32_t, Place> places;
  std::array<std::uint64_t, priority_count> events = {};
  std::vector<std::string> moving;  // true only if nothing was committed meanwhile

  static void note(std::vector<std::string>& problems, std::string text) {
    if (problems.size() < problems_max) problems.push_back(std::move(text));
  }
};

void LmdbStore::check_row(Table table, const DecodedKey& decoded, std::string_view value,
                          Tally& tally) const {
  Row row;
  row.key = decoded.key;
  row.kind = decoded.kind;
  row.is_parked = table == Table::parked;
  if (row.is_parked) {
    const Stream* stream = streams_.find(row.key.stream_id);
    if (stream != nullptr) row.priority = stream->stored.priority;
  } else {
    row.priority = static_cast<Priority>(index_of(table) - 1);
  }
  const Priority priority = row.priority;
  if (value.size() <= row_value_max) row.stored = value;
  unpack(row, epoch_);
  if (!row.is_damaged && row.kind == RowKind::batch) row.is_damaged = !content_of(row).ok();
  const std::string range = fmt::format("stream {}, numbers {} to {}", row.key.stream_id,
                                        row.key.seq, row.key.seq + row.key.count - 1);
  if (row.is_damaged) {
    ++tally.report.damaged_rows;
    Tally::note(tally.report.problems, fmt::format("row {} ({}) is damaged", row.key.id, range));
  }
  if (row.kind == RowKind::batch) {
    tally.events[static_cast<std::size_t>(priority)] += row.key.count;
  }
  const auto [place, is_first] = tally.places.try_emplace(row.key.stream_id);
  if (!is_first && (place->second.next_seq != row.key.seq || place->second.priority != priority)) {
    Tally::note(tally.moving, fmt::format("row {} ({}) does not continue its stream at {}",
                                          row.key.id, range, place->second.next_seq));
  }
  Tally::Place& stream = place->second;
  if (is_first) stream.first_seq = row.key.seq;
  stream.next_seq = row.key.seq + row.key.count;
  stream.priority = priority;
  ++stream.rows;
  stream.bytes += row_space(value.size(), page_size_);
}

Result<void> LmdbStore::check_state(Tally& tally) const {
  const std::lock_guard turn(turn_);
  PENSTOCK_TRY_ASSIGN(Txn txn, begin_read());
  PENSTOCK_TRY_ASSIGN(Cursor cursor, Cursor::open(txn, Table::state));
  PENSTOCK_TRY_ASSIGN(bool found, cursor.seek({&position_prefix, 1}));
  while (found && is_position(cursor.key())) {
    if (!decode_position(epoch_, cursor.key(), cursor.value())) {
      Tally::note(tally.report.problems, "a position is damaged");
    }
    PENSTOCK_TRY_ASSIGN(found, cursor.next());
  }
  streams_.for_each([&](const Stream& stream) {
    const auto seen = tally.places.find(stream.id);
    const Tally::Place counted = seen == tally.places.end() ? Tally::Place{} : seen->second;
    const StreamAccount& account = stream.stored.account;
    if (account.rows != counted.rows || account.bytes != counted.bytes ||
        (counted.rows != 0 && account.first_seq != counted.first_seq)) {
      Tally::note(tally.moving,
                  fmt::format("stream {} has {} rows of {} bytes from {} on, its account says {} "
                              "of {} from {} on",
                              stream.id, counted.rows, counted.bytes, counted.first_seq,
                              account.rows, account.bytes, account.first_seq));
    }
    if (seen == tally.places.end()) return;
    if (seen->second.next_seq != stream.stored.next_seq) {
      Tally::note(tally.moving, fmt::format("stream {} ends at {}, its counter says {}", stream.id,
                                            seen->second.next_seq, stream.stored.next_seq));
    }
  });
  for (const auto& [id, place] : tally.places) {
    if (streams_.name_of(id).empty()) {
      Tally::note(tally.report.problems, fmt::format("stream {} has rows and no record", id));
    }
  }
  if (tally.events != counters_.events) {
    Tally::note(tally.moving, "the counters of events are wrong");
  }
  return {};
}

Result<Store::VerifyReport> LmdbStore::verify(
    const std::function<bool(std::uint64_t, std::uint64_t)>& progress) const {
  const auto commit_no = [&] {
    const std::lock_guard turn(turn_);
    return counters_.commit_no;
  };
  const std::uint64_t commit_no_before = commit_no();
  const std::uint64_t total = stats().rows;
  Tally tally;
  for (const Table table : row_tables) {
    RowKeyBytes from = {};
    for (bool has_more = true; has_more;) {
      PENSTOCK_TRY_ASSIGN(
          has_more,
          visit_rows(table, from, rows_per_turn, [&](const auto& row, std::string_view value) {
            ++tally.report.rows;
            if (row) return check_row(table, *row, value, tally);
            ++tally.report.damaged_rows;
            Tally::note(tally.report.problems, "a row's key is damaged");
          }));
      if (progress && !progress(tally.report.rows, total)) return tally.report;
    }
  }
  PENSTOCK_TRY(check_state(tally));
  if (commit_no() == commit_no_before) {
    for (std::string& problem : tally.moving) Tally::note(tally.report.problems, problem);
  }
  return tally.report;
}

}  // namespace penstock::buffer
