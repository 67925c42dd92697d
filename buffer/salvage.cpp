#include "buffer/salvage.hpp"

#include <algorithm>
#include <charconv>
#include <tuple>

#include "agent/base/bytes.hpp"
#include "buffer/layout.hpp"

namespace penstock::buffer {
namespace {

constexpr Table row_tables[] = {Table::high, Table::normal, Table::low, Table::parked};

std::optional<DecodedKey> decode_key(Table table, std::string_view key) {
  return table == Table::parked ? decode_parked_key(key) : decode_row_key(key);
}

RowKeyBytes encode_key(Table table, const RowKey& key, RowKind kind) {
  return table == Table::parked ? encode_parked_key(key, kind) : encode_row_key(key, kind);
}

/// The epoch that a batch says in its first event, or 0. Its checksum, made with that epoch, proves
/// it.
std::uint32_t epoch_in(const FoundRecord& record) {
  constexpr std::string_view opening = "\"epoch\":\"";
  constexpr std::size_t digits = 8;
  if (record.key.size() != row_key_size || record.value.size() < row_overhead) return 0;
  Row row;
  row.stored = record.value.substr(0, record.value.size() - row_overhead);
  row.raw_size = load_le<std::uint32_t>(record.value.data() + row.stored.size() + 4);
  const auto content = content_of(row);
  if (!content.ok()) return 0;
  const std::size_t at = content->find(opening);
  if (at == std::string::npos || content->size() < at + opening.size() + digits) return 0;
  const char* const first = content->data() + at + opening.size();
  std::uint32_t epoch = 0;
  const auto read = std::from_chars(first, first + digits, epoch, 16);
  if (read.ec != std::errc() || read.ptr != first + digits) return 0;
  for (const Table table : row_tables) {
    const auto key = decode_key(table, record.key);
    if (key && decode_row(epoch, table, record.key, key->kind, record.value)) return epoch;
  }
  return 0;
}

}  // namespace

Result<Salvage> Salvage::scan(const std::filesystem::path& file,
                              const std::function<bool(std::uint64_t, std::uint64_t)>& progress) {
  PENSTOCK_TRY_ASSIGN(PageScan pages, PageScan::open(file));
  Salvage salvage(std::move(pages));
  PENSTOCK_TRY(salvage.scan_.each(
      [&](const FoundRecord& record) {
        if (record.key != identity_key) return;
        const auto identity = decode_identity(record.value);
        if (!identity) return;
        salvage.epoch_ = identity->epoch;
        salvage.device_ = identity->device;
      },
      [&](std::uint64_t, std::uint64_t) { return salvage.epoch_ == 0; }));
  if (salvage.epoch_ == 0) {
    PENSTOCK_TRY(salvage.scan_.each(
        [&](const FoundRecord& record) {
          if (salvage.epoch_ == 0) salvage.epoch_ = epoch_in(record);
        },
        [&](std::uint64_t, std::uint64_t) { return salvage.epoch_ == 0; }));
  }
  if (salvage.epoch_ == 0) {
    return Error{Errc::corrupt, file.string() + ": nothing in it can be read"};
  }
  salvage.epoch_text_ = buffer::epoch_text(salvage.epoch_);
  PENSTOCK_TRY(
      salvage.scan_.each([&](const FoundRecord& record) { salvage.take(record); }, progress));
  salvage.sort();
  return salvage;
}

void Salvage::take(const FoundRecord& record) {
  if (const auto id = decode_stream_key(record.key)) {
    const auto stream = decode_stream(epoch_, record.key, record.value);
    if (!stream) return;
    // Pages that were used before have older states of it: neither number ever falls.
    StreamFound& known = streams_[*id];
    known.name = stream->name;
    known.next_seq = std::max(known.next_seq, stream->place.next_seq);
    if (stream->has_account) {
      known.first_seq = std::max(known.first_seq.value_or(0), stream->place.account.first_seq);
    }
    return;
  }
  if (record.key.size() != row_key_size) return;
  for (const Table table : row_tables) {
    const auto key = decode_key(table, record.key);
    if (!key || !decode_row(epoch_, table, record.key, key->kind, record.value)) continue;
    places_.push_back({key->key, key->kind, static_cast<std::uint8_t>(table),
                       static_cast<std::uint32_t>(record.value.size()), record.value_at});
    return;
  }
}

void Salvage::sort() {
  const auto order = [](const Place& a, const Place& b) {
    return std::tie(a.key.stream_id, a.key.seq, a.kind, a.key.count) <
           std::tie(b.key.stream_id, b.key.seq, b.kind, b.key.count);
  };
  const auto is_same = [](const Place& a, const Place& b) {
    return a.key.stream_id == b.key.stream_id && a.key.seq == b.key.seq && a.kind == b.kind &&
           a.key.count == b.key.count;
  };
  std::sort(places_.begin(), places_.end(), order);
  places_.erase(std::unique(places_.begin(), places_.end(), is_same), places_.end());
}

Result<Row> Salvage::row(std::size_t index) const {
  const Place& place = places_[index];
  const auto table = static_cast<Table>(place.table);
  PENSTOCK_TRY_ASSIGN(std::string value, scan_.read(place.value_at, place.value_size));
  const RowKeyBytes key = encode_key(table, place.key, place.kind);
  const auto decoded = decode_row(epoch_, table, view(key), place.kind, value);
  if (!decoded) return Error{Errc::corrupt, "the file changes while it is read"};
  Row row;
  row.key = place.key;
  row.kind = place.kind;
  row.loss_reason = decoded->tail.loss_reason;
  row.loss_is_exact = decoded->tail.loss_is_exact;
  row.refusal_code = decoded->tail.refusal_code;
  row.time_unix_us = decoded->tail.time_unix_us;
  row.raw_size = decoded->tail.raw_size;
  row.stored = decoded->content;
  return row;
}

std::string Salvage::stream_name(std::uint32_t stream_id) const {
  const auto found = streams_.find(stream_id);
  return found == streams_.end() ? std::string() : found->second.name;
}

std::uint64_t Salvage::next_seq(std::uint32_t stream_id) const {
  const auto found = streams_.find(stream_id);
  return found == streams_.end() ? 0 : found->second.next_seq;
}

std::optional<std::uint64_t> Salvage::first_seq(std::uint32_t stream_id) const {
  const auto found = streams_.find(stream_id);
  return found == streams_.end() ? std::nullopt : found->second.first_seq;
}

std::vector<std::uint32_t> Salvage::stream_ids() const {
  std::vector<std::uint32_t> ids;
  for (const auto& [id, found] : streams_) ids.push_back(id);
  return ids;
}

}  // namespace penstock::buffer
