// Fuzz target: any bytes as JSON. The first byte picks the options.
#include "tests/connectors/fuzz/checks.hpp"

using namespace penstock::connectors;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  support::DecodeOptions options{.format = support::Format::json};
  options.time_form = static_cast<support::TimeForm>(data[0] % 5);
  if ((data[0] & 0x10) != 0) options.time_key = "ts";
  if ((data[0] & 0x20) != 0) options.stream_key = "a_b";
  const Field extra[] = {{"peer", std::string_view("::1")}};
  support::Envelope envelope{.part = "p"};
  if ((data[0] & 0x40) != 0) envelope.extra = extra;
  const auto decoder = support::make_decoder(options);
  penstock::fuzz::check_decoder(*decoder, {reinterpret_cast<const char*>(data) + 1, size - 1},
                                envelope);
  return 0;
}
