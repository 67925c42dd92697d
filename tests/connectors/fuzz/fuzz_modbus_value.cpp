// Fuzz target: any registers as a value of every type and order; the first bytes choose.
#include <string>
#include <vector>

#include "agent/base/assert.hpp"
#include "connectors/modbus/value.hpp"

using namespace penstock::connectors;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t choices = 3;
  if (size < choices + 8) return 0;
  modbus::Item item;
  item.as = static_cast<modbus::As>(data[0] % 10);
  item.order = static_cast<modbus::Order>(data[0] / 10 % 4);
  item.is_scaled = (data[1] & 0x80) != 0;
  item.scale = item.is_scaled ? 0.1 * (data[1] & 0x7f) : 1;
  std::size_t words = 1;
  if (item.as == modbus::As::text) {
    words = (size - choices) / 2;
  } else if (item.as >= modbus::As::int64 && item.as != modbus::As::float32) {
    words = 4;
  } else if (item.as >= modbus::As::int32) {
    words = 2;
  }
  const bool is_number = item.as < modbus::As::float32;
  if (is_number && (data[2] & 1) != 0) {
    const int width = static_cast<int>(words) * 16;
    item.bit = data[2] / 2 % width;
    item.bits = data[1] % (width - item.bit + 1);
  }
  std::vector<std::uint16_t> registers;
  for (std::size_t i = 0; i < words; ++i) {
    registers.push_back(
        static_cast<std::uint16_t>(data[choices + 2 * i] << 8 | data[choices + 2 * i + 1]));
  }
  item.size = static_cast<std::uint16_t>(words);
  std::string text;
  const Value value = modbus::value_of(item, registers, text);
  if (const auto* seen = std::get_if<std::string_view>(&value)) {
    PENSTOCK_ASSERT(item.as == modbus::As::text && seen->size() <= 2 * words);
    PENSTOCK_ASSERT(seen->find('\0') == std::string_view::npos);
  }
  if (item.bits > 0 && item.bits < 64 && !item.is_scaled) {
    PENSTOCK_ASSERT(std::get<std::uint64_t>(value) >> item.bits == 0);
  }
  return 0;
}
