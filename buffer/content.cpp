#include "buffer/content.hpp"

#include <fmt/core.h>
#include <zstd.h>

#include "buffer/store.hpp"

namespace penstock::buffer {

void Compressor::Free::operator()(ZSTD_CCtx_s* context) const { ZSTD_freeCCtx(context); }

Compressor::Compressor() : context_(ZSTD_createCCtx()) {
  PENSTOCK_ASSERT(context_ != nullptr);
  ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_compressionLevel, 1);
}

Compressor::~Compressor() = default;

std::size_t Compressor::append(std::string& out, std::string_view content) {
  PENSTOCK_ASSERT(content.size() <= row_content_max);
  const std::size_t start = out.size();
  out.resize(start + ZSTD_compressBound(content.size()));
  const std::size_t size = ZSTD_compress2(context_.get(), out.data() + start, out.size() - start,
                                          content.data(), content.size());
  PENSTOCK_ASSERT(!ZSTD_isError(size));
  out.resize(start + size);
  return size;
}

Result<std::string> content_of(const Row& row) {
  struct Free {
    void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
  };
  thread_local const std::unique_ptr<ZSTD_DCtx, Free> context(ZSTD_createDCtx());
  PENSTOCK_ASSERT(context != nullptr);
  if (row.raw_size > row_content_max) {
    return Error{Errc::corrupt,
                 fmt::format("row {}: content of {} bytes", row.key.id, row.raw_size)};
  }
  std::string content(row.raw_size, '\0');
  const std::size_t size = ZSTD_decompressDCtx(context.get(), content.data(), content.size(),
                                               row.stored.data(), row.stored.size());
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
