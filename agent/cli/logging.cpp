#include "agent/cli/logging.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "agent/base/log.hpp"

namespace penstock::cli {
namespace {

/// systemd.exec(5), $JOURNAL_STREAM: device and inode of the journal's stream, to be compared,
/// because children inherit the variable.
bool is_stderr_the_journal() {
  const char* stream = std::getenv("JOURNAL_STREAM");
  struct stat found {};
  return stream != nullptr && ::fstat(STDERR_FILENO, &found) == 0 &&
         fmt::format("{}:{}", found.st_dev, found.st_ino) == stream;
}

}  // namespace

void set_up_logging_for(const Globals& globals, std::string_view level) {
  const int wanted = static_cast<int>(parse_log_level(level, LogLevel::info));
  const int moved =
      std::clamp(wanted - globals.louder + globals.quieter, static_cast<int>(LogLevel::trace),
                 static_cast<int>(LogLevel::error));
  LogStyle style = LogStyle::plain;
  if (is_stderr_the_journal()) {
    style = LogStyle::journal;
  } else if (::isatty(STDERR_FILENO) == 1) {
    style = LogStyle::terminal;
  }
  set_up_logging(static_cast<LogLevel>(moved), style);
}

}  // namespace penstock::cli
