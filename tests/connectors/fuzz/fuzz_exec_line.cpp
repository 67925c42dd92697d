// Fuzz target: any bytes as a line of the cursor protocol; what it takes is written back as the
// agent would, and has to be JSON that says the same.
#include <string>

#include "agent/base/assert.hpp"
#include "connectors/api/event.hpp"
#include "connectors/exec/protocol.hpp"

using namespace penstock::connectors;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view line(reinterpret_cast<const char*>(data), size);
  std::string_view why;
  const auto parsed = exec::parse_cursor_line(line, why);
  if (!parsed) {
    PENSTOCK_ASSERT(!why.empty());
    return 0;
  }
  if (!parsed->events.empty()) {
    PENSTOCK_ASSERT(parsed->events.data() >= line.data());
    PENSTOCK_ASSERT(parsed->events.data() + parsed->events.size() <= line.data() + line.size());
    PENSTOCK_ASSERT(parsed->events.front() == '[' && parsed->events.back() == ']');
  }
  if (parsed->position) {
    PENSTOCK_ASSERT(parsed->position->size() <= Chunk::position_bytes_max);
    std::string written = exec::position_line(parsed->position);
    PENSTOCK_ASSERT(written.find('\n') == written.size() - 1);
    written.pop_back();
    const auto again = exec::parse_cursor_line(written, why);
    PENSTOCK_ASSERT(again && again->position == parsed->position);
  }
  return 0;
}
