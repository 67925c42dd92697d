#include "connectors/modbus/value.hpp"

#include <array>
#include <bit>
#include <charconv>
#include <cmath>

namespace penstock::connectors::modbus {
namespace {

std::uint16_t swapped(std::uint16_t word) {
  return static_cast<std::uint16_t>(word << 8 | word >> 8);
}

bool swaps_bytes(Order order) { return order == Order::badc || order == Order::dcba; }
bool swaps_words(Order order) { return order == Order::cdab || order == Order::dcba; }

std::uint64_t joined(const Item& item, std::span<const std::uint16_t> registers) {
  std::uint64_t all = 0;
  for (std::size_t i = 0; i < registers.size(); ++i) {
    const std::uint16_t word =
        swaps_words(item.order) ? registers[registers.size() - 1 - i] : registers[i];
    all = all << 16 | (swaps_bytes(item.order) ? swapped(word) : word);
  }
  return all;
}

/// 213 * 0.1 is 21.300000000000001, 213 / 10 is 21.3: where the inverse of a scale is a whole
/// number, dividing gives the number that people expect.
double scaled(const Item& item, double raw) {
  const double inverse = 1 / item.scale;
  const double whole = std::round(inverse);
  const bool divides =
      std::abs(item.scale) < 1 && std::abs(inverse - whole) <= 1e-9 * std::abs(whole);
  return (divides ? raw / whole : raw * item.scale) + item.offset;
}

/// 21.3F widened is 21.299999237060547; the double nearest to the float's own shortest text
/// is 21.3.
double widened(float value) {
  if (!std::isfinite(value)) return static_cast<double>(value);
  std::array<char, 32> text{};
  const auto written = std::to_chars(text.data(), text.data() + text.size(), value);
  double out = static_cast<double>(value);
  std::from_chars(text.data(), written.ptr, out);
  return out;
}

template <typename T>
Value number(const Item& item, T raw) {
  if (item.is_scaled) return scaled(item, static_cast<double>(raw));
  if constexpr (std::is_floating_point_v<T>) {
    return static_cast<double>(raw);
  } else if constexpr (std::is_signed_v<T>) {
    return static_cast<std::int64_t>(raw);
  } else {
    return static_cast<std::uint64_t>(raw);
  }
}

/// Without what units fill up with: NULs and blanks at the end; nothing behind a NUL counts.
Value text_value(const Item& item, std::span<const std::uint16_t> registers, std::string& text) {
  text.clear();
  for (const std::uint16_t raw : registers) {
    const std::uint16_t word = swaps_bytes(item.order) ? swapped(raw) : raw;
    text.push_back(static_cast<char>(word >> 8));
    text.push_back(static_cast<char>(word & 0xff));
  }
  text.resize(std::min(text.size(), text.find('\0')));
  text.resize(text.find_last_not_of(' ') + 1);
  return std::string_view(text);
}

}  // namespace

Value value_of(const Item& item, std::span<const std::uint16_t> registers, std::string& text) {
  if (item.as == As::boolean) return registers[0] != 0;
  if (item.as == As::text) return text_value(item, registers, text);
  const std::uint64_t all = joined(item, registers);
  if (item.bit >= 0) {
    const std::uint64_t from_bit = all >> item.bit;
    if (item.bits == 0) return (from_bit & 1) != 0;
    const std::uint64_t mask =
        item.bits >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << item.bits) - 1;
    return number(item, from_bit & mask);
  }
  switch (item.as) {
    case As::int16: return number(item, static_cast<std::int16_t>(all));
    case As::int32: return number(item, static_cast<std::int32_t>(all));
    case As::int64: return number(item, static_cast<std::int64_t>(all));
    case As::float32: {
      const float value = std::bit_cast<float>(static_cast<std::uint32_t>(all));
      return number(item, widened(value));
    }
    case As::float64: return number(item, std::bit_cast<double>(all));
    default: return number(item, all);
  }
}

}  // namespace penstock::connectors::modbus
