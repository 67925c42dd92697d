#include "config/section.hpp"

#include <fmt/format.h>
#include <strings.h>

#include <cstring>

#include "config/codes.hpp"
#include "config/expand.hpp"
#include "config/quantity.hpp"
#include "config/secret.hpp"
#include "config/validator.hpp"

namespace penstock::config {
namespace {

/// The default of a list or a map is written as in YAML, like every default.
Node parse_default(std::string_view text) {
  Diagnostics findings;
  std::optional<Node> node = parse_yaml("default", text, findings);
  PENSTOCK_ASSERT(node.has_value() && !findings.has_errors());
  return *std::move(node);
}

std::vector<std::string> texts_of(const Node& node) {
  if (node.kind == Node::Kind::scalar) return {node.text};
  std::vector<std::string> texts;
  for (const Node& item : node.children) texts.push_back(item.text);
  return texts;
}

std::map<std::string, std::string> text_map_of(const Node& node) {
  std::map<std::string, std::string> texts;
  for (const Node& entry : node.children) texts.emplace(entry.key, entry.text);
  return texts;
}

}  // namespace

Secret::~Secret() {
  // A moved-from string may still hold its characters behind a size of 0.
  text_.resize(text_.capacity());
  ::explicit_bzero(text_.data(), text_.size());
}

Section Section::defaults(std::span<const Option> options) {
  return SectionMaker::make(nullptr, nullptr, options, "", nullptr);
}

Result<Section> Section::parse(std::string_view yaml, std::span<const Option> options,
                               Diagnostics& diagnostics) {
  const std::size_t errors_before = diagnostics.error_count();
  std::optional<Node> parsed = parse_yaml("yaml", yaml, diagnostics);
  if (parsed) {
    auto root = std::make_shared<Node>(*std::move(parsed));  // shared with the section
    expand(*root, diagnostics);
    Validator(diagnostics).check_map(*root, options, "");
    if (diagnostics.error_count() == errors_before) {
      const Node* node = root.get();
      return SectionMaker::make(std::move(root), node, options, "", &diagnostics);
    }
  }
  return Error{Errc::invalid, diagnostics.to_text(/*use_color=*/false)};
}

const Option& Section::option(std::string_view name, OptionType type) const {
  const Option* found = find_option(options_, name);
  PENSTOCK_ASSERT(found != nullptr);
  const bool is_text = type == OptionType::text && found->type == OptionType::choice;
  PENSTOCK_ASSERT(found->type == type || is_text);
  return *found;
}

const Node* Section::find(std::string_view name) const {
  const Node* node = node_ == nullptr ? nullptr : node_->find(name);
  return node != nullptr && node->kind != Node::Kind::null ? node : nullptr;
}

std::string Section::scalar(std::string_view name, OptionType type) const {
  const Option& asked = option(name, type);
  const Node* node = find(name);
  return node != nullptr ? node->text : std::string(asked.default_text);
}

bool Section::has(std::string_view name) const {
  const Option* found = find_option(options_, name);
  PENSTOCK_ASSERT(found != nullptr);
  return find(name) != nullptr || !found->default_text.empty();
}

bool Section::boolean(std::string_view name) const {
  const std::string text = scalar(name, OptionType::boolean);
  return !text.empty() && (text.front() == 't' || text.front() == 'T');
}

std::int64_t Section::integer(std::string_view name) const {
  return parse_integer(scalar(name, OptionType::integer)).value_or(0);
}

double Section::number(std::string_view name) const {
  return parse_number(scalar(name, OptionType::number)).value_or(0);
}

std::string Section::text(std::string_view name) const { return scalar(name, OptionType::text); }

std::chrono::microseconds Section::duration(std::string_view name) const {
  return parse_duration(scalar(name, OptionType::duration)).value_or(std::chrono::microseconds{});
}

std::uint64_t Section::size(std::string_view name) const {
  return parse_size(scalar(name, OptionType::size)).value_or(0);
}

double Section::rate(std::string_view name) const {
  return parse_rate(scalar(name, OptionType::rate)).value_or(0);
}

std::vector<std::string> Section::text_list(std::string_view name) const {
  const Option& asked = option(name, OptionType::text_list);
  if (const Node* node = find(name)) return texts_of(*node);
  return asked.default_text.empty() ? std::vector<std::string>{}
                                    : texts_of(parse_default(asked.default_text));
}

std::map<std::string, std::string> Section::text_map(std::string_view name) const {
  const Option& asked = option(name, OptionType::text_map);
  if (const Node* node = find(name)) return text_map_of(*node);
  return asked.default_text.empty() ? std::map<std::string, std::string>{}
                                    : text_map_of(parse_default(asked.default_text));
}

Section Section::section(std::string_view name) const {
  const Option& asked = option(name, OptionType::section);
  return SectionMaker::make(root_, find(name), asked.children, joined_path(path_, name),
                            diagnostics_);
}

std::vector<Section> Section::section_list(std::string_view name) const {
  const Option& asked = option(name, OptionType::section_list);
  std::vector<Section> sections;
  const Node* node = find(name);
  if (node == nullptr) return sections;
  for (const Node& item : node->children) {
    sections.push_back(SectionMaker::make(
        root_, &item, asked.children,
        fmt::format("{}[{}]", joined_path(path_, name), sections.size()), diagnostics_));
  }
  return sections;
}

Result<Secret> Section::secret(std::string_view name) const {
  static_cast<void>(option(name, OptionType::secret));
  const Node* node = find(name);
  if (node == nullptr) return Secret();
  return read_secret(*node);
}

Place Section::place(std::string_view name) const {
  if (node_ == nullptr) return {};
  const Node* node = name.empty() ? nullptr : node_->find(name);
  return node != nullptr ? node->place() : node_->key_place();
}

Place Section::item_place(std::string_view name, std::size_t index) const {
  const Node* node = find(name);
  const bool has_item = node != nullptr && index < node->children.size();
  return has_item ? node->children[index].place() : place(name);
}

Place Section::key_place(std::string_view name, std::string_view key) const {
  const Node* node = find(name);
  const Node* entry = node == nullptr ? nullptr : node->find(key);
  return entry != nullptr ? entry->key_place() : place(name);
}

Error Section::invalid(std::string_view name, std::string message, std::string help) const {
  const std::string path = name.empty() ? path_ : joined_path(path_, name);
  const Place where = place(name);
  std::string text = fmt::format("{}{}{}{}{}", to_string(where), where.file.empty() ? "" : ": ",
                                 path, path.empty() ? "" : ": ", message);
  if (diagnostics_ != nullptr) {
    diagnostics_->add({code::refused_option,
                       Severity::error,
                       where,
                       path,
                       std::move(message),
                       std::move(help),
                       {}});
  }
  return Error{Errc::invalid, std::move(text)};
}

void Section::warn(std::string_view name, std::string message, std::string help) const {
  if (diagnostics_ == nullptr) return;
  const std::string path = name.empty() ? path_ : joined_path(path_, name);
  diagnostics_->add({code::warned_option,
                     Severity::warning,
                     place(name),
                     path,
                     std::move(message),
                     std::move(help),
                     {}});
}

}  // namespace penstock::config
