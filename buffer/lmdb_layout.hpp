// How LMDB 0.9 lays pages out (mdb.c: MDB_page, MDB_node), for what looks at them beside LMDB.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace penstock::buffer::lmdb_layout {

// A page: its number, 2 bytes of padding, flags, then the bounds of the free space or, in an
// overflow page, how many pages the value has.
inline constexpr std::size_t word = sizeof(void*);
inline constexpr std::size_t flags_at = word + 2;
inline constexpr std::size_t lower_at = word + 4;
inline constexpr std::size_t upper_at = word + 6;
inline constexpr std::size_t pages_at = word + 4;
inline constexpr std::size_t page_header = word + 8;
inline constexpr std::uint16_t leaf_flag = 0x02;
inline constexpr std::uint16_t overflow_flag = 0x04;
inline constexpr std::uint16_t kind_mask =
    0x6f;  ///< without "dirty", which does not reach the disk

// A node: size of the data in two halves, flags, size of the key; then the key, and the data or
// the number of the first of its own pages.
inline constexpr std::size_t node_header = 8;
inline constexpr std::size_t node_flags_at = 4;
inline constexpr std::size_t key_size_at = 6;
inline constexpr std::uint16_t big_data_flag = 0x01;

/// A longer node has its data in pages of its own.
constexpr std::size_t node_max(std::size_t page_size) {
  return ((page_size - page_header) / 2 & ~std::size_t{1}) - 2;
}
constexpr std::size_t value_pages(std::size_t size, std::size_t page_size) {
  return (page_header - 1 + size) / page_size + 1;
}

/// Whether the value follows its key, not in pages of its own.
inline bool is_in_page(std::string_view key, std::string_view value) {
  return value.data() == key.data() + key.size();
}

}  // namespace penstock::buffer::lmdb_layout
