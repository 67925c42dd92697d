// Fuzz target: any bytes as a packed body, then as each kind of body.
#include <string>

#include "connectors/http/body.hpp"
#include "tests/connectors/fuzz/checks.hpp"

using namespace penstock::connectors;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view packed(reinterpret_cast<const char*>(data) + 1, size - 1);
  constexpr std::size_t bytes_max = 64 * 1024;
  std::string unpacked;
  const http::Unpacked result = http::unpack(packed, bytes_max, unpacked);
  PENSTOCK_ASSERT(unpacked.size() <= bytes_max + 1);
  const std::string_view body = result == http::Unpacked::ok ? unpacked : packed;
  http::Settings settings;
  settings.path = "/*";
  const std::string_view types[] = {"application/json", "text/plain; x=y", "TEXT/PLAIN", ""};
  auto options =
      http::body_options(settings, (data[0] & 4) != 0 ? "/write" : "/", types[data[0] % 4]);
  if (!options) return 0;
  PENSTOCK_ASSERT(http::set_precision((data[0] & 8) != 0 ? "s" : "", *options));
  Chunk chunk;
  const auto decoder = support::make_decoder(*options);
  const auto decoded = http::decode_body(*decoder, options->format, body, chunk);
  PENSTOCK_ASSERT(decoded.events == chunk.events().size());
  PENSTOCK_ASSERT(decoded.events + decoded.bad > 0 || options->format == support::Format::json);
  static_cast<void>(penstock::fuzz::checked_bytes(chunk));
  return 0;
}
