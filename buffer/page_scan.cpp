#include "buffer/page_scan.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "agent/base/bytes.hpp"
#include "buffer/content.hpp"
#include "buffer/lmdb_layout.hpp"
#include "buffer/store.hpp"

namespace penstock::buffer {
namespace {

using namespace lmdb_layout;

constexpr std::size_t page_size_default = 4096;
constexpr std::size_t meta_page_size_at = page_header + 8 + 2 * word;
// Longer values cannot have been stored.
constexpr std::size_t value_max = row_content_max + row_content_max / 128 + 4096;

std::uint16_t half(std::string_view page, std::size_t at) {
  return load_le<std::uint16_t>(page.data() + at);
}

std::size_t page_size_of(int fd) {
  char head[meta_page_size_at + 4] = {};
  if (::pread(fd, head, sizeof head, 0) != static_cast<ssize_t>(sizeof head)) {
    return page_size_default;
  }
  const auto size = load_le<std::uint32_t>(head + meta_page_size_at);
  const bool is_plausible = size >= 4096 && size <= 65536 && (size & (size - 1)) == 0;
  return is_plausible ? size : page_size_default;
}

}  // namespace

Result<PageScan> PageScan::open(const std::filesystem::path& file) {
  UniqueFd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat info = {};
  if (!fd.is_open() || ::fstat(fd.get(), &info) != 0) return errno_error(file.string());
  const std::size_t page_size = page_size_of(fd.get());
  const auto pages = static_cast<std::uint64_t>(info.st_size) / page_size;
  return PageScan(std::move(fd), file, page_size, pages);
}

Result<std::string> PageScan::read(std::uint64_t at, std::size_t size) const {
  std::string bytes(size, '\0');
  std::size_t done = 0;
  while (done < size) {
    const ssize_t got =
        ::pread(fd_.get(), bytes.data() + done, size - done, static_cast<off_t>(at + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno_error(file_.string());
    if (got == 0) return Error{Errc::corrupt, fmt::format("{} ends early", file_.string())};
    done += static_cast<std::size_t>(got);
  }
  return bytes;
}

Result<void> PageScan::each(const std::function<void(const FoundRecord&)>& visit,
                            const std::function<bool(std::uint64_t, std::uint64_t)>& progress) {
  constexpr std::uint64_t told_every = 256;
  for (std::uint64_t number = 0; number < pages_; ++number) {
    // A sector that cannot be read takes its page alone with it.
    const auto page = read(number * page_size_, page_size_);
    if (page.ok() && (half(*page, flags_at) & kind_mask) == leaf_flag) {
      visit_leaf(*page, number, visit);
    }
    if (progress && number % told_every == 0 && !progress(number, pages_)) return {};
  }
  if (progress) static_cast<void>(progress(pages_, pages_));
  return {};
}

void PageScan::visit_leaf(std::string_view page, std::uint64_t number,
                          const std::function<void(const FoundRecord&)>& visit) {
  const std::size_t lower = half(page, lower_at);
  if (lower < page_header || lower > page.size()) return;
  for (std::size_t slot = page_header; slot + 2 <= lower; slot += 2) {
    const std::size_t node = half(page, slot);
    if (node < lower || node + node_header > page.size()) continue;
    const std::size_t key_size = half(page, node + key_size_at);
    const std::size_t key_at = node + node_header;
    if (key_size > page.size() - key_at) continue;
    const std::size_t size = half(page, node) | static_cast<std::size_t>(half(page, node + 2))
                                                    << 16U;
    const std::size_t data_at = key_at + key_size;
    FoundRecord record;
    record.key = page.substr(key_at, key_size);
    record.page = number;
    if ((half(page, node + node_flags_at) & big_data_flag) == 0) {
      if (size > page.size() - data_at) continue;
      record.value = page.substr(data_at, size);
      record.value_at = number * page_size_ + data_at;
    } else {
      if (word > page.size() - data_at || size > value_max) continue;
      const auto first = static_cast<std::uint64_t>(load_le<std::size_t>(page.data() + data_at));
      if (first >= pages_) continue;
      record.value_at = first * page_size_ + page_header;
      auto value = read(record.value_at, size);
      if (!value.ok()) continue;
      value_ = *std::move(value);
      record.value = value_;
    }
    visit(record);
  }
}

}  // namespace penstock::buffer
