// Who may publish on a receiver's topic may send anything: it is read within its bounds or refused.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <string>
#include <string_view>

#include "agent/forward/receiver_ack.hpp"

using namespace penstock::forward;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto ack = parse_receiver_ack(text);
  if (!ack.ok()) return 0;
  if (ack->epoch.empty() || ack->run.empty()) std::abort();
  for (const ReceiverAck::Stream& stream : ack->streams) {
    const auto& bounds = stream.bounds;
    if (bounds.empty() || bounds.size() % 2 != 0) std::abort();
    if (bounds.size() > 2 * receiver_ack_ranges_max) std::abort();
    if (std::adjacent_find(bounds.begin(), bounds.end(), std::greater_equal<>()) != bounds.end()) {
      std::abort();
    }
  }
  // Written again it says the same.
  const std::string written = format_receiver_ack(*ack);
  const auto again = parse_receiver_ack(written);
  if (!again.ok() || format_receiver_ack(*again) != written) std::abort();
  return 0;
}
