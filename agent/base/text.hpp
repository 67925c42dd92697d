// Text that comes from outside, made safe: UTF-8, escapes, percent-encoding, JSON strings.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace penstock {

/// Bytes at the front of `text` that are valid UTF-8 (RFC 3629: no surrogates, no overlong forms).
std::size_t valid_utf8_prefix(std::string_view text);
inline bool is_valid_utf8(std::string_view text) { return valid_utf8_prefix(text) == text.size(); }

/// The longest prefix of at most `size_max` bytes that does not cut a character in two.
std::string_view cut_at_character(std::string_view text, std::size_t size_max);

/// Appends `text` with control characters, '"', '\\', U+2028/9 and invalid bytes escaped (\n, \x1b
/// …): fit for a log line or a terminal.
void append_escaped(std::string& out, std::string_view text);

/// Percent-encodes everything outside [A-Za-z0-9_-]: fit for a topic level or a file name.
std::string percent_encoded(std::string_view text);

/// Appends a JSON string with its quotes; invalid UTF-8 becomes U+FFFD, one per maximal bad part.
/// Returns false if something had to be replaced.
bool append_json_string(std::string& out, std::string_view text);

/// Appends the shortest text that reads back as the same double, always with '.' or 'e'
/// (21.0); NaN and infinities become null.
void append_json_double(std::string& out, double value);

/// Appends "2026-11-23T21:39:15.276123Z" (27 bytes). time_unix_us: UTC, µs since 1970; years
/// 0-9999, others are clamped.
void append_time(std::string& out, std::int64_t time_unix_us);
/// Reads exactly what append_time() writes; nullopt for anything else.
std::optional<std::int64_t> parse_time(std::string_view text);

/// The nearest of `candidates` by edit distance (at most 2 edits, or a third of the length), or "".
template <typename Range>
std::string_view nearest(std::string_view word, const Range& candidates);
std::size_t edit_distance(std::string_view a, std::string_view b);

template <typename Range>
std::string_view nearest(std::string_view word, const Range& candidates) {
  std::string_view best;
  std::size_t best_distance = word.size() / 3 > 2 ? word.size() / 3 + 1 : 3;
  for (const auto& candidate : candidates) {
    const std::size_t distance = edit_distance(word, candidate);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

}  // namespace penstock
