// PageScan: finds records in a file whose trees cannot be trusted, page by page. The only place
// that knows how LMDB lays out a page, beside meta_pages.cpp.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "agent/base/result.hpp"
#include "agent/base/unique_fd.hpp"

namespace penstock::buffer {

/// A record as it stands in a page; neither its key nor its value is known to be right. Views live
/// until the next one.
struct FoundRecord {
  std::string_view key;
  std::string_view value;
  std::uint64_t page = 0;      ///< of the key
  std::uint64_t value_at = 0;  ///< where the value begins in the file
};

/// Reads with pread() alone and believes no number that leads outside. What LMDB has freed and not
/// yet used again is found too. Thread: owner only. Cost: reads the file once, holds one page and
/// one value.
class PageScan {
 public:
  /// unavailable: cannot be read. invalid: of another word size. A file without a readable header
  /// is taken to have pages of 4096 bytes.
  static Result<PageScan> open(const std::filesystem::path& file);

  /// Calls `visit` for every record that may be one; `progress(done, total)` in pages, may be
  /// empty, returns false to end early.
  Result<void> each(const std::function<void(const FoundRecord&)>& visit,
                    const std::function<bool(std::uint64_t, std::uint64_t)>& progress = {});

  /// `size` bytes at `at`; corrupt: the file ends before.
  Result<std::string> read(std::uint64_t at, std::size_t size) const;

 private:
  PageScan(UniqueFd fd, std::filesystem::path file, std::size_t page_size, std::uint64_t pages)
      : fd_(std::move(fd)), file_(std::move(file)), page_size_(page_size), pages_(pages) {}

  void visit_leaf(std::string_view page, std::uint64_t number,
                  const std::function<void(const FoundRecord&)>& visit);

  UniqueFd fd_;
  std::filesystem::path file_;
  std::size_t page_size_;
  std::uint64_t pages_;
  std::string value_;
};

}  // namespace penstock::buffer
