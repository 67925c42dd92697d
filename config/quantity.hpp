// Quantities with units: "10s", "96KiB", "500MB/day" to numbers.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "config/option.hpp"

namespace penstock::config {

/// Why a text is no quantity, and what to write instead.
struct QuantityFault {
  bool is_missing_unit = false;
  std::string message;  ///< "is no duration"; fits behind the quoted name
  std::string help;     ///< "write 5s, 5m or 5ms"
};

/// microseconds, bytes or bytes per second, by the type of the option (duration, size, rate; no
/// other). Values are whole microseconds and bytes, a rest is cut off. 0 needs no unit.
std::optional<double> parse_rate(std::string_view text, QuantityFault* fault = nullptr);
std::optional<std::uint64_t> parse_size(std::string_view text, QuantityFault* fault = nullptr);
std::optional<std::chrono::microseconds> parse_duration(std::string_view text,
                                                        QuantityFault* fault = nullptr);
/// Bytes of "25%" of a whole, or of a size; 0: "off".
std::optional<std::uint64_t> parse_share(std::string_view text, std::uint64_t whole,
                                         QuantityFault* fault = nullptr);
/// Any of the three as a number that can be compared with bounds of the same type.
std::optional<double> parse_quantity(OptionType type, std::string_view text,
                                     QuantityFault* fault = nullptr);

/// ECMA 262 pattern of what the functions above take, for the JSON Schema.
std::string quantity_pattern(OptionType type);

/// Whole number in the forms of YAML's core schema: 12, -3, 0x1F, 0o17.
std::optional<std::int64_t> parse_integer(std::string_view text);
/// Also with a fraction or an exponent; infinities and NaN are refused.
std::optional<double> parse_number(std::string_view text);

}  // namespace penstock::config
