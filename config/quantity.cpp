#include "config/quantity.hpp"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <limits>
#include <span>

#include "agent/base/assert.hpp"
#include "agent/base/log.hpp"
#include "config/yaml.hpp"

namespace penstock::config {
namespace {

struct Unit {
  std::string_view name;
  std::uint64_t factor;  // µs or bytes
};
constexpr Unit time_units[] = {{"us", 1},         {"ms", 1'000},        {"s", 1'000'000},
                               {"m", 60'000'000}, {"h", 3'600'000'000}, {"d", 86'400'000'000}};
constexpr Unit size_units[] = {{"B", 1},
                               {"kB", 1'000},
                               {"MB", 1'000'000},
                               {"GB", 1'000'000'000},
                               {"TB", 1'000'000'000'000},
                               {"KiB", 1ULL << 10},
                               {"MiB", 1ULL << 20},
                               {"GiB", 1ULL << 30},
                               {"TiB", 1ULL << 40}};
constexpr Unit per_units[] = {{"s", 1}, {"m", 60}, {"h", 3'600}, {"d", 86'400}, {"day", 86'400}};

/// What people write when they mean one of our units.
struct Alias {
  std::string_view written;
  std::string_view meant;
};
constexpr Alias time_aliases[] = {
    {"µs", "us"},    {"usec", "us"},   {"msec", "ms"}, {"sec", "s"}, {"secs", "s"},
    {"second", "s"}, {"seconds", "s"}, {"S", "s"},     {"min", "m"}, {"mins", "m"},
    {"minute", "m"}, {"minutes", "m"}, {"M", "m"},     {"hr", "h"},  {"hour", "h"},
    {"hours", "h"},  {"H", "h"},       {"D", "d"},     {"day", "d"}, {"days", "d"}};
constexpr Alias size_aliases[] = {
    {"b", "B"},     {"bytes", "B"}, {"K", "KiB"},   {"k", "KiB"}, {"KB", "kB"},  {"kb", "kB"},
    {"kib", "KiB"}, {"Ki", "KiB"},  {"M", "MiB"},   {"m", "MiB"}, {"Mi", "MiB"}, {"mb", "MB"},
    {"Mb", "MB"},   {"mib", "MiB"}, {"Mib", "MiB"}, {"G", "GiB"}, {"g", "GiB"},  {"Gi", "GiB"},
    {"gb", "GB"},   {"Gb", "GB"},   {"gib", "GiB"}, {"T", "TiB"}, {"tb", "TB"},  {"Ti", "TiB"}};
constexpr Alias per_aliases[] = {{"sec", "s"},  {"second", "s"}, {"min", "m"},   {"minute", "m"},
                                 {"hour", "h"}, {"hr", "h"},     {"days", "day"}};

struct Words {
  std::string_view noun;      // "a duration"
  std::string_view examples;  // of units, for a text that is no number at all
  std::span<const Unit> units;
  std::span<const Alias> aliases;
};
constexpr Words time_words{"a duration", "write a number with a unit: 500ms, 10s, 5m, 2h, 14d",
                           time_units, time_aliases};
constexpr Words size_words{"a size", "write a number with a unit: 512B, 96KiB, 256MiB, 2GiB",
                           size_units, size_aliases};

std::string list_of(std::span<const Unit> units) {
  std::string out;
  for (const Unit& unit : units) out += fmt::format("{}{}", out.empty() ? "" : " ", unit.name);
  return out;
}

/// A decimal number and the text behind it. The number is kept as a whole part and thousandths of
/// thousandths, so that 0.1s is 100000us exactly.
struct Parts {
  std::string_view number;
  std::string_view unit;
};

Parts split(std::string_view text) {
  const std::size_t end = std::min(text.find_first_not_of("0123456789."), text.size());
  return {text.substr(0, end), text.substr(end)};
}

/// number * factor without the rounding of doubles; nullopt: no number, or beyond `max`.
std::optional<std::uint64_t> scaled(std::string_view number, std::uint64_t factor,
                                    std::uint64_t max) {
  const std::size_t dot = number.find('.');
  const std::string_view whole = number.substr(0, dot);
  std::uint64_t value = 0;
  const auto read = std::from_chars(whole.data(), whole.data() + whole.size(), value);
  if (read.ec != std::errc{} || read.ptr != whole.data() + whole.size()) return std::nullopt;
  if (value > max / factor) return std::nullopt;
  value *= factor;
  if (dot == std::string_view::npos) return value;
  const std::string_view fraction = number.substr(dot + 1, 6);
  if (fraction.empty() || number.find('.', dot + 1) != std::string_view::npos) return std::nullopt;
  std::uint64_t digits = 0;
  std::uint64_t scale = 1;
  for (const char c : fraction) {
    digits = digits * 10 + static_cast<std::uint64_t>(c - '0');
    scale *= 10;
  }
  // Up to 10^6 * 2^40: within 64 bits.
  return std::min(value + digits * factor / scale, max);
}

const Unit* find_unit(std::span<const Unit> units, std::string_view name) {
  for (const Unit& unit : units) {
    if (unit.name == name) return &unit;
  }
  return nullptr;
}

std::string_view meant_unit(std::span<const Alias> aliases, std::string_view written) {
  for (const Alias& alias : aliases) {
    if (alias.written == written) return alias.meant;
  }
  return "";
}

void set_fault(QuantityFault* fault, bool is_missing_unit, std::string message, std::string help) {
  if (fault != nullptr) *fault = {is_missing_unit, std::move(message), std::move(help)};
}

std::string unit_examples(const Words& words, std::string_view number, std::string_view suffix) {
  return words.units.data() == time_units
             ? fmt::format("write {0}s, {0}m or {0}ms", number)
             : fmt::format("write {0}MiB{1}, {0}KiB{1} or {0}B{1}", number, suffix);
}

/// Bytes or µs. `suffix` ("/s") follows in the examples.
std::optional<std::uint64_t> parse(const Words& words, std::string_view text,
                                   std::string_view suffix, QuantityFault* fault) {
  constexpr std::uint64_t max = std::numeric_limits<std::int64_t>::max();
  if (text == "0") return 0;
  const auto [number, unit] = split(text);
  if (!text.empty() && text.front() == '-') {
    set_fault(fault, false, "must not be negative", "");
    return std::nullopt;
  }
  if (number.empty() || !scaled(number, 1, max)) {
    set_fault(fault, false, fmt::format("is not {}: {}", words.noun, penstock::quoted(text)),
              std::string(words.examples));
    return std::nullopt;
  }
  if (unit.empty()) {
    set_fault(fault, true, "needs a unit", unit_examples(words, number, suffix));
    return std::nullopt;
  }
  const Unit* known = find_unit(words.units, unit);
  if (known == nullptr) {
    std::string_view trimmed = unit;
    while (!trimmed.empty() && trimmed.front() == ' ') trimmed.remove_prefix(1);
    const bool is_spaced = trimmed.size() != unit.size() && find_unit(words.units, trimmed);
    const std::string_view meant = is_spaced ? trimmed : meant_unit(words.aliases, trimmed);
    set_fault(fault, false,
              is_spaced ? std::string("has a space before its unit")
                        : fmt::format("has an unknown unit {}", penstock::quoted(trimmed)),
              meant.empty() ? fmt::format("units are {}", list_of(words.units))
                            : fmt::format("did you mean {}{}{}?", number, meant, suffix));
    return std::nullopt;
  }
  const auto value = scaled(number, known->factor, max);
  if (!value) set_fault(fault, false, fmt::format("is too large: {}", penstock::quoted(text)), "");
  return value;
}

}  // namespace

std::optional<std::chrono::microseconds> parse_duration(std::string_view text,
                                                        QuantityFault* fault) {
  const auto value = parse(time_words, text, "", fault);
  if (!value) return std::nullopt;
  return std::chrono::microseconds(static_cast<std::int64_t>(*value));
}

std::optional<std::uint64_t> parse_size(std::string_view text, QuantityFault* fault) {
  return parse(size_words, text, "", fault);
}

std::optional<double> parse_rate(std::string_view text, QuantityFault* fault) {
  if (text == "0") return 0;
  const std::size_t slash = text.find('/');
  const std::string_view size = text.substr(0, slash);
  const std::string_view suffix =
      slash == std::string_view::npos ? std::string_view{} : text.substr(slash);
  const auto bytes = parse(size_words, size, suffix.empty() ? "/s" : suffix, fault);
  if (!bytes) return std::nullopt;
  if (suffix.empty()) {
    set_fault(fault, true, "needs a unit of time", fmt::format("write {0}/s or {0}/day", size));
    return std::nullopt;
  }
  const std::string_view per = suffix.substr(1);
  const Unit* unit = find_unit(per_units, per);
  if (unit == nullptr) {
    const std::string_view meant = meant_unit(per_aliases, per);
    set_fault(fault, false, fmt::format("has an unknown unit of time {}", penstock::quoted(per)),
              meant.empty() ? fmt::format("write {0}/s or {0}/day", size)
                            : fmt::format("did you mean {}/{}?", size, meant));
    return std::nullopt;
  }
  return static_cast<double>(*bytes) / static_cast<double>(unit->factor);
}

std::optional<std::uint64_t> parse_share(std::string_view text, std::uint64_t whole,
                                         QuantityFault* fault) {
  if (text == "off") return 0;
  if (text.empty() || text.back() != '%') return parse_size(text, fault);
  const auto percent = parse_number(text.substr(0, text.size() - 1));
  if (!percent || *percent <= 0 || *percent > 100) {
    set_fault(fault, false, fmt::format("is no share: {}", penstock::quoted(text)),
              "write 1% to 100%, a size, or off");
    return std::nullopt;
  }
  return static_cast<std::uint64_t>(static_cast<double>(whole) * *percent / 100);
}

std::optional<double> parse_quantity(OptionType type, std::string_view text, QuantityFault* fault) {
  if (type == OptionType::rate) return parse_rate(text, fault);
  if (type == OptionType::size) {
    const auto value = parse_size(text, fault);
    return value ? std::optional<double>(static_cast<double>(*value)) : std::nullopt;
  }
  PENSTOCK_ASSERT(type == OptionType::duration);
  const auto value = parse_duration(text, fault);
  return value ? std::optional<double>(static_cast<double>(value->count())) : std::nullopt;
}

std::string quantity_pattern(OptionType type) {
  const auto one_of = [](std::span<const Unit> units) {
    std::string out;
    for (const Unit& unit : units) out += fmt::format("{}{}", out.empty() ? "" : "|", unit.name);
    return "(" + out + ")";
  };
  std::string units = one_of(type == OptionType::duration ? std::span<const Unit>(time_units)
                                                          : std::span<const Unit>(size_units));
  if (type == OptionType::rate) units += "/" + one_of(per_units);
  return fmt::format("^(0|[0-9]+(\\.[0-9]+)?{})$", units);
}

std::optional<std::int64_t> parse_integer(std::string_view text) {
  if (core_kind(text) != ScalarKind::integer) return std::nullopt;
  int base = 10;
  if (text.substr(0, 2) == "0x") base = 16;
  if (text.substr(0, 2) == "0o") base = 8;
  if (base != 10) text.remove_prefix(2);
  if (text.front() == '+') text.remove_prefix(1);
  std::int64_t value = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), value, base);
  return read.ec == std::errc{} ? std::optional(value) : std::nullopt;
}

std::optional<double> parse_number(std::string_view text) {
  const ScalarKind kind = core_kind(text);
  if (kind == ScalarKind::integer) {
    const auto value = parse_integer(text);
    return value ? std::optional(static_cast<double>(*value)) : std::nullopt;
  }
  if (kind != ScalarKind::number) return std::nullopt;
  if (text.front() == '+') text.remove_prefix(1);
  double value = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool is_good = read.ec == std::errc{} && read.ptr == text.data() + text.size();
  return is_good && std::isfinite(value) ? std::optional(value) : std::nullopt;
}

}  // namespace penstock::config
