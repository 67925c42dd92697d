// Fuzz target: any bytes as the position of a file; what is taken is written back as the same
// bytes.
#include <string>

#include "agent/base/assert.hpp"
#include "connectors/api/event.hpp"
#include "connectors/file/position.hpp"

using namespace penstock::connectors;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto position = file::decode(bytes);
  if (!position) return 0;
  PENSTOCK_ASSERT(size <= Chunk::position_bytes_max);
  PENSTOCK_ASSERT(file::encode(*position, position->path) == bytes);
  return 0;
}
