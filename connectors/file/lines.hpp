// split_lines: cuts a block of bytes into lines, bounded in length.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

#include "agent/base/text.hpp"

namespace penstock::connectors::file {

/// Tells whether all bytes are ASCII, eight at a time.
inline bool is_ascii(std::string_view text) {
  std::uint64_t bits = 0;
  while (text.size() >= 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, text.data(), 8);
    bits |= word;
    text.remove_prefix(8);
  }
  for (const char c : text) bits |= static_cast<unsigned char>(c);
  return (bits & 0x8080808080808080ULL) == 0;
}

struct SplitResult {
  std::size_t consumed = 0;         ///< bytes that need not be read again
  std::uint64_t skipped_bytes = 0;  ///< of them, what belonged to lines over the limit
};

/// Splits `data`, which begins at a line's start, or inside an over-long line if `is_skipping`.
/// Calls on_line(text, is_cut) for each line whose newline is there (without it and one CR in front
/// of it), and once for a line that is already longer than `bytes_max`, of which it hands over the
/// front, cut at a character boundary; then `is_skipping` stays set until the newline has come.
/// is_final: nothing will follow, so an unfinished last line is a line too.
template <typename OnLine>
SplitResult split_lines(std::string_view data, std::size_t bytes_max, bool is_final,
                        bool& is_skipping, OnLine&& on_line) {
  SplitResult result;
  const char* at = data.data();
  const char* const end = at + data.size();
  while (at != end) {
    const auto* newline =
        static_cast<const char*>(std::memchr(at, '\n', static_cast<std::size_t>(end - at)));
    const char* const stop = newline == nullptr ? end : newline;
    const char* const next = newline == nullptr ? end : newline + 1;
    if (is_skipping) {
      result.skipped_bytes += static_cast<std::uint64_t>(stop - at);
      is_skipping = newline == nullptr && !is_final;
      at = next;
      continue;
    }
    std::string_view line(at, static_cast<std::size_t>(stop - at));
    if (newline != nullptr && !line.empty() && line.back() == '\r') line.remove_suffix(1);
    // One byte over may still be the CR of a line that just fits.
    if (newline == nullptr && !is_final && line.size() <= bytes_max + 1) break;
    if (line.size() <= bytes_max) {
      on_line(line, false);
    } else {
      const std::string_view front = cut_at_character(line, bytes_max);
      on_line(front, true);
      result.skipped_bytes += line.size() - front.size();
      is_skipping = newline == nullptr && !is_final;
    }
    at = next;
  }
  result.consumed = static_cast<std::size_t>(at - data.data());
  return result;
}

}  // namespace penstock::connectors::file
