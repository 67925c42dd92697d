// What a terminal can do and a pipe cannot: colours and a progress bar. And the one way to stdout
// and stderr.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "agent/cli/commands.hpp"
#include "agent/daemon/line_sink.hpp"

namespace penstock::cli {

/// --color and NO_COLOR; auto: a terminal that is not "dumb".
bool use_color(const Globals& globals, int fd);

enum class Color { none, red, green, yellow, dim, bold };
std::string colored(std::string_view text, Color color, bool use_color);

/// Columns that `text` takes: characters, not bytes.
std::size_t width_of(std::string_view text);
/// `text` with spaces behind it, up to `columns`.
std::string padded(std::string_view text, std::size_t columns);

/// A line to stdout.
void print(std::string_view line);
/// "penstock: text" to stderr.
void complain(std::string_view text);
/// After the last print(): exit_io, with a message, if stdout did not take all; else `exit_code`.
int finish_output(int exit_code);

/// One line on stderr that redraws itself; silent unless stderr is a terminal. Thread: owner only.
class ProgressBar {
 public:
  ProgressBar(const Globals& globals, std::string_view what);
  ~ProgressBar() { clear(); }
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  void update(std::uint64_t done, std::uint64_t total);
  /// Takes the bar off the screen, before other output.
  void clear();

 private:
  std::string what_;
  bool is_shown_;
  bool is_on_screen_ = false;
  std::int64_t drawn_us_ = 0;
};

/// The bar as text: "verify  [#####     ]  50 %", for tests too.
std::string bar_text(std::string_view what, std::uint64_t done, std::uint64_t total);

}  // namespace penstock::cli
