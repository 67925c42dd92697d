// Option: one configurable key. The table of them is the single source for validation, defaults,
// error messages, `describe`, the JSON Schema and the option tables in the documents.
#pragma once

#include <span>
#include <string_view>

namespace penstock::config {

enum class OptionType {
  boolean,       ///< true | false
  integer,       ///< whole number
  number,        ///< whole or decimal number
  text,          ///< string
  choice,        ///< one of `choices`
  duration,      ///< 250us 500ms 10s 5m 2h 14d; 0 needs no unit
  size,          ///< 512B 96KiB 256MiB 2GiB, also kB MB GB; 0 needs no unit
  rate,          ///< a size per time: 500MB/day 64KiB/s
  secret,        ///< {file: PATH}, {env: NAME} or {credential: NAME}; never shown
  text_list,     ///< sequence of strings; a single string counts as a list of one
  text_map,      ///< map of free keys to strings (tags)
  section,       ///< map with the keys of `children`
  section_list,  ///< sequence of such maps
};
std::string_view to_string(OptionType type);

/// Aggregate: written with designated initialisers in a constexpr array. Bounds and defaults are
/// written as in YAML ("10s", "96KiB"), so that documents show them as users write them.
struct Option {
  std::string_view name;
  OptionType type = OptionType::text;
  std::string_view doc;  ///< one sentence, no full stop at the end
  bool is_required = false;
  std::string_view default_text = {};  ///< "" = absent unless given
  std::string_view min = {};           ///< inclusive
  std::string_view max = {};
  /// duration, size, rate: the word "off" is accepted too and read as 0.
  bool may_be_off = false;
  std::span<const std::string_view> choices = {};
  std::span<const Option> children = {};
  std::string_view example = {};  ///< shown by `describe` when there is no default
};

const Option* find_option(std::span<const Option> options, std::string_view name);

}  // namespace penstock::config
