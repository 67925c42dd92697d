// Fuzz target: any bytes as a number, a time, or text.
#include "tests/connectors/fuzz/checks.hpp"

using namespace penstock::connectors;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto format = (data[0] & 0x10) != 0 ? support::Format::number : support::Format::text;
  penstock::fuzz::check_decoder(*support::make_decoder({.format = format}), text, {});
  const auto time = support::parse_time(text, static_cast<support::TimeForm>(data[0] % 5));
  PENSTOCK_ASSERT(!time || (*time > 0 && *time < support::time_end_us));
  return 0;
}
