#include "buffer/layout.hpp"

#include <fmt/core.h>

#include <algorithm>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "agent/base/bytes.hpp"

namespace penstock::buffer {
namespace {

constexpr std::size_t checksum_size = 8;
constexpr std::size_t key_size_max = 64;
constexpr std::uint32_t loss_bit = 0x8000'0000;
constexpr std::uint8_t exact_flag = 1;

std::uint64_t checksum(std::uint32_t epoch, Table table, std::string_view key,
                       std::string_view value) {
  PENSTOCK_ASSERT(key.size() <= key_size_max);
  char place[5 + key_size_max];
  store_le(place, epoch);
  place[4] = static_cast<char>(table);
  std::memcpy(place + 5, key.data(), key.size());
  const std::uint64_t seed = XXH3_64bits(place, 5 + key.size());
  return XXH3_64bits_withSeed(value.data(), value.size(), seed);
}

void seal(std::string& value, std::uint32_t epoch, std::string_view key) {
  char bytes[checksum_size];
  store_le(bytes, checksum(epoch, Table::state, key, value));
  value.append(bytes, sizeof bytes);
}

std::optional<std::string_view> unseal(std::uint32_t epoch, Table table, std::string_view key,
                                       std::string_view value) {
  if (value.size() < checksum_size || key.size() > key_size_max) return std::nullopt;
  const std::string_view body = value.substr(0, value.size() - checksum_size);
  const auto stored = load_le<std::uint64_t>(value.data() + body.size());
  if (stored != checksum(epoch, table, key, body)) return std::nullopt;
  return body;
}

class Writer {
 public:
  template <typename T>
  Writer& number(T value) {
    char bytes[sizeof(T)];
    store_le(bytes, value);
    out_.append(bytes, sizeof bytes);
    return *this;
  }
  Writer& text(std::string_view value) {
    number(static_cast<std::uint32_t>(value.size()));
    out_.append(value);
    return *this;
  }
  std::string sealed(std::uint32_t epoch, std::string_view key) {
    seal(out_, epoch, key);
    return std::move(out_);
  }

 private:
  std::string out_;
};

/// Reads what Writer wrote; never past the end. Once something was missing, all else is too.
class Reader {
 public:
  explicit Reader(std::string_view in) : in_(in) {}

  template <typename T>
  T number() {
    const std::string_view bytes = take(sizeof(T));
    return bytes.size() == sizeof(T) ? load_le<T>(bytes.data()) : T{};
  }
  std::string_view text() { return take(number<std::uint32_t>()); }
  /// Whether everything was there and nothing is left.
  bool is_done() const { return is_whole_ && in_.empty(); }

 private:
  std::string_view take(std::size_t size) {
    if (!is_whole_ || size > in_.size()) {
      is_whole_ = false;
      return {};
    }
    const std::string_view taken = in_.substr(0, size);
    in_.remove_prefix(size);
    return taken;
  }

  std::string_view in_;
  bool is_whole_ = true;
};

std::optional<Identity> parse_identity(std::string_view body) {
  Reader in(body);
  Identity identity;
  identity.format = in.number<std::uint32_t>();
  identity.epoch = in.number<std::uint32_t>();
  identity.created_unix_us = in.number<std::int64_t>();
  identity.device = in.text();
  identity.machine_id = in.text();
  if (!in.is_done() || identity.format == 0 || identity.format > format_version) {
    return std::nullopt;
  }
  return identity;
}

}  // namespace

RowKeyBytes encode_row_key(const RowKey& key, RowKind kind) {
  PENSTOCK_ASSERT(key.count >= 1 && key.count <= row_count_max);
  RowKeyBytes bytes;
  store_be(bytes.data(), key.id);
  store_be(bytes.data() + 8, key.stream_id);
  store_be(bytes.data() + 12, key.seq);
  store_be(bytes.data() + 20, kind == RowKind::loss ? key.count | loss_bit : key.count);
  return bytes;
}

RowKeyBytes first_key_from(std::uint64_t id) {
  RowKeyBytes bytes = {};
  store_be(bytes.data(), id);
  return bytes;
}

std::optional<DecodedKey> decode_row_key(std::string_view bytes) {
  if (bytes.size() != row_key_size) return std::nullopt;
  const auto count = load_be<std::uint32_t>(bytes.data() + 20);
  DecodedKey decoded;
  decoded.key.id = load_be<std::uint64_t>(bytes.data());
  decoded.key.stream_id = load_be<std::uint32_t>(bytes.data() + 8);
  decoded.key.seq = load_be<std::uint64_t>(bytes.data() + 12);
  decoded.key.count = count & row_count_max;
  decoded.kind = (count & loss_bit) != 0 ? RowKind::loss : RowKind::batch;
  if (decoded.key.id == 0 || decoded.key.count == 0) return std::nullopt;
  return decoded;
}

RowKeyBytes encode_parked_key(const RowKey& key, RowKind kind) {
  const RowKeyBytes usual = encode_row_key(key, kind);
  RowKeyBytes bytes = usual;
  std::copy_n(usual.begin() + 8, 4, bytes.begin());
  std::copy_n(usual.begin(), 8, bytes.begin() + 4);
  return bytes;
}

RowKeyBytes first_parked_key(std::uint32_t stream_id, std::uint64_t id) {
  RowKeyBytes bytes = {};
  store_be(bytes.data(), stream_id);
  store_be(bytes.data() + 4, id);
  return bytes;
}

std::optional<DecodedKey> decode_parked_key(std::string_view bytes) {
  if (bytes.size() != row_key_size) return std::nullopt;
  RowKeyBytes usual;
  std::copy_n(bytes.begin() + 4, 8, usual.begin());
  std::copy_n(bytes.begin(), 4, usual.begin() + 8);
  std::copy(bytes.begin() + 12, bytes.end(), usual.begin() + 12);
  return decode_row_key(view(usual));
}

bool is_parked_key_of(std::string_view bytes, std::uint32_t stream_id) {
  return bytes.size() == row_key_size && load_be<std::uint32_t>(bytes.data()) == stream_id;
}

void encode_row(char* out, std::uint32_t epoch, Table table, std::string_view key,
                std::string_view content, const RowTail& tail) {
  if (!content.empty()) std::memcpy(out, content.data(), content.size());
  char* at = out + content.size();
  at[0] = static_cast<char>(tail.loss_reason);
  at[1] = static_cast<char>(tail.loss_is_exact ? exact_flag : 0);
  at[2] = static_cast<char>(tail.refusal_code);
  at[3] = 0;
  store_le(at + 4, tail.raw_size);
  store_le(at + 8, tail.time_unix_us);
  store_le(at + 16, tail.buffer_time_us);
  const std::size_t covered = content.size() + row_overhead - checksum_size;
  store_le(out + covered, checksum(epoch, table, key, {out, covered}));
}

std::optional<DecodedRow> decode_row(std::uint32_t epoch, Table table, std::string_view key,
                                     RowKind kind, std::string_view value) {
  if (value.size() < row_overhead) return std::nullopt;
  if (!unseal(epoch, table, key, value)) return std::nullopt;
  DecodedRow row;
  row.content = value.substr(0, value.size() - row_overhead);
  const char* at = value.data() + row.content.size();
  row.tail.loss_reason = static_cast<std::uint8_t>(at[0]);
  row.tail.loss_is_exact = (static_cast<std::uint8_t>(at[1]) & exact_flag) != 0;
  row.tail.refusal_code = static_cast<std::uint8_t>(at[2]);
  row.tail.raw_size = load_le<std::uint32_t>(at + 4);
  row.tail.time_unix_us = load_le<std::int64_t>(at + 8);
  row.tail.buffer_time_us = load_le<std::uint64_t>(at + 16);
  const bool is_sound = kind == RowKind::batch ? row.tail.raw_size <= row_content_max
                                               : row.content.empty() && row.tail.loss_reason != 0;
  if (!is_sound) return std::nullopt;
  return row;
}

std::uint64_t row_space(std::size_t value_size, std::size_t page_size) {
  // LMDB keeps a value in its leaf only if two such entries fit into a page.
  constexpr std::size_t page_header = 16;
  constexpr std::size_t node_header = 8 + row_key_size + 2;
  const std::size_t node_max = (page_size - page_header) / 2 - 2;
  if (node_header + value_size <= node_max) return node_header + value_size;
  const std::size_t pages = (value_size + page_header + page_size - 1) / page_size;
  return node_header + 8 + pages * page_size;
}

std::string encode_stream_key(std::uint32_t stream_id) {
  std::string key(5, stream_prefix);
  store_be(key.data() + 1, stream_id);
  return key;
}

std::optional<std::uint32_t> decode_stream_key(std::string_view key) {
  if (key.size() != 5 || key[0] != stream_prefix) return std::nullopt;
  return load_be<std::uint32_t>(key.data() + 1);
}

std::string encode_owner_key(std::string_view owner) {
  std::string key(9, position_prefix);
  store_be(key.data() + 1, hash_of(owner));
  return key;
}

std::string encode_position_key(std::string_view owner, std::string_view part) {
  std::string key = encode_owner_key(owner);
  const std::uint64_t seed = hash_of(owner);
  const XXH128_hash_t hash = XXH3_128bits_withSeed(part.data(), part.size(), seed);
  char bytes[16];
  store_be(bytes, std::uint64_t{hash.high64});
  store_be(bytes + 8, std::uint64_t{hash.low64});
  return key.append(bytes, sizeof bytes);
}

std::string encode_identity(const Identity& identity) {
  return Writer()
      .number(identity.format)
      .number(identity.epoch)
      .number(identity.created_unix_us)
      .text(identity.device)
      .text(identity.machine_id)
      .sealed(identity.epoch, identity_key);
}

std::optional<Identity> decode_identity(std::string_view value) {
  const auto body = unseal(epoch_of(value), Table::state, identity_key, value);
  return body ? parse_identity(*body) : std::nullopt;
}

bool is_identity_whole(std::string_view value) {
  return unseal(epoch_of(value), Table::state, identity_key, value).has_value();
}

std::uint32_t format_of(std::string_view identity_value) {
  return identity_value.size() < 4 ? 0 : load_le<std::uint32_t>(identity_value.data());
}

std::uint32_t epoch_of(std::string_view identity_value) {
  return identity_value.size() < 8 ? 0 : load_le<std::uint32_t>(identity_value.data() + 4);
}

std::string encode_counters(std::uint32_t epoch, const Counters& counters) {
  Writer out;
  out.number(counters.commit_no).number(counters.next_id).number(counters.buffer_time_us);
  out.number(static_cast<std::uint8_t>(counters.is_clean));
  for (const std::uint64_t events : counters.events) out.number(events);
  return out.sealed(epoch, counters_key);
}

std::optional<Counters> decode_counters(std::uint32_t epoch, std::string_view value) {
  const auto body = unseal(epoch, Table::state, counters_key, value);
  if (!body) return std::nullopt;
  Reader in(*body);
  Counters counters;
  counters.commit_no = in.number<std::uint64_t>();
  counters.next_id = in.number<std::uint64_t>();
  counters.buffer_time_us = in.number<std::uint64_t>();
  counters.is_clean = in.number<std::uint8_t>() != 0;
  for (std::uint64_t& events : counters.events) events = in.number<std::uint64_t>();
  if (!in.is_done() || counters.next_id == 0) return std::nullopt;
  return counters;
}

std::string encode_stream(std::uint32_t epoch, std::string_view key, const StreamPlace& place,
                          std::string_view name) {
  return Writer()
      .number(place.next_seq)
      .number(place.last_id)
      .number(static_cast<std::uint8_t>(place.priority))
      .text(name)
      .number(place.account.rows)
      .number(place.account.bytes)
      .number(place.account.first_seq)
      .number(place.account.dropped)
      .number(place.account.expired)
      .sealed(epoch, key);
}

std::optional<StreamRecord> decode_stream(std::uint32_t epoch, std::string_view key,
                                          std::string_view value) {
  const auto body = unseal(epoch, Table::state, key, value);
  if (!body) return std::nullopt;
  Reader in(*body);
  StreamRecord record;
  record.place.next_seq = in.number<std::uint64_t>();
  record.place.last_id = in.number<std::uint64_t>();
  const auto priority = in.number<std::uint8_t>();
  record.name = in.text();
  record.has_account = !in.is_done();
  if (record.has_account) {
    StreamAccount& account = record.place.account;
    account.rows = in.number<std::uint64_t>();
    account.bytes = in.number<std::uint64_t>();
    account.first_seq = in.number<std::uint64_t>();
    account.dropped = in.number<std::uint64_t>();
    account.expired = in.number<std::uint64_t>();
  }
  if (!in.is_done() || priority >= priority_count) return std::nullopt;
  record.place.priority = static_cast<Priority>(priority);
  return record;
}

std::string encode_position(std::uint32_t epoch, std::string_view key,
                            const PositionRecord& record) {
  return Writer().text(record.owner).text(record.part).text(record.bytes).sealed(epoch, key);
}

std::optional<PositionRecord> decode_position(std::uint32_t epoch, std::string_view key,
                                              std::string_view value) {
  const auto body = unseal(epoch, Table::state, key, value);
  if (!body) return std::nullopt;
  Reader in(*body);
  PositionRecord record;
  record.owner = in.text();
  record.part = in.text();
  record.bytes = in.text();
  if (!in.is_done()) return std::nullopt;
  return record;
}

std::uint64_t hash_of(std::string_view bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

std::string epoch_text(std::uint32_t epoch) { return fmt::format("{:08x}", epoch); }

}  // namespace penstock::buffer
