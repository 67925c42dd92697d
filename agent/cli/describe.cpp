// `penstock describe TYPE`: a connector type's options, or those of a fixed section.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "agent/base/text.hpp"
#include "agent/cli/commands.hpp"
#include "agent/cli/terminal.hpp"
#include "agent/daemon/exit_code.hpp"
#include "config/agent_config.hpp"
#include "connectors/api/connector.hpp"

namespace penstock::cli {
namespace {

struct Described {
  std::string_view name;
  std::string_view summary;
  std::span<const config::Option> options;
  bool is_type = false;
};

std::vector<Described> all_described() {
  std::vector<Described> all;
  for (const auto* type : connectors::builtin_types()) {
    all.push_back({type->name, type->summary, type->options, true});
  }
  for (const config::Option& section : config::root_options()) {
    all.push_back({section.name, section.doc, section.children, false});
  }
  all.push_back({"connectors", "what every connector takes besides its type's own options",
                 config::connector_common_options(), false});
  return all;
}

/// A line of YAML per option: what has no value of its own is a comment.
std::string as_yaml(const Described& what) {
  const std::string_view indent = what.is_type ? "    " : "  ";
  std::string out = what.is_type
                        ? fmt::format("connectors:\n  my_{}:\n    type: {}\n", what.name, what.name)
                        : fmt::format("{}:\n", what.name);
  for (const config::Option& option : what.options) {
    const std::string_view value =
        option.default_text.empty() ? option.example : option.default_text;
    const std::string_view comment = option.is_required && !value.empty() ? "" : "# ";
    out += fmt::format("{}{}{}: {}  # {}\n", indent, comment, option.name, value, option.doc);
  }
  return out;
}

std::string as_text(const Described& what) {
  return fmt::format("{}: {}\n\n{}", what.name, what.summary,
                     config::options_as_text(what.options));
}

int describe(const std::string& name, const std::string& format) {
  const std::vector<Described> all = all_described();
  std::vector<std::string_view> names;
  for (const Described& what : all) {
    names.push_back(what.name);
    if (what.name != name) continue;
    std::string text;
    if (format == "text") text = as_text(what);
    if (format == "json") text = config::options_as_json(what.options);
    if (format == "md") text = config::options_as_markdown(what.options);
    if (format == "yaml") text = as_yaml(what);
    while (!text.empty() && text.back() == '\n') text.pop_back();
    print(text);
    return finish_output(0);
  }
  const std::string_view near = nearest(std::string_view(name), names);
  complain(fmt::format("there is no type or section \"{}\"; {}", name,
                       near.empty() ? fmt::format("there are: {}", fmt::join(names, " "))
                                    : fmt::format("did you mean \"{}\"?", near)));
  return daemon::exit_usage;
}

}  // namespace

void add_describe_command(CLI::App& app, const Globals& globals, int& exit_code) {
  struct Options {
    std::string name;
    std::string format = "text";
  };
  // Shared with the callback, which outlives this function.
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("describe", "All options of a connector type or a section");
  command->add_option("TYPE", options->name, "connector type, or agent, buffer, upstream, …")
      ->required();
  command->add_option("--format", options->format, "text, json, md or yaml")
      ->check(CLI::IsMember({"text", "json", "md", "yaml"}))
      ->capture_default_str();
  command->footer("Example:\n  penstock describe file\n  penstock describe buffer --format yaml");
  command->callback([options, &globals, &exit_code] {
    if (globals.is_json) options->format = "json";
    exit_code = describe(options->name, options->format);
  });
}

}  // namespace penstock::cli
