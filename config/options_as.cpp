// Option tables for readers: Markdown for documents, text for a terminal, JSON for programs.
#include <fmt/format.h>

#include "agent/base/text.hpp"
#include "config/agent_config.hpp"

namespace penstock::config {
namespace {

constexpr std::size_t terminal_columns = 80;

struct Row {
  std::string name;  // dotted
  const Option* option = nullptr;
};

/// Sections become their options: commit.every; lists of sections: read[].name.
void flatten(std::span<const Option> options, const std::string& prefix, std::vector<Row>& rows) {
  for (const Option& option : options) {
    const std::string name = prefix + std::string(option.name);
    if (option.type == OptionType::section) {
      flatten(option.children, name + ".", rows);
      continue;
    }
    rows.push_back({name, &option});
    if (option.type == OptionType::section_list) flatten(option.children, name + "[].", rows);
  }
}

std::string bounds(const Option& option) {
  if (!option.min.empty() && !option.max.empty()) {
    return fmt::format("{} to {}", option.min, option.max);
  }
  if (!option.min.empty()) return fmt::format("at least {}", option.min);
  if (!option.max.empty()) return fmt::format("at most {}", option.max);
  return "";
}

/// "one of auto, 5": what may stand there besides the type.
std::string type_of(const Option& option) {
  std::string out(to_string(option.type));
  if (option.type == OptionType::choice) out = "";
  if (!option.choices.empty()) {
    out += fmt::format("{}{}", out.empty() ? "" : ": ", fmt::join(option.choices, ", "));
  }
  if (option.may_be_off) out += " or off";
  return out;
}

/// Inside a cell of a table.
std::string cell(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '|') out += '\\';
    out += c;
  }
  return out;
}

std::string code(std::string_view text) {
  return text.empty() ? "" : fmt::format("`{}`", cell(text));
}

void append_wrapped(std::string& out, std::string_view text, std::size_t indent) {
  std::size_t column = indent;
  bool is_first = true;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(' '), text.size());
    if (!is_first && column + 1 + end > terminal_columns) {
      out += "\n" + std::string(indent, ' ');
      column = indent;
      is_first = true;
    }
    if (!is_first) {
      out += ' ';
      ++column;
    }
    out += text.substr(0, end);
    column += end;
    is_first = false;
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  out += "\n";
}

void append_json(std::string& out, std::span<const Option> options) {
  out += "[";
  for (const Option& option : options) {
    if (&option != options.data()) out += ",";
    out += "{\"name\":";
    append_json_string(out, option.name);
    const auto member = [&](std::string_view name, std::string_view value) {
      if (value.empty()) return;
      out += fmt::format(",\"{}\":", name);
      append_json_string(out, value);
    };
    member("type", to_string(option.type));
    member("doc", option.doc);
    out += fmt::format(",\"required\":{}", option.is_required);
    member("default", option.default_text);
    member("min", option.min);
    member("max", option.max);
    if (option.may_be_off) out += ",\"may_be_off\":true";
    if (!option.choices.empty()) {
      out += ",\"choices\":[";
      for (const std::string_view& choice : option.choices) {
        if (&choice != option.choices.data()) out += ",";
        append_json_string(out, choice);
      }
      out += "]";
    }
    member("example", option.example);
    if (!option.children.empty()) {
      out += ",\"children\":";
      append_json(out, option.children);
    }
    out += "}";
  }
  out += "]";
}

}  // namespace

std::string options_as_markdown(std::span<const Option> options) {
  std::vector<Row> rows;
  flatten(options, "", rows);
  std::string out = "| option | type | default | bounds | meaning |\n|---|---|---|---|---|\n";
  for (const auto& [name, option] : rows) {
    out += fmt::format("| `{}` | {} | {} | {} | {} |\n", name, cell(type_of(*option)),
                       option->is_required ? "required" : code(option->default_text),
                       bounds(*option), cell(option->doc));
  }
  return out;
}

std::string options_as_text(std::span<const Option> options) {
  std::vector<Row> rows;
  flatten(options, "", rows);
  std::size_t width = 0;
  for (const Row& row : rows) width = std::max(width, row.name.size());
  std::string out;
  for (const auto& [name, option] : rows) {
    std::string facts = type_of(*option);
    if (option->is_required) facts += "; required";
    if (!option->default_text.empty()) facts += fmt::format("; default {}", option->default_text);
    if (!bounds(*option).empty()) facts += fmt::format("; {}", bounds(*option));
    if (option->default_text.empty() && !option->example.empty()) {
      facts += fmt::format("; as in {}", option->example);
    }
    out += fmt::format("{:<{}}  ", name, width);
    append_wrapped(out, facts, width + 2);
    out += std::string(width + 2, ' ');
    append_wrapped(out, option->doc, width + 2);
  }
  return out;
}

std::string options_as_json(std::span<const Option> options) {
  std::string out;
  append_json(out, options);
  return out;
}

}  // namespace penstock::config
