#include "buffer/content.hpp"

#include <fmt/core.h>
#include <zstd.h>
#include <zstd_errors.h>

#include <mutex>
#include <new>

#include "buffer/store.hpp"

namespace penstock::buffer {

void Compressor::Free::operator()(ZSTD_CCtx_s* context) const { ZSTD_freeCCtx(context); }

Compressor::Compressor() : context_(ZSTD_createCCtx()) {
  if (context_ == nullptr) throw std::bad_alloc();
  ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_compressionLevel, 1);
}

Compressor::~Compressor() = default;

std::size_t Compressor::append(std::string& out, std::string_view content) {
  PENSTOCK_ASSERT(content.size() <= row_content_max);
  const std::size_t start = out.size();
  out.resize(start + ZSTD_compressBound(content.size()));
  const std::size_t size = ZSTD_compress2(context_.get(), out.data() + start, out.size() - start,
                                          content.data(), content.size());
  if (ZSTD_getErrorCode(size) == ZSTD_error_memory_allocation) throw std::bad_alloc();
  PENSTOCK_ASSERT(!ZSTD_isError(size));
  out.resize(start + size);
  return size;
}

namespace {

/// One for all threads: to register the destructor of a thread's own, glibc needs memory, and ends
/// the process by a signal when there is none.
class Decompressor {
 public:
  Decompressor() : context_(ZSTD_createDCtx()) {
    if (context_ == nullptr) throw std::bad_alloc();
  }
  /// What ZSTD_decompressDCtx returns.
  std::size_t decompress(std::string& out, std::string_view frame) {
    const std::lock_guard lock(mutex_);
    return ZSTD_decompressDCtx(context_.get(), out.data(), out.size(), frame.data(), frame.size());
  }

 private:
  struct Free {
    void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
  };
  std::mutex mutex_;  // guards: what context_ points to
  std::unique_ptr<ZSTD_DCtx, Free> context_;
};

}  // namespace

Result<std::string> content_of(const Row& row) {
  static Decompressor decompressor;
  if (row.raw_size > row_content_max) {
    return Error{Errc::corrupt,
                 fmt::format("row {}: content of {} bytes", row.key.id, row.raw_size)};
  }
  std::string content(row.raw_size, '\0');
  const std::size_t size = decompressor.decompress(content, row.stored);
  if (ZSTD_isError(size)) {
    return Error{Errc::corrupt, fmt::format("row {}: {}", row.key.id, ZSTD_getErrorName(size))};
  }
  if (size != content.size()) {
    return Error{Errc::corrupt, fmt::format("row {}: {} bytes of content, {} expected", row.key.id,
                                            size, row.raw_size)};
  }
  return content;
}

}  // namespace penstock::buffer
