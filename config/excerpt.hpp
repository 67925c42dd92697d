// Excerpt: one line of a file as it may be shown on a terminal, with what must not be seen masked.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::config {

/// Line `number` (from 1) of `text`, without its end; "" if there is none.
std::string_view line_of(std::string_view text, int number);

/// The same text with the password of every scheme://user:password@ replaced by stars, one for each
/// byte.
std::string with_masked_passwords(std::string_view text);

/// One entry per character, each one column wide and safe to print. What follows `password:` and
/// the like is masked even where the file could not be parsed; `{` and `$` after it are references
/// and stay.
std::vector<std::string> printable_characters(std::string_view line);

/// Where to begin and end in a line too long for a terminal, so that `column` (from 1) is seen.
struct Window {
  std::size_t begin = 0;
  std::size_t end = 0;
};
Window window_around(std::size_t size, std::size_t column);

}  // namespace penstock::config
