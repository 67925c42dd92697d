#include "connectors/support/bad_input.hpp"

#include <algorithm>
#include <utility>

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

std::uint64_t Tally::note(std::uint64_t count) {
  total_ += count;
  untold_ += count;
  const std::int64_t now_us = clock_.steady_us();
  if (now_us < next_us_) return 0;
  next_us_ = now_us + pause_us;
  return std::exchange(untold_, 0);
}

void BadInput::note(std::string_view reason, std::string_view excerpt, std::uint64_t count) {
  const std::uint64_t told = tally_.note(count);
  if (told == 0) return;
  log_.warn("event=bad_input count={} total={} reason=\"{}\" excerpt={}", told, tally_.total(),
            reason, quoted(excerpt.substr(0, excerpt_bytes_max)));
}

}  // namespace penstock::connectors::support
