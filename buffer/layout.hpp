// The stored form: tables, keys, values and checksums, as docs/buffer-format.md specifies them.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "buffer/store.hpp"

namespace penstock::buffer {

inline constexpr std::uint32_t format_version = 2;

enum class Table : std::uint8_t { state = 0, high = 1, normal = 2, low = 3, parked = 4 };
inline constexpr std::size_t table_count = 5;
inline constexpr const char* table_names[table_count] = {"state", "batches.high", "batches.normal",
                                                         "batches.low", "batches.parked"};
constexpr std::size_t index_of(Table table) { return static_cast<std::size_t>(table); }
constexpr Table table_of(Priority priority) {
  return static_cast<Table>(static_cast<std::uint8_t>(priority) + 1);
}

/// Most numbers that one row covers: the highest bit of a key's count tells loss rows apart.
inline constexpr std::uint32_t row_count_max = 0x7fff'ffff;
inline constexpr std::size_t row_key_size = 24;
using RowKeyBytes = std::array<char, row_key_size>;

RowKeyBytes encode_row_key(const RowKey& key, RowKind kind);
/// The smallest key of a row with an id of at least `id`.
RowKeyBytes first_key_from(std::uint64_t id);
struct DecodedKey {
  RowKey key;
  RowKind kind = RowKind::batch;
};
/// nullopt: not the key of a row.
std::optional<DecodedKey> decode_row_key(std::string_view bytes);

/// The same for the table of parked rows, whose order is by stream first.
RowKeyBytes encode_parked_key(const RowKey& key, RowKind kind);
/// The smallest key of a row of the stream with an id of at least `id`.
RowKeyBytes first_parked_key(std::uint32_t stream_id, std::uint64_t id);
std::optional<DecodedKey> decode_parked_key(std::string_view bytes);
/// Whether it is where keys of this parked stream are, also one that is damaged behind that.
bool is_parked_key_of(std::string_view bytes, std::uint32_t stream_id);

inline std::string_view view(const RowKeyBytes& key) { return {key.data(), key.size()}; }

/// What a row holds besides its content.
struct RowTail {
  std::uint8_t loss_reason = 0;
  bool loss_is_exact = true;
  std::uint32_t raw_size = 0;
  std::int64_t time_unix_us = 0;
  std::uint64_t buffer_time_us = 0;  ///< when it was stored, in buffer time
  std::uint8_t refusal_code = 0;     ///< MQTT 5's, where loss_reason says refused; 0: none
};
/// Bytes of a row's value behind its content: the tail and the checksum.
inline constexpr std::size_t row_overhead = 32;
/// Bytes that a row takes in the file: whole pages for a long value, the rest in a leaf.
std::uint64_t row_space(std::size_t value_size, std::size_t page_size);

/// Fills `out`, content.size() + row_overhead bytes.
void encode_row(char* out, std::uint32_t epoch, Table table, std::string_view key,
                std::string_view content, const RowTail& tail);
/// nullopt: the value is damaged. content: bytes in front of the tail.
struct DecodedRow {
  std::string_view content;
  RowTail tail;
};
std::optional<DecodedRow> decode_row(std::uint32_t epoch, Table table, std::string_view key,
                                     RowKind kind, std::string_view value);

/// Keys of the table `state`.
inline constexpr std::string_view identity_key = "i";
inline constexpr std::string_view counters_key = "c";
inline constexpr char stream_prefix = 's';
inline constexpr char position_prefix = 'p';
std::string encode_stream_key(std::uint32_t stream_id);
/// nullopt: not the key of a stream.
std::optional<std::uint32_t> decode_stream_key(std::string_view key);
std::string encode_owner_key(std::string_view owner);  ///< what an owner's position keys begin with
std::string encode_position_key(std::string_view owner, std::string_view part);

/// Written once, at birth.
struct Identity {
  std::uint32_t format = format_version;
  std::uint32_t epoch = 0;
  std::int64_t created_unix_us = 0;
  std::string device;
  std::string machine_id;
};

/// Rewritten by every commit.
struct Counters {
  std::uint64_t commit_no = 0;
  std::uint64_t next_id = 1;
  std::uint64_t buffer_time_us = 0;
  bool is_clean = false;
  std::array<std::uint64_t, priority_count> events = {};  ///< in batch rows, by class
};

/// What a stream holds, and what it lost here.
struct StreamAccount {
  std::uint64_t rows = 0;
  std::uint64_t bytes = 0;  ///< row_space() of each
  std::uint64_t first_seq =
      0;                      ///< of the oldest row; without one, where those ended that were taken
  std::uint64_t dropped = 0;  ///< events, for want of room
  std::uint64_t expired = 0;  ///< events, by age
  bool operator==(const StreamAccount&) const = default;
};

/// Where a stream stands.
struct StreamPlace {
  std::uint64_t next_seq = 0;
  std::uint64_t last_id = 0;  ///< of its newest row, which may be trimmed
  Priority priority = Priority::normal;
  StreamAccount account = {};
};
struct StreamRecord {
  StreamPlace place;
  std::string name;
  bool has_account = true;  ///< not in format 1: to be counted
};

struct PositionRecord {
  std::string_view owner;
  std::string_view part;
  std::string_view bytes;
};

// Values of the table `state`, checksum included, written as format_version has them. Decoders:
// nullopt if the value is damaged; views live as long as `value`.
std::string encode_identity(const Identity& identity);
std::optional<Identity> decode_identity(std::string_view value);
/// Whether its checksum is right, whichever version wrote it.
bool is_identity_whole(std::string_view value);
/// What every version writes first, unchecked; 0 if it is not there.
std::uint32_t format_of(std::string_view identity_value);
std::uint32_t epoch_of(std::string_view identity_value);
std::string encode_counters(std::uint32_t epoch, const Counters& counters);
std::optional<Counters> decode_counters(std::uint32_t epoch, std::string_view value);
std::string encode_stream(std::uint32_t epoch, std::string_view key, const StreamPlace& place,
                          std::string_view name);
std::optional<StreamRecord> decode_stream(std::uint32_t epoch, std::string_view key,
                                          std::string_view value);
std::string encode_position(std::uint32_t epoch, std::string_view key,
                            const PositionRecord& record);
std::optional<PositionRecord> decode_position(std::uint32_t epoch, std::string_view key,
                                              std::string_view value);

std::uint64_t hash_of(std::string_view bytes);  ///< xxh3, 64 bits

std::string epoch_text(std::uint32_t epoch);  ///< 8 hex digits

}  // namespace penstock::buffer
