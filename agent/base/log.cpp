#include "agent/base/log.hpp"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <memory>

#include "agent/base/text.hpp"

namespace penstock {
namespace {

constexpr std::size_t quoted_bytes_max = 256;

std::atomic<LogLevel> current_level{LogLevel::info};

spdlog::level::level_enum to_spdlog(LogLevel level) {
  switch (level) {
    case LogLevel::trace: return spdlog::level::trace;
    case LogLevel::debug: return spdlog::level::debug;
    case LogLevel::info: return spdlog::level::info;
    case LogLevel::warn: return spdlog::level::warn;
    case LogLevel::error: return spdlog::level::err;
    case LogLevel::off: return spdlog::level::off;
  }
  return spdlog::level::info;
}

/// %* in a pattern: the syslog priority that journald reads at the start of a line (sd-daemon(3)).
class JournalPriority final : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&,
              spdlog::memory_buf_t& out) override {
    const char* priority = "<6>";
    if (message.level <= spdlog::level::debug) priority = "<7>";
    if (message.level == spdlog::level::warn) priority = "<4>";
    if (message.level >= spdlog::level::err) priority = "<3>";
    out.append(priority, priority + 3);
  }
  std::unique_ptr<spdlog::custom_flag_formatter> clone() const override {
    return std::make_unique<JournalPriority>();
  }
};

const std::shared_ptr<spdlog::sinks::stderr_color_sink_mt>& sink() {
  // Shared because spdlog loggers own their sinks together.
  static const auto instance = std::make_shared<spdlog::sinks::stderr_color_sink_mt>();
  return instance;
}

}  // namespace

void set_up_logging(LogLevel level, LogStyle style) {
  current_level.store(level, std::memory_order_relaxed);
  auto formatter = std::make_unique<spdlog::pattern_formatter>();
  formatter->add_flag<JournalPriority>('*');
  switch (style) {
    case LogStyle::terminal: formatter->set_pattern("%H:%M:%S.%e %^%-5l%$ %-8n %v"); break;
    case LogStyle::plain: formatter->set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %l %n %v"); break;
    case LogStyle::journal: formatter->set_pattern("%*%n %v"); break;
  }
  sink()->set_formatter(std::move(formatter));
}

LogLevel parse_log_level(std::string_view text, LogLevel otherwise) {
  if (text == "trace") return LogLevel::trace;
  if (text == "debug") return LogLevel::debug;
  if (text == "info") return LogLevel::info;
  if (text == "warn") return LogLevel::warn;
  if (text == "error") return LogLevel::error;
  if (text == "off") return LogLevel::off;
  return otherwise;
}

std::string quoted(std::string_view text) {
  std::string out = "\"";
  append_escaped(out, text.substr(0, quoted_bytes_max));
  if (text.size() > quoted_bytes_max) out += "…";
  out += '"';
  return out;
}

bool Log::enabled(LogLevel level) const {
  return level >= current_level.load(std::memory_order_relaxed);
}

void Log::write(LogLevel level, std::string_view text) {
  spdlog::details::log_msg message(spdlog::source_loc{}, name_, to_spdlog(level),
                                   spdlog::string_view_t(text.data(), text.size()));
  sink()->log(message);
}

}  // namespace penstock
