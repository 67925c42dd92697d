// Fuzz target: any bytes as line protocol. The first byte picks the options.
#include "tests/connectors/fuzz/checks.hpp"

using namespace penstock::connectors;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  support::DecodeOptions options{.format = support::Format::influx};
  options.influx_precision = static_cast<support::TimeForm>(1 + data[0] % 4);
  const support::Envelope envelope{.part = (data[0] & 0x10) != 0 ? "p" : ""};
  const auto decoder = support::make_decoder(options);
  penstock::fuzz::check_decoder(*decoder, {reinterpret_cast<const char*>(data) + 1, size - 1},
                                envelope);
  return 0;
}
