#include "agent/cli/terminal.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "agent/base/clock.hpp"
#include "agent/daemon/exit_code.hpp"

namespace penstock::cli {
namespace {

constexpr std::int64_t redraw_us = 100'000;
constexpr std::size_t bar_columns = 30;

}  // namespace

bool use_color(const Globals& globals, int fd) {
  if (globals.color == "always") return true;
  if (globals.color == "never") return false;
  const char* no_color = std::getenv("NO_COLOR");
  if (no_color != nullptr && *no_color != '\0') return false;
  const char* term = std::getenv("TERM");
  return ::isatty(fd) == 1 && term != nullptr && std::strcmp(term, "dumb") != 0;
}

std::string colored(std::string_view text, Color color, bool use_color) {
  static constexpr const char* codes[] = {"", "31", "32", "33", "2", "1"};
  if (!use_color || color == Color::none) return std::string(text);
  return fmt::format("\033[{}m{}\033[0m", codes[static_cast<int>(color)], text);
}

std::size_t width_of(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

std::string padded(std::string_view text, std::size_t columns) {
  std::string out(text);
  const std::size_t width = width_of(text);
  if (width < columns) out.append(columns - width, ' ');
  return out;
}

void print(std::string_view line) {
  std::fwrite(line.data(), 1, line.size(), stdout);
  std::fputc('\n', stdout);
}

void complain(std::string_view text) { fmt::print(stderr, "penstock: {}\n", text); }

int finish_output(int exit_code) {
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return exit_code;
  complain(fmt::format("standard output: {}", std::strerror(errno)));
  return daemon::exit_io;
}

ProgressBar::ProgressBar(const Globals& globals, std::string_view what)
    : what_(what), is_shown_(globals.quieter == 0 && ::isatty(STDERR_FILENO) == 1) {}

void ProgressBar::update(std::uint64_t done, std::uint64_t total) {
  const std::int64_t now_us = system_clock().steady_us();
  if (!is_shown_ || (is_on_screen_ && now_us - drawn_us_ < redraw_us)) return;
  drawn_us_ = now_us;
  is_on_screen_ = true;
  fmt::print(stderr, "\r{}\033[K", bar_text(what_, done, total));
}

void ProgressBar::clear() {
  if (is_on_screen_) fmt::print(stderr, "\r\033[K");
  is_on_screen_ = false;
}

std::string bar_text(std::string_view what, std::uint64_t done, std::uint64_t total) {
  const double part =
      total == 0 ? 1.0 : std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
  const auto full = static_cast<std::size_t>(part * bar_columns);
  return fmt::format("{}  [{}{}] {:3.0f} %", what, std::string(full, '#'),
                     std::string(bar_columns - full, ' '), part * 100);
}

}  // namespace penstock::cli
