#include "connectors/journald/settings.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "agent/base/log.hpp"
#include "agent/base/text.hpp"
#include "agent/base/wire.hpp"

namespace penstock::connectors::journald {
namespace {

using config::Option;
using config::OptionType;

constexpr std::string_view starts[] = {"beginning", "end"};
constexpr std::string_view boots[] = {"all", "current"};
constexpr std::string_view priorities[] = {"emerg",   "alert",  "crit", "err",
                                           "warning", "notice", "info", "debug"};

constexpr Option option_table[] = {
    {.name = "units",
     .type = OptionType::text_list,
     .doc = "only entries of these systemd units, and of systemd about them; without a suffix "
            "`.service` is meant",
     .example = "ssh.service"},
    {.name = "min_priority",
     .type = OptionType::choice,
     .doc = "only entries of this priority and more urgent ones; entries without a priority are "
            "left out unless it is `debug`",
     .default_text = "debug",
     .choices = priorities},
    {.name = "matches",
     .type = OptionType::text_list,
     .doc = "only entries with these fields; of several values for one field any will do, and "
            "each field has to match",
     .example = "SYSLOG_IDENTIFIER=sshd"},
    {.name = "boot",
     .type = OptionType::choice,
     .doc = "`current`: only entries since this machine was started",
     .default_text = "all",
     .choices = boots},
    {.name = "start",
     .type = OptionType::choice,
     .doc = "where to begin when this connector starts for the very first time",
     .default_text = "end",
     .choices = starts},
    {.name = "fields",
     .type = OptionType::text_map,
     .doc = "fields of the event, and the journal's field that each is taken from; unless given: "
            "`message`, `priority`, `identifier`, `unit` and `pid`",
     .example = "{message: MESSAGE, unit: _SYSTEMD_UNIT}"},
    {.name = "all_fields",
     .type = OptionType::boolean,
     .doc = "also every other field, under its name in lower case without leading `_`",
     .default_text = "false"},
    {.name = "value_bytes_max",
     .type = OptionType::size,
     .doc = "a longer value is cut here, at a character boundary, and its event marked with `cut`",
     .default_text = "64KiB",
     .min = "64B",
     .max = "1MiB"},
    {.name = "directory",
     .type = OptionType::text,
     .doc = "read the journal files of this directory instead of the system's journal",
     .example = "/var/log/journal/remote"},
};

const std::vector<Settings::Mapping>& usual_fields() {
  static const std::vector<Settings::Mapping> fields = {{"message", "MESSAGE"},
                                                        {"priority", "PRIORITY"},
                                                        {"identifier", "SYSLOG_IDENTIFIER"},
                                                        {"unit", "_SYSTEMD_UNIT"},
                                                        {"pid", "_PID"}};
  return fields;
}

/// As systemctl takes it: a name without a known suffix is a service.
std::string unit_name(const std::string& name) {
  for (const std::string_view suffix :
       {".service", ".socket", ".timer", ".mount", ".automount", ".swap", ".target", ".path",
        ".slice", ".scope", ".device"}) {
    if (name.ends_with(suffix)) return name;
  }
  return name + ".service";
}

Result<void> read_fields(const config::Section& section, Settings& settings) {
  if (!section.has_written("fields")) {
    settings.fields = usual_fields();
    return {};
  }
  for (const auto& [name, field] : section.text_map("fields")) {
    if (name.empty() || is_reserved_member(name)) {
      return section.invalid("fields", fmt::format("a field cannot be named {}", quoted(name)),
                             "every event has a member of that name; choose another");
    }
    if (!is_field_name(field)) {
      return section.invalid("fields", fmt::format("{} is no field of a journal", quoted(field)),
                             "they are written in capitals: MESSAGE, _SYSTEMD_UNIT");
    }
    settings.fields.push_back({name, field});
  }
  if (settings.fields.empty() && !settings.takes_all_fields) {
    return section.invalid("fields", "no field is wanted");
  }
  return {};
}

}  // namespace

bool is_field_name(std::string_view name) {
  return !name.empty() && name.size() <= 64 && !(name[0] >= '0' && name[0] <= '9') &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
         });
}

std::span<const Option> options() { return option_table; }

Result<Settings> read_settings(const config::Section& section) {
  Settings settings;
  settings.directory = section.text("directory");
  if (section.has_written("directory") && !settings.directory.starts_with('/')) {
    return section.invalid("directory", "the directory needs its whole path",
                           "write directory: /var/log/journal/remote");
  }
  for (const std::string& unit : section.text_list("units")) {
    if (unit.empty()) return section.invalid("units", "a unit has no name");
    settings.units.push_back(unit_name(unit));
  }
  settings.matches = section.text_list("matches");
  for (const std::string& match : settings.matches) {
    const std::size_t equals = match.find('=');
    if (equals == std::string::npos || !is_field_name(match.substr(0, equals))) {
      return section.invalid("matches", fmt::format("{} is not FIELD=value", quoted(match)),
                             "write matches: [SYSLOG_IDENTIFIER=sshd]");
    }
  }
  settings.priority_max = static_cast<int>(
      std::find(std::begin(priorities), std::end(priorities), section.text("min_priority")) -
      std::begin(priorities));
  settings.this_boot_only = section.text("boot") == "current";
  settings.starts_at_beginning = section.text("start") == "beginning";
  settings.takes_all_fields = section.boolean("all_fields");
  settings.value_bytes_max = static_cast<std::size_t>(section.size("value_bytes_max"));
  PENSTOCK_TRY(read_fields(section, settings));
  return settings;
}

}  // namespace penstock::connectors::journald
