#include "buffer/store.hpp"

#include <fmt/core.h>

#include "buffer/crash_marker.hpp"
#include "buffer/directory.hpp"
#include "buffer/faults.hpp"
#include "buffer/file.hpp"
#include "buffer/lmdb_store.hpp"

namespace penstock::buffer {

Result<std::unique_ptr<Store>> open_with_faults(const StoreOptions& given, OpenReport& report,
                                                const Clock& clock, const Faults& faults) {
  StoreOptions options = given;
  const bool is_tool = options.device.empty();
  if (is_tool) options.max_size = std::max(options.max_size, max_size_min);
  if (options.max_size < max_size_min) {
    return Error{Errc::invalid, fmt::format("buffer.max_size: {} bytes, at least {}",
                                            options.max_size, max_size_min)};
  }
  if (options.max_size > max_size_limit()) {
    return Error{Errc::invalid,
                 fmt::format("buffer.max_size: {} MiB, at most {} MiB on a {}-bit machine",
                             options.max_size >> 20, max_size_limit() >> 20, own_address_bits)};
  }
  PENSTOCK_TRY_ASSIGN(Directory directory,
                      Directory::hold(options.path, !is_tool, report.warnings));
  const InsideStore inside;  // of a damaged file, too, a crash leaves its mark
  PENSTOCK_TRY_ASSIGN(OpenFile file, open_or_make(options, directory, clock, report));
  const bool is_reserved = reserve_blocks(options, *file.env, report);
  auto store = std::make_unique<LmdbStore>(options, std::move(directory), std::move(file),
                                           is_reserved, clock, faults);
  store->compact_if_worthwhile();
  return std::unique_ptr<Store>(std::move(store));
}

Result<std::unique_ptr<Store>> Store::open(const StoreOptions& options, OpenReport& report,
                                           const Clock& clock) {
  static const Faults none;
  return open_with_faults(options, report, clock, none);
}

}  // namespace penstock::buffer
