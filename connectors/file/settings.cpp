#include "connectors/file/settings.hpp"

#include <fmt/core.h>

#include "agent/base/log.hpp"

namespace penstock::connectors::file {
namespace {

using config::Option;
using config::OptionType;

constexpr std::string_view starts[] = {"beginning", "end"};

constexpr Option option_table[] = {
    {.name = "paths",
     .type = OptionType::text_list,
     .doc = "absolute paths of the files to follow; `*`, `?` and `[a-z]` match within one level, "
            "`**` any number of directories",
     .is_required = true,
     .example = "/var/log/app/*.log"},
    {.name = "exclude",
     .type = OptionType::text_list,
     .doc = "files to leave out: a pattern with a slash is compared with the whole path (`*` "
            "matches slashes too), one without with the file's name",
     .example = "*.bak"},
    {.name = "start",
     .type = OptionType::choice,
     .doc = "where to begin in files that are there when this connector starts for the very first "
            "time; files that appear later are read from their beginning",
     .default_text = "end",
     .choices = starts},
    {.name = "stream_per_file",
     .type = OptionType::boolean,
     .doc = "give each file a stream of its own, named by its path, instead of one stream for all",
     .default_text = "false"},
    {.name = "line_bytes_max",
     .type = OptionType::size,
     .doc = "a longer line is cut here, at a character boundary, and marked with `cut`; the rest "
            "of it is skipped and counted",
     .default_text = "64KiB",
     .min = "64B",
     .max = "1MiB"},
    {.name = "poll_every",
     .type = OptionType::duration,
     .doc = "how often files are looked at where the kernel cannot report changes (network file "
            "systems, no inotify watches left)",
     .default_text = "250ms",
     .min = "10ms",
     .max = "1h"},
    {.name = "rescan_every",
     .type = OptionType::duration,
     .doc = "how often the patterns are searched again and every file is checked, also where the "
            "kernel reports changes; also when unreadable files are tried again",
     .default_text = "5s",
     .min = "100ms",
     .max = "1h"},
    {.name = "rotated_wait",
     .type = OptionType::duration,
     .doc = "how long a file that was renamed or deleted must be quiet before its last line "
            "becomes an event although its newline is missing",
     .default_text = "1s",
     .min = "0s",
     .max = "1h"},
    {.name = "max_files_open",
     .type = OptionType::integer,
     .doc = "file descriptors kept open at most; other files are opened again when they grow",
     .default_text = "64",
     .min = "1",
     .max = "1024"},
    {.name = "max_files",
     .type = OptionType::integer,
     .doc = "files followed at most; beyond it further files are left alone, with a warning",
     .default_text = "10000",
     .min = "1",
     .max = "100000"},
};

/// Why `pattern` cannot be followed, or "".
std::string complaint(std::string_view pattern) {
  if (pattern.empty()) return "an empty path";
  if (pattern.front() != '/') {
    return fmt::format("{} is not an absolute path", quoted(pattern));
  }
  if (pattern.back() == '/') return fmt::format("{} names a directory", quoted(pattern));
  if (pattern.find('\0') != std::string_view::npos) return "a path holds a NUL byte";
  return {};
}

}  // namespace

std::span<const Option> options() { return option_table; }

Result<Settings> read_settings(const config::Section& section) {
  Settings settings;
  settings.paths = section.text_list("paths");
  if (settings.paths.empty()) {
    return section.invalid("paths", "no path is given", "write paths: [\"/var/log/app/*.log\"]");
  }
  for (const std::string& path : settings.paths) {
    if (std::string text = complaint(path); !text.empty()) {
      return section.invalid("paths", std::move(text),
                             "write the whole path of the files, as in /var/log/app/*.log");
    }
  }
  settings.exclude = section.text_list("exclude");
  settings.start = section.text("start") == "beginning" ? Start::beginning : Start::end;
  settings.stream_per_file = section.boolean("stream_per_file");
  settings.line_bytes_max = static_cast<std::size_t>(section.size("line_bytes_max"));
  settings.poll_every = section.duration("poll_every");
  settings.rescan_every = section.duration("rescan_every");
  settings.rotated_wait = section.duration("rotated_wait");
  settings.files_open_max = static_cast<std::size_t>(section.integer("max_files_open"));
  settings.files_max = static_cast<std::size_t>(section.integer("max_files"));
  return settings;
}

}  // namespace penstock::connectors::file
