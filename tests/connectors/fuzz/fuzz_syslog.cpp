// Fuzz target: any bytes as a syslog message. Everything is taken, and what was found is part of
// it.
#include <string>

#include "agent/base/assert.hpp"
#include "agent/base/clock.hpp"
#include "connectors/support/time_text.hpp"
#include "connectors/syslog/message.hpp"

using penstock::connectors::syslog::Message;
using penstock::connectors::syslog::SyslogParser;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto zone = (data[0] & 1) != 0 ? penstock::connectors::syslog::Zone::utc
                                       : penstock::connectors::syslog::Zone::local;
  SyslogParser parser(penstock::system_clock(), zone);
  for (int round = 0; round < 2; ++round) {
    const Message& message = parser.parse(text, (data[0] & 2) != 0);
    PENSTOCK_ASSERT(message.time_unix_us >= 0);
    PENSTOCK_ASSERT(message.time_unix_us < penstock::connectors::support::time_end_us);
    PENSTOCK_ASSERT(!message.priority || *message.priority <= 191);
    const auto is_inside = [&](std::string_view part) {
      return part.empty() ||
             (part.data() >= text.data() && part.data() + part.size() <= text.data() + text.size());
    };
    PENSTOCK_ASSERT(is_inside(message.text) && is_inside(message.host) && is_inside(message.app));
    PENSTOCK_ASSERT(is_inside(message.pid) && is_inside(message.message_id));
    std::size_t bytes = 0;
    for (const auto& field : message.structured_data) {
      PENSTOCK_ASSERT(!field.name.empty());
      bytes += field.name.size();
      if (const auto* value = std::get_if<std::string_view>(&field.value)) {
        for (const char c : *value) bytes += static_cast<unsigned char>(c) != 0;
      }
    }
    if (message.priority) {
      PENSTOCK_ASSERT(!penstock::connectors::syslog::facility_name(*message.priority).empty());
    }
    static_cast<void>(bytes);
  }
  return 0;
}
