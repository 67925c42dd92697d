#include "connectors/support/bad_input.hpp"

#include <algorithm>

namespace penstock::connectors::support {
namespace {

constexpr std::int64_t pause_us = 60'000'000;
constexpr std::size_t context_bytes = 16;

}  // namespace

std::string_view BadInput::excerpt_at(std::string_view message, std::size_t offset) {
  offset = std::min(offset, message.size());
  const std::size_t begin = offset > context_bytes ? offset - context_bytes : 0;
  return message.substr(begin, excerpt_bytes_max);
}

void BadInput::note(std::string_view reason, std::string_view excerpt, std::uint64_t count) {
  total_ += count;
  untold_ += count;
  const std::int64_t now_us = clock_.steady_us();
  if (now_us < next_line_us_) return;
  log_.warn("event=bad_input count={} total={} reason=\"{}\" excerpt={}", untold_, total_, reason,
            quoted(excerpt.substr(0, excerpt_bytes_max)));
  untold_ = 0;
  next_line_us_ = now_us + pause_us;
}

}  // namespace penstock::connectors::support
