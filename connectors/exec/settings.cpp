#include "connectors/exec/settings.hpp"

#include <fmt/format.h>

#include <cstdlib>

#include "agent/base/log.hpp"
#include "connectors/support/decode_options.hpp"

namespace penstock::connectors::exec {
namespace {

using config::Option;
using config::OptionType;

constexpr std::string_view messages[] = {"line", "whole"};
constexpr std::string_view usual_path =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

constexpr Option option_table[] = {
    {.name = "command",
     .type = OptionType::text_list,
     .doc = "the program and its arguments, one by one; no shell reads them",
     .is_required = true,
     .example = "[/usr/bin/sensors, -u]"},
    {.name = "shell",
     .type = OptionType::boolean,
     .doc = "hand `command`, then one text, to `/bin/sh -c`",
     .default_text = "false"},
    {.name = "every",
     .type = OptionType::duration,
     .doc = "run the command again and again, at this interval; without it the command is to run "
            "on, and is started again with back-off when it ends",
     .min = "100ms",
     .max = "7d",
     .example = "1m"},
    {.name = "timeout",
     .type = OptionType::duration,
     .doc = "with `every`: a run that takes longer is ended",
     .default_text = "30s",
     .min = "100ms",
     .max = "1d",
     .may_be_off = true},
    {.name = "cursor",
     .type = OptionType::boolean,
     .doc = "the command speaks the cursor protocol, so that its events are stored once",
     .default_text = "false"},
    {.name = "ack_every",
     .type = OptionType::duration,
     .doc = "`cursor`: acknowledge at most this often; each time costs a commit",
     .default_text = "1s",
     .max = "1m"},
    {.name = "message",
     .type = OptionType::choice,
     .doc = "`line`: each line of the output is a message; `whole`: with `every`, all output of a "
            "run is one, at most `line_bytes_max` of it",
     .default_text = "line",
     .choices = messages},
    support::format_option,
    support::time_key_option,
    support::time_form_option,
    support::stream_key_option,
    support::influx_precision_option,
    {.name = "line_bytes_max",
     .type = OptionType::size,
     .doc = "a longer line of text is cut here, at a character boundary; of another format it "
            "cannot be read, is counted and left out",
     .default_text = "64KiB",
     .min = "64B",
     .max = "4MiB"},
    {.name = "environment",
     .type = OptionType::text_map,
     .doc = "variables for the command; besides them it gets only `PATH` and `LANG=C.UTF-8`",
     .example = "{TZ: UTC}"},
    {.name = "inherit_environment",
     .type = OptionType::boolean,
     .doc = "let the command have the agent's variables too, and with them any secrets in them",
     .default_text = "false"},
    {.name = "directory",
     .type = OptionType::text,
     .doc = "working directory of the command",
     .default_text = "/"},
    {.name = "stop_grace",
     .type = OptionType::duration,
     .doc = "between SIGTERM and SIGKILL, to the command and all that it started",
     .default_text = "2s",
     .max = "4s"},
};

bool has_name(const std::vector<std::string>& environment, const std::string& name) {
  for (const std::string& entry : environment) {
    if (entry.starts_with(name + "=")) return true;
  }
  return false;
}

Result<void> read_environment(const config::Section& section, Settings& settings) {
  for (const auto& [name, value] : section.text_map("environment")) {
    if (name.empty() || name.find('=') != std::string::npos) {
      return section.invalid("environment",
                             fmt::format("a variable cannot be named {}", quoted(name)));
    }
    settings.environment.push_back(name + "=" + value);
  }
  const auto add_unless_there = [&](const std::string& name, std::string_view value) {
    if (!has_name(settings.environment, name)) {
      settings.environment.push_back(fmt::format("{}={}", name, value));
    }
  };
  if (section.boolean("inherit_environment")) {
    for (char** entry = environ; *entry != nullptr; ++entry) {
      const std::string_view text = *entry;
      const std::size_t equals = text.find('=');
      if (equals == std::string_view::npos) continue;
      add_unless_there(std::string(text.substr(0, equals)), text.substr(equals + 1));
    }
  }
  add_unless_there("PATH", usual_path);
  add_unless_there("LANG", "C.UTF-8");
  for (const std::string& entry : settings.environment) {
    if (entry.starts_with("PATH=")) settings.search_path = entry.substr(5);
  }
  return {};
}

Result<void> check_mode(const config::Section& section, const Settings& settings) {
  const bool is_polled = settings.every.count() > 0;
  if (settings.has_cursor && is_polled) {
    return section.invalid("cursor", "cursor is for a command that runs on, without every");
  }
  if (settings.has_cursor && settings.is_whole) {
    return section.invalid("message", "the cursor protocol has lines");
  }
  if (settings.has_cursor && section.has_written("format")) {
    return section.invalid("format", "the cursor protocol is JSON; leave format out");
  }
  if (settings.is_whole && !is_polled) {
    return section.invalid("message", "message: whole needs every: a command that ends");
  }
  if (section.has_written("timeout") && !is_polled) {
    return section.invalid("timeout", "timeout is for a command that is run at an interval");
  }
  if (!settings.has_cursor && section.has_written("ack_every")) {
    return section.invalid("ack_every", "ack_every is for the cursor protocol");
  }
  return {};
}

}  // namespace

std::span<const Option> options() { return option_table; }

Result<Settings> read_settings(const config::Section& section) {
  Settings settings;
  settings.command = section.text_list("command");
  if (settings.command.empty() || settings.command[0].empty()) {
    return section.invalid("command", "no command is given", "write command: [/usr/bin/sensors]");
  }
  if (section.boolean("shell")) {
    if (settings.command.size() != 1) {
      return section.invalid("command", "shell: true takes one text, not a list of arguments");
    }
    settings.command = {"/bin/sh", "-c", settings.command[0]};
  }
  if (section.has("every")) settings.every = section.duration("every");
  settings.timeout = section.duration("timeout");
  settings.stop_grace = section.duration("stop_grace");
  settings.ack_every = section.duration("ack_every");
  settings.line_bytes_max = static_cast<std::size_t>(section.size("line_bytes_max"));
  settings.has_cursor = section.boolean("cursor");
  settings.is_whole = section.text("message") == "whole";
  settings.directory = section.text("directory");
  if (!settings.directory.starts_with('/')) {
    return section.invalid("directory", "the directory needs its whole path");
  }
  settings.decode = support::read_decode_options(
      section, settings.has_cursor ? std::optional(support::Format::json) : std::nullopt);
  PENSTOCK_TRY(check_mode(section, settings));
  PENSTOCK_TRY(read_environment(section, settings));
  return settings;
}

}  // namespace penstock::connectors::exec
