#include "config/option.hpp"

namespace penstock::config {

std::string_view to_string(OptionType type) {
  switch (type) {
    case OptionType::boolean: return "boolean";
    case OptionType::integer: return "integer";
    case OptionType::number: return "number";
    case OptionType::text: return "text";
    case OptionType::choice: return "choice";
    case OptionType::duration: return "duration";
    case OptionType::size: return "size";
    case OptionType::rate: return "rate";
    case OptionType::secret: return "secret";
    case OptionType::text_list: return "list of text";
    case OptionType::text_map: return "map of text";
    case OptionType::section: return "section";
    case OptionType::section_list: return "list of sections";
  }
  return "unknown";
}

const Option* find_option(std::span<const Option> options, std::string_view name) {
  for (const Option& option : options) {
    if (option.name == name) return &option;
  }
  return nullptr;
}

}  // namespace penstock::config
