#include "connectors/support/framer.hpp"

#include <algorithm>

namespace penstock::connectors::support {
namespace {

/// Digits of a length as text: enough for what is believed.
constexpr std::size_t digits_max = 9;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

Framer::Head Framer::read_head(std::string_view data) const {
  switch (framing_) {
    case Framing::newline:
    case Framing::nul: return {Head::Kind::line};
    case Framing::u8: return read_binary(data, 1, true);
    case Framing::u16_be: return read_binary(data, 2, true);
    case Framing::u16_le: return read_binary(data, 2, false);
    case Framing::u32_be: return read_binary(data, 4, true);
    case Framing::u32_le: return read_binary(data, 4, false);
    case Framing::octet_counted:
    case Framing::automatic: return read_decimal(data);
  }
  return {Head::Kind::broken};
}

/// automatic: only "<digits> <" is a length; a line may begin with digits too.
Framer::Head Framer::read_decimal(std::string_view data) const {
  const bool is_strict = framing_ == Framing::octet_counted;
  const Head::Kind otherwise = is_strict ? Head::Kind::broken : Head::Kind::line;
  std::size_t at = 0;
  std::uint64_t value = 0;
  while (at < data.size() && at <= digits_max && is_digit(data[at])) {
    value = value * 10 + static_cast<std::uint64_t>(data[at] - '0');
    ++at;
  }
  if (at > digits_max || (!data.empty() && (at == 0 || data[0] == '0'))) return {otherwise};
  if (at == data.size()) return {Head::Kind::incomplete};
  if (data[at] != ' ') {
    // Some senders put a newline behind a counted message: an empty line, with `automatic`.
    return {otherwise};
  }
  if (value > believable_bytes_max) return {otherwise};
  if (!is_strict) {
    if (at + 1 == data.size()) return {Head::Kind::incomplete};
    if (data[at + 1] != '<') return {Head::Kind::line};
  }
  return {Head::Kind::counted, at + 1, value};
}

Framer::Head Framer::read_binary(std::string_view data, std::size_t width, bool is_big_endian) {
  if (data.size() < width) return {Head::Kind::incomplete};
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < width; ++i) {
    const std::size_t index = is_big_endian ? i : width - 1 - i;
    value = value << 8 | static_cast<unsigned char>(data[index]);
  }
  if (value > believable_bytes_max) return {Head::Kind::broken};
  return {Head::Kind::counted, width, value};
}

std::size_t Framer::skip(std::string_view data) {
  if (is_skipping_line_) {
    const std::size_t end = data.find(terminator());
    is_skipping_line_ = end == std::string_view::npos;
    skipped_bytes_ += std::min(end, data.size());
    return is_skipping_line_ ? data.size() : end + 1;
  }
  const auto taken = static_cast<std::size_t>(std::min<std::uint64_t>(skip_, data.size()));
  skip_ -= taken;
  return taken;
}

}  // namespace penstock::connectors::support
