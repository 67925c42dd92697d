// Fuzz target: any bytes as a journal's cursor, as a damaged position may hold.
#include "agent/base/assert.hpp"
#include "connectors/journald/journal.hpp"

using namespace penstock::connectors;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view cursor(reinterpret_cast<const char*>(data), size);
  const auto facts = journald::facts_of(cursor);
  if (!facts) return 0;
  PENSTOCK_ASSERT(!facts->sequence.empty() && !facts->boot.empty());
  PENSTOCK_ASSERT(facts->sequence.find(';') == std::string::npos);
  PENSTOCK_ASSERT(cursor.find("s=" + facts->sequence) != std::string_view::npos);
  PENSTOCK_ASSERT(cursor.find("b=" + facts->boot) != std::string_view::npos);
  return 0;
}
