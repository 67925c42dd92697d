#include "config/validator.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "agent/base/log.hpp"
#include "agent/base/text.hpp"
#include "config/codes.hpp"
#include "config/quantity.hpp"

namespace penstock::config {
namespace {

constexpr std::size_t suggestion_bytes_max = 64;
constexpr std::string_view secret_keys[] = {"file", "env", "credential"};

std::string_view nearest_choice(std::string_view word, std::span<const std::string_view> choices) {
  return word.size() > suggestion_bytes_max ? std::string_view{} : nearest(word, choices);
}

/// "a map", "the number 5": what was found instead, for people. Never for secrets.
std::string described(const Node& node) {
  switch (node.kind) {
    case Node::Kind::null: return "nothing";
    case Node::Kind::map: return "a map";
    case Node::Kind::sequence: return "a list";
    case Node::Kind::scalar: break;
  }
  const ScalarKind kind = node.is_plain ? core_kind(node.text) : ScalarKind::text;
  if (kind == ScalarKind::boolean) return "the boolean " + node.text;
  if (kind == ScalarKind::text) return "the text " + penstock::quoted(node.text);
  return "the number " + node.text;
}

std::string_view wanted(OptionType type) {
  switch (type) {
    case OptionType::boolean: return "true or false";
    case OptionType::integer: return "a whole number";
    case OptionType::number: return "a number";
    case OptionType::text: return "text";
    case OptionType::choice: return "one of its choices";
    case OptionType::duration: return "a duration";
    case OptionType::size: return "a size";
    case OptionType::rate: return "a rate";
    case OptionType::secret: return "a reference to a secret";
    case OptionType::text_list: return "a list of text";
    case OptionType::text_map: return "a map of text";
    case OptionType::section: return "a map";
    case OptionType::section_list: return "a list of maps";
  }
  return "";
}

}  // namespace

Section SectionMaker::make(std::shared_ptr<const Node> root, const Node* node,
                           std::span<const Option> options, std::string path,
                           Diagnostics* diagnostics) {
  Section section;
  section.root_ = std::move(root);
  section.node_ = node;
  section.options_ = options;
  section.path_ = std::move(path);
  section.diagnostics_ = diagnostics;
  return section;
}

void Validator::report(const char* code, const Place& place, const std::string& path,
                       std::string message, std::string help) {
  diagnostics_.add({code, Severity::error, place, path, std::move(message), std::move(help), {}});
}

void Validator::report_type(const Node& node, const Option& option, const std::string& path,
                            std::string help) {
  report(code::wrong_type, node.place(), path,
         fmt::format("{} must be {}, not {}", penstock::quoted(option.name), wanted(option.type),
                     described(node)),
         std::move(help));
}

void Validator::check_map(Node& node, Tables tables, const std::string& path, bool knows_all) {
  if (node.kind != Node::Kind::map && node.kind != Node::Kind::null) {
    report(code::wrong_type, node.place(), path,
           path.empty()
               ? fmt::format("the file must be a map, not {}", described(node))
               : fmt::format("{} must be a map, not {}", penstock::quoted(path), described(node)),
           "write key: value");
    return;
  }
  for (Node& entry : node.children) {
    if (diagnostics_.is_full()) return;
    const Option* option = nullptr;
    for (const auto& table : tables) {
      if (option == nullptr) option = find_option(table, entry.key);
    }
    if (option != nullptr) {
      check_value(entry, *option, joined_path(path, entry.key));
    } else if (knows_all) {
      check_unknown(entry, tables, joined_path(path, entry.key));
    }
  }
  check_missing(node, tables, path);
}

void Validator::check_unknown(const Node& entry, Tables tables, const std::string& path) {
  std::vector<std::string_view> names;
  for (const auto& table : tables) {
    for (const Option& option : table) names.push_back(option.name);
  }
  const std::string_view near = nearest_choice(entry.key, names);
  for (const auto& table : tables) {
    const Option* option = find_option(table, near);
    if (option != nullptr && option->type == OptionType::secret) diagnostics_.mask(entry.place());
  }
  std::string help = near.empty() ? "" : fmt::format("did you mean \"{}\"?\n", near);
  help += fmt::format("keys here: {}", fmt::join(names, " "));
  report(code::unknown_key, entry.key_place(), path,
         fmt::format("unknown key {}", penstock::quoted(entry.key)), std::move(help));
}

void Validator::check_missing(const Node& node, Tables tables, const std::string& path) {
  for (const auto& table : tables) {
    for (const Option& option : table) {
      if (!option.is_required || node.find(option.name) != nullptr) continue;
      report(code::missing_key, node.key_place(), joined_path(path, option.name),
             path.empty() ? fmt::format("{} is missing", penstock::quoted(option.name))
                          : fmt::format("{} is missing in {}", penstock::quoted(option.name),
                                        penstock::quoted(path)),
             option.example.empty() ? std::string(option.doc)
                                    : fmt::format("write {}: {}", option.name, option.example));
    }
  }
}

void Validator::check_value(Node& node, const Option& option, const std::string& path) {
  if (option.type == OptionType::section) {
    // A section without a table of its own (connectors) is checked by whoever knows it.
    if (!option.children.empty()) check_map(node, option.children, path);
    return;
  }
  if (node.kind == Node::Kind::null) {
    report(code::no_value, node.key_place(), path,
           fmt::format("{} has no value", penstock::quoted(option.name)),
           "give it one, or remove the line; text like null needs quotes");
    return;
  }
  switch (option.type) {
    case OptionType::secret: check_secret(node, option, path); return;
    case OptionType::text_list:
    case OptionType::section_list: check_list(node, option, path); return;
    case OptionType::text_map: check_text_map(node, option, path); return;
    default: check_scalar(node, option, path);
  }
}

bool Validator::check_scalar(Node& node, const Option& option, const std::string& path) {
  if (node.kind != Node::Kind::scalar) {
    report_type(node, option, path);
    return false;
  }
  switch (option.type) {
    case OptionType::boolean: check_boolean(node, option, path); break;
    case OptionType::integer:
    case OptionType::number: check_number(node, option, path); break;
    case OptionType::choice:
      if (node.is_expanded) node.is_plain = false;
      check_choice(node, option, path);
      break;
    case OptionType::duration:
    case OptionType::size:
    case OptionType::rate: check_quantity(node, option, path); break;
    default: check_text(node, option, path);
  }
  return true;
}

void Validator::check_text(Node& node, const Option& option, const std::string& path) {
  if (node.is_expanded) node.is_plain = false;
  if (node.is_plain && core_kind(node.text) != ScalarKind::text) {
    report_type(node, option, path, fmt::format("put it in quotes: \"{}\"", node.text));
  } else if (node.text.find('\0') != std::string::npos) {
    report(code::bad_character, node.place(), path,
           fmt::format("{} holds a NUL byte", penstock::quoted(option.name)));
  } else {
    check_choice(node, option, path);
  }
}

void Validator::check_choice(const Node& node, const Option& option, const std::string& path) {
  const auto& choices = option.choices;
  if (choices.empty() || std::find(choices.begin(), choices.end(), node.text) != choices.end()) {
    return;
  }
  const std::string_view near = nearest_choice(node.text, choices);
  std::string help = near.empty() ? "" : fmt::format("did you mean \"{}\"?\n", near);
  help += fmt::format("choices: {}", fmt::join(choices, " "));
  report(code::bad_choice, node.place(), path,
         fmt::format("{} cannot be {}", penstock::quoted(option.name), penstock::quoted(node.text)),
         std::move(help));
}

void Validator::check_boolean(Node& node, const Option& option, const std::string& path) {
  const bool may_be = node.is_plain || node.is_expanded;
  if (may_be && core_kind(node.text) == ScalarKind::boolean) {
    node.is_plain = true;
    return;
  }
  std::string help = "write true or false";
  if (core_kind(node.text) == ScalarKind::boolean) help = "write it without quotes";
  report_type(node, option, path, std::move(help));
}

void Validator::check_number(Node& node, const Option& option, const std::string& path) {
  const bool is_integer = option.type == OptionType::integer;
  std::optional<double> value;
  if (is_integer) {
    if (const auto integer = parse_integer(node.text)) value = static_cast<double>(*integer);
  } else {
    value = parse_number(node.text);
  }
  if (!value || (!node.is_plain && !node.is_expanded)) {
    report_type(node, option, path,
                value                                         ? "write it without quotes"
                : core_kind(node.text) == ScalarKind::integer ? "it is too large"
                : is_integer && parse_number(node.text)       ? "write it without a fraction"
                                                              : "");
    return;
  }
  node.is_plain = true;
  check_bounds(node, option, path, *value);
}

void Validator::check_quantity(Node& node, const Option& option, const std::string& path) {
  if (node.is_expanded) node.is_plain = false;
  if (option.may_be_off && node.text == "off") return;
  QuantityFault fault;
  if (const auto value = parse_quantity(option.type, node.text, &fault)) {
    check_bounds(node, option, path, *value);
    return;
  }
  if (option.may_be_off) fault.help += fault.help.empty() ? "write off" : ", or off";
  report(fault.is_missing_unit ? code::needs_unit : code::bad_quantity, node.place(), path,
         fmt::format("{} {}", penstock::quoted(option.name), fault.message), fault.help);
}

void Validator::check_bounds(const Node& node, const Option& option, const std::string& path,
                             double value) {
  const auto bound = [&](std::string_view text) {
    const bool is_number = option.type == OptionType::integer || option.type == OptionType::number;
    const auto parsed = is_number ? parse_number(text) : parse_quantity(option.type, text);
    PENSTOCK_ASSERT(parsed.has_value());
    return *parsed;
  };
  const bool is_below = !option.min.empty() && value < bound(option.min);
  const bool is_above = !option.max.empty() && value > bound(option.max);
  if (!is_below && !is_above) return;
  report(code::out_of_bounds, node.place(), path,
         fmt::format("{} must be at {} {}", penstock::quoted(option.name),
                     is_below ? "least" : "most", is_below ? option.min : option.max),
         option.may_be_off && is_below ? "or off" : "");
}

void Validator::check_secret(Node& node, const Option& option, const std::string& path) {
  if (node.kind == Node::Kind::scalar) {
    diagnostics_.mask(node.place());
    report(code::plain_secret, node.place(), path,
           fmt::format("{} may not stand here in clear", penstock::quoted(option.name)),
           fmt::format("write {0}: {{file: /etc/penstock/secrets/{0}}} (mode 0600)\n"
                       "or {0}: {{env: NAME}}, or {0}: {{credential: NAME}} under systemd",
                       option.name));
    return;
  }
  const std::string forms =
      fmt::format("write {0}: {{file: PATH}}, {{env: NAME}} or {{credential: NAME}}", option.name);
  if (node.kind != Node::Kind::map || node.children.size() != 1) {
    for (const Node& child : node.children) diagnostics_.mask(child.place());
    report(code::bad_secret, node.place(), path,
           fmt::format("{} must name one place to read the secret from",
                       penstock::quoted(option.name)),
           forms);
    return;
  }
  Node& reference = node.children.front();
  const bool is_known = std::find(std::begin(secret_keys), std::end(secret_keys), reference.key) !=
                        std::end(secret_keys);
  const bool is_text = reference.kind == Node::Kind::scalar && !reference.text.empty() &&
                       reference.text.find('\0') == std::string::npos;
  const bool leaves_directory =
      reference.key == "credential" && reference.text.find('/') != std::string::npos;
  if (!is_known) {
    diagnostics_.mask(reference.place());
    report(code::bad_secret, reference.key_place(), joined_path(path, reference.key),
           fmt::format("a secret cannot come from {}", penstock::quoted(reference.key)), forms);
  } else if (!is_text || leaves_directory) {
    report(code::bad_secret, reference.place(), joined_path(path, reference.key),
           fmt::format("{} must be a {}", penstock::quoted(reference.key),
                       reference.key == "file" ? "path" : "name"),
           forms);
  } else {
    if (reference.is_expanded) reference.is_plain = false;
    secrets_.push_back({&node, path});
  }
}

void Validator::check_list(Node& node, const Option& option, const std::string& path) {
  const bool is_text = option.type == OptionType::text_list;
  if (is_text && node.kind == Node::Kind::scalar) {
    check_text(node, option, path);
    return;
  }
  if (node.kind != Node::Kind::sequence) {
    report_type(node, option, path,
                is_text ? fmt::format("write {}: [\"…\", \"…\"]", option.name)
                        : "write one \"- key: value\" for each");
    return;
  }
  std::size_t index = 0;
  for (Node& item : node.children) {
    if (diagnostics_.is_full()) return;
    const std::string item_path = fmt::format("{}[{}]", path, index++);
    if (!is_text) {
      check_map(item, option.children, item_path);
    } else if (item.kind != Node::Kind::scalar) {
      report(code::wrong_type, item.place(), item_path,
             fmt::format("{} must be a list of text; here is {}", penstock::quoted(option.name),
                         described(item)));
    } else {
      check_text(item, option, item_path);
    }
  }
}

void Validator::check_text_map(Node& node, const Option& option, const std::string& path) {
  if (node.kind != Node::Kind::map) {
    report_type(node, option, path, fmt::format("write {}: {{name: value}}", option.name));
    return;
  }
  for (Node& entry : node.children) {
    if (diagnostics_.is_full()) return;
    const Option element{
        .name = entry.key, .type = OptionType::text, .doc = option.doc, .choices = option.choices};
    if (entry.kind == Node::Kind::null) {
      check_value(entry, element, joined_path(path, entry.key));
    } else {
      check_scalar(entry, element, joined_path(path, entry.key));
    }
  }
}

}  // namespace penstock::config
