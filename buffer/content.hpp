// Content at rest: one zstd frame per row, by contexts that are reused.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "agent/base/result.hpp"

struct ZSTD_CCtx_s;

namespace penstock::buffer {

/// Compresses at level 1. Thread: owner only.
class Compressor {
 public:
  Compressor();
  ~Compressor();
  Compressor(const Compressor&) = delete;
  Compressor& operator=(const Compressor&) = delete;

  /// Appends the frame of `content` (at most row_content_max bytes) to `out`; returns its size.
  std::size_t append(std::string& out, std::string_view content);

 private:
  struct Free {
    void operator()(ZSTD_CCtx_s* context) const;
  };
  std::unique_ptr<ZSTD_CCtx_s, Free> context_;
};

}  // namespace penstock::buffer
