// A look at LMDB's pages, as it believes them: what it would free, move or write by them.
#include <cstring>
#include <utility>

#include "buffer/lmdb.hpp"
#include "buffer/lmdb_layout.hpp"

namespace penstock::buffer {
namespace {

template <typename Number>
Number load(const char* at) {
  Number number;
  std::memcpy(&number, at, sizeof number);
  return number;
}

/// Whether its nodes fill what they have to fill.
bool is_leaf_whole(const char* page, std::size_t page_size) {
  using namespace lmdb_layout;
  const auto half = [&](std::size_t at) { return load<std::uint16_t>(page + at); };
  const std::size_t lower = half(lower_at);
  const std::size_t upper = half(upper_at);
  if ((half(flags_at) & kind_mask) != leaf_flag) return false;
  if (lower < page_header || lower > upper || upper > page_size) return false;
  std::size_t bytes = 0;
  for (std::size_t slot = page_header; slot + 2 <= lower; slot += 2) {
    const std::size_t node = half(slot);
    if (node < upper || node + node_header > page_size) return false;
    const bool has_own_pages = (half(node + node_flags_at) & big_data_flag) != 0;
    const std::size_t value = half(node) | std::size_t{half(node + 2)} << 16U;
    const std::size_t size =
        node_header + half(node + key_size_at) + (has_own_pages ? word : value);
    if (size > page_size - node) return false;
    bytes += (size + 1) / 2 * 2;
  }
  return bytes == page_size - upper;
}

}  // namespace

Result<void> Txn::check_free_list(std::size_t bytes_max) {
  const std::uint64_t pages = env_->file_pages();
  PENSTOCK_TRY_ASSIGN(Cursor cursor, Cursor::open_free_list(*this));
  PENSTOCK_TRY_ASSIGN(bool found, cursor.first());
  for (std::size_t bytes = 0; found && bytes < bytes_max; bytes += cursor.value().size()) {
    // LMDB: the key is a transaction's number; the value a list's length and page numbers that
    // fall.
    PENSTOCK_TRY(cursor.check_page());
    const std::string_view value = cursor.value();
    std::size_t length = 0;
    if (value.size() >= sizeof length) std::memcpy(&length, value.data(), sizeof length);
    bool is_sound = cursor.key().size() == sizeof length && length < value.size() / sizeof length;
    std::size_t before = pages;
    for (std::size_t i = 1; is_sound && i <= length; ++i) {
      std::size_t number = 0;
      std::memcpy(&number, value.data() + i * sizeof number, sizeof number);
      is_sound = number > 1 && number < before;
      before = number;
    }
    if (!is_sound) return Error{Errc::corrupt, "the list of free pages is damaged"};
    PENSTOCK_TRY_ASSIGN(found, cursor.next());
  }
  return {};
}

/// LMDB frees as many pages as a long value's first one says, and moves what is in a page by the
/// size that a node says.
Result<void> Cursor::check_entry() {
  using namespace lmdb_layout;
  const std::size_t page_size = env_->page_size();
  if (is_in_page(key_, value_)) {
    if (node_header + key_.size() + value_.size() <= node_max(page_size)) return {};
  } else {
    const char* const page = value_.data() - page_header;
    const auto kind = load<std::uint16_t>(page + flags_at) & kind_mask;
    if (load<std::size_t>(page) == load<std::size_t>(key_.data() + key_.size()) &&
        kind == overflow_flag &&
        load<std::uint32_t>(page + pages_at) == value_pages(value_.size(), page_size)) {
      return {};
    }
  }
  return env_->damage("an entry does not have the pages that it needs");
}

Result<void> Cursor::check_page() {
  // Pages of the map begin at multiples of their size.
  const auto into = reinterpret_cast<std::uintptr_t>(key_.data()) % env_->page_size();
  const char* const page = key_.data() - into;
  if (page != std::exchange(checked_page_, page) &&
      !(is_leaf_whole(page, env_->page_size()) && env_->is_at_its_place(page))) {
    return env_->damage("a page is damaged");
  }
  return check_entry();
}

bool Env::is_mapped(const char* place) const {
  return map_ != 0 && reinterpret_cast<std::uintptr_t>(place) - map_ < map_bytes();
}

/// LMDB believes what a page says of its own number when it replaces it.
bool Env::is_at_its_place(const char* page) {
  const auto address = reinterpret_cast<std::uintptr_t>(page);
  const std::uintptr_t map = address - load<std::size_t>(page) * page_size_;
  if (map_ == 0) map_ = map;
  return map == map_;
}

}  // namespace penstock::buffer
