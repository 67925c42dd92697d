// Payloads come from anybody who may publish: whatever they hold, the receiver reads them within
// its bound or refuses them.
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "agent/cli/receive_formats.hpp"
#include "agent/cli/receive_payload.hpp"

using namespace penstock::cli;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t size_max = std::size_t{1} << 20;
  const std::string_view payload(reinterpret_cast<const char*>(data), size);
  PayloadReader reader(size_max);
  const auto json = reader.as_json(payload, "gw-7");
  if (!json.ok()) return 0;
  const std::string first(*json);
  std::vector<ReceivedEvent> events;
  if (!read_batch(*json, events).ok()) return 0;
  if (events.empty()) std::abort();
  // The same payload again is the same events: repeats are told by their text.
  const auto again = reader.as_json(payload, "gw-7");
  if (!again.ok() || *again != first) std::abort();
  return 0;
}
