// Log: one named logger per room. A line is "event=<name> key=value …"; text from outside is
// quoted.
#pragma once

#include <fmt/core.h>

#include <string>
#include <string_view>

namespace penstock {

enum class LogLevel { trace, debug, info, warn, error, off };

/// Where lines go. journal: "<priority>" in front, no time (systemd adds it).
enum class LogStyle { terminal, plain, journal };

/// Once at start, before any thread; later calls change the level of all loggers. Thread: any.
void set_up_logging(LogLevel level, LogStyle style);
LogLevel parse_log_level(std::string_view text, LogLevel otherwise);

/// "text" in double quotes with control characters, quotes, ESC, invalid UTF-8 and line separators
/// escaped, cut after 256 bytes. For every text that comes from outside.
std::string quoted(std::string_view text);

/// A named logger; cheap to copy. Writes whole lines to stderr. Thread: any.
class Log {
 public:
  explicit Log(std::string name) : name_(std::move(name)) {}

  template <typename... Args>
  void trace(fmt::format_string<Args...> format, Args&&... args) {
    line(LogLevel::trace, format, std::forward<Args>(args)...);
  }
  template <typename... Args>
  void debug(fmt::format_string<Args...> format, Args&&... args) {
    line(LogLevel::debug, format, std::forward<Args>(args)...);
  }
  template <typename... Args>
  void info(fmt::format_string<Args...> format, Args&&... args) {
    line(LogLevel::info, format, std::forward<Args>(args)...);
  }
  template <typename... Args>
  void warn(fmt::format_string<Args...> format, Args&&... args) {
    line(LogLevel::warn, format, std::forward<Args>(args)...);
  }
  template <typename... Args>
  void error(fmt::format_string<Args...> format, Args&&... args) {
    line(LogLevel::error, format, std::forward<Args>(args)...);
  }

  bool enabled(LogLevel level) const;
  const std::string& name() const { return name_; }

 private:
  template <typename... Args>
  void line(LogLevel level, fmt::format_string<Args...> format, Args&&... args) {
    if (enabled(level)) write(level, fmt::format(format, std::forward<Args>(args)...));
  }
  void write(LogLevel level, std::string_view text);

  std::string name_;
};

}  // namespace penstock
