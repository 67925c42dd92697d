// Any bytes as a stored row or a record of the state: decoders must not read beyond them, and what
// they accept must be in bounds. The first 24 bytes are the key.
#include <cstdint>
#include <cstring>
#include <string>

#include "buffer/layout.hpp"

using namespace penstock;
using namespace penstock::buffer;

namespace {

constexpr std::uint32_t epoch = 0x9f3c2a7e;

void try_content(const DecodedRow& row, RowKind kind) {
  if (kind == RowKind::loss) return;
  Row copied;
  copied.stored = row.content;
  copied.raw_size = row.tail.raw_size % 65536;
  const auto content = content_of(copied);
  PENSTOCK_ASSERT(!content.ok() || content->size() == copied.raw_size);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::string_view key = input.substr(0, row_key_size);
  const std::string_view value = input.substr(key.size());
  static_cast<void>(decode_identity(value));
  static_cast<void>(decode_counters(epoch, value));
  static_cast<void>(decode_stream(epoch, key, value));
  static_cast<void>(decode_position(epoch, key, value));
  const auto decoded = decode_row_key(key);
  if (!decoded) return 0;
  PENSTOCK_ASSERT(decoded->key.count >= 1 && decoded->key.count <= row_count_max);
  if (const auto row = decode_row(epoch, Table::normal, key, decoded->kind, value)) {
    try_content(*row, decoded->kind);
  }
  // The same bytes under a right checksum, so that what lies behind it is reached too.
  if (value.size() < row_overhead) return 0;
  std::string sealed(value);
  RowTail tail;
  const std::size_t content_size = value.size() - row_overhead;
  std::memcpy(&tail.raw_size, value.data() + content_size, sizeof tail.raw_size);
  encode_row(sealed.data(), epoch, Table::normal, key, value.substr(0, content_size), tail);
  const auto row = decode_row(epoch, Table::normal, key, decoded->kind, sealed);
  if (row) try_content(*row, decoded->kind);
  return 0;
}
