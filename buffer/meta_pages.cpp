#include "buffer/meta_pages.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>

#include "agent/base/bytes.hpp"
#include "agent/base/unique_fd.hpp"

namespace penstock::buffer {
namespace {

constexpr std::uint32_t lmdb_magic = 0xBEEFC0DE;
constexpr std::uint32_t lmdb_version = 1;     // of LMDB 0.9
constexpr std::size_t page_bytes_min = 4096;  // no Linux has smaller pages
constexpr std::size_t page_bytes_max = 65536;

/// Offsets in a meta page, for LMDB 0.9 on a machine with words of `word` bytes (mdb.c: MDB_page,
/// MDB_meta, MDB_db): page header; magic, version, address, map size, two tables, last page, txn.
struct Offsets {
  std::size_t word;
  constexpr std::size_t magic() const { return word + 8; }
  constexpr std::size_t page_size() const { return magic() + 8 + 2 * word; }
  constexpr std::size_t last_page() const { return page_size() + 2 * (8 + 5 * word); }
  constexpr std::size_t transaction() const { return last_page() + word; }
  constexpr std::size_t end() const { return transaction() + word; }
};
constexpr Offsets own{sizeof(void*)};
constexpr Offsets other{sizeof(void*) == 8 ? 4 : 8};
using Head = std::array<char, Offsets{8}.end()>;

Result<Head> read_head(int fd, const std::filesystem::path& file, std::uint64_t at) {
  Head head = {};
  if (::pread(fd, head.data(), head.size(), static_cast<off_t>(at)) < 0) {
    return errno_error(file.string());
  }
  return head;
}

std::uint32_t magic_of(const Head& head, Offsets offsets) {
  return load_le<std::uint32_t>(head.data() + offsets.magic());
}

std::uint32_t version_of(const Head& head) {
  return load_le<std::uint32_t>(head.data() + own.magic() + 4);
}

std::uint64_t transaction_of(const Head& head) {
  return load_le<std::size_t>(head.data() + own.transaction());
}

std::uint64_t last_page_of(const Head& head) {
  return load_le<std::size_t>(head.data() + own.last_page());
}

Error damaged(const std::filesystem::path& file, std::string_view what) {
  return Error{Errc::corrupt, fmt::format("{}: {}", file.string(), what)};
}

}  // namespace

Result<void> check_meta_pages(const std::filesystem::path& file) {
  const UniqueFd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat info = {};
  if (!fd.is_open() || ::fstat(fd.get(), &info) != 0) return errno_error(file.string());
  if (static_cast<std::size_t>(info.st_size) < 2 * page_bytes_min) {
    return damaged(file, fmt::format("only {} bytes", info.st_size));
  }
  PENSTOCK_TRY_ASSIGN(const Head first, read_head(fd.get(), file, 0));
  if (magic_of(first, own) != lmdb_magic) {
    if (magic_of(first, other) != lmdb_magic) return damaged(file, "it does not begin as a buffer");
    return Error{Errc::invalid,
                 fmt::format("{}: made on a {}-bit machine", file.string(), 8 * other.word)};
  }
  const auto page_bytes = load_le<std::uint32_t>(first.data() + own.page_size());
  const bool is_power_of_two = (page_bytes & (page_bytes - 1)) == 0;
  if (page_bytes < page_bytes_min || page_bytes > page_bytes_max || !is_power_of_two) {
    return damaged(file, "its page size is damaged");
  }
  PENSTOCK_TRY_ASSIGN(const Head second, read_head(fd.get(), file, page_bytes));
  if (magic_of(second, own) != lmdb_magic) return damaged(file, "its second header is damaged");
  // Of another LMDB both would be.
  if ((version_of(first) == lmdb_version) != (version_of(second) == lmdb_version)) {
    return damaged(file, "the version in one of its headers is damaged");
  }
  // Transactions write the two in turn, each with its number: even ones the first, odd the second.
  const std::uint64_t even = transaction_of(first);
  const std::uint64_t odd = transaction_of(second);
  if (even % 2 != 0 || odd % 2 != 1 || (even + 1 != odd && odd + 1 != even)) {
    return damaged(
        file, fmt::format("its headers do not fit together (transactions {} and {})", even, odd));
  }
  // LMDB would ask for so large a map.
  const std::uint64_t last_page = last_page_of(even > odd ? first : second);
  if (last_page / page_bytes_max > static_cast<std::uint64_t>(info.st_size)) {
    return damaged(file, fmt::format("its last page, number {}, cannot be", last_page));
  }
  return {};
}

}  // namespace penstock::buffer
