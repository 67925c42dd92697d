// Request: rows and positions for a commit that are easy to make.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/wire.hpp"
#include "buffer/store.hpp"

namespace penstock::tests {

/// Text that zstd cannot shorten, the same for the same seed.
inline std::string noise(std::size_t size, std::uint64_t seed) {
  std::string text(size, '\0');
  std::uint64_t state = seed * 2 + 1;
  for (std::size_t at = 0; at < size; at += sizeof state) {
    state = state * 6364136223846793005U + 1442695040888963407U;
    const std::uint64_t bytes = state ^ (state >> 29);
    std::memcpy(text.data() + at, &bytes, std::min(sizeof bytes, size - at));
  }
  return text;
}

inline constexpr std::string_view owner{"file\0app", 8};

/// Rows and positions that live until they are committed.
class Request {
 public:
  Request& batch(buffer::StreamState& stream, std::uint32_t count, std::string content) {
    add(stream, count).value = keep(std::move(content));
    return *this;
  }
  Request& loss(buffer::StreamState& stream, std::uint32_t count, LossReason reason,
                bool is_exact = true) {
    buffer::NewRow& row = add(stream, count);
    row.kind = buffer::RowKind::loss;
    row.loss_reason = static_cast<std::uint8_t>(reason);
    row.loss_is_exact = is_exact;
    row.time_unix_us = 1'700'000'000'000'000;
    return *this;
  }
  Request& position(std::string part, std::string bytes) {
    positions_.push_back({owner, keep(std::move(part)), keep(std::move(bytes))});
    return *this;
  }
  buffer::CommitRequest request() const { return {rows_, positions_}; }

 private:
  buffer::NewRow& add(buffer::StreamState& stream, std::uint32_t count) {
    buffer::NewRow& row = rows_.emplace_back();
    row.stream_id = stream.id;
    row.seq = stream.next_seq;
    row.count = count;
    stream.next_seq += count;
    return row;
  }

  std::string_view keep(std::string text) {
    return *texts_.emplace_back(std::make_shared<const std::string>(std::move(text)));
  }

  std::vector<std::shared_ptr<const std::string>> texts_;  // a copy needs them as long
  std::vector<buffer::NewRow> rows_;
  std::vector<buffer::NewPosition> positions_;
};

}  // namespace penstock::tests
