#include "config/excerpt.hpp"

#include <algorithm>
#include <cctype>

#include "agent/base/text.hpp"

namespace penstock::config {
namespace {

constexpr std::size_t window_max = 100;

/// Controls, and the marks that change the direction of text (a line could read otherwise than it
/// is).
bool is_unsafe(std::string_view character) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(character[i]); };
  if (character.size() == 1) return byte(0) < 0x20 || byte(0) == 0x7F;
  if (character.size() == 2) return byte(0) == 0xC2 && byte(1) < 0xA0;
  if (character.size() != 3 || byte(0) != 0xE2) return false;
  const bool is_direction = byte(1) == 0x80 && byte(2) >= 0xA8 && byte(2) <= 0xAE;
  const bool is_isolate = byte(1) == 0x81 && byte(2) >= 0xA6 && byte(2) <= 0xA9;
  return is_direction || is_isolate;
}

std::size_t character_bytes(std::string_view text) {
  const auto first = static_cast<unsigned char>(text.front());
  const std::size_t length = first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
  return length <= text.size() && is_valid_utf8(text.substr(0, length)) ? length : 0;
}

/// Replaces the values behind keys that sound secret.
std::string with_masked_values(std::string_view text) {
  constexpr std::string_view words[] = {"password", "pasword", "passwd", "passphrase",
                                        "secret",   "token",   "api_key"};
  std::string out(text);
  std::string lower = out;
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  for (const std::string_view word : words) {
    for (std::size_t at = lower.find(word); at != std::string::npos;
         at = lower.find(word, at + 1)) {
      std::size_t value = at + word.size();
      if (lower.substr(value, 1) == "\"" || lower.substr(value, 1) == "'") ++value;
      if (lower.substr(value, 1) != ":") continue;
      value = lower.find_first_not_of(' ', value + 1);
      if (value == std::string::npos || out[value] == '{' || out[value] == '$') continue;
      const std::size_t end = std::min(out.find_first_of("\r", value), out.size());
      for (std::size_t i = value; i < end; ++i) {
        if ((static_cast<unsigned char>(out[i]) & 0xC0) != 0x80) out[i] = '*';
      }
      out.erase(
          std::remove_if(out.begin() + static_cast<std::ptrdiff_t>(value), out.end(),
                         [](char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }),
          out.end());
      return out;
    }
  }
  return out;
}

}  // namespace

std::string_view line_of(std::string_view text, int number) {
  for (int line = 1; line < number; ++line) {
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos) return {};
    text.remove_prefix(end + 1);
  }
  text = text.substr(0, text.find('\n'));
  if (!text.empty() && text.back() == '\r') text.remove_suffix(1);
  return text;
}

std::string with_masked_passwords(std::string_view text) {
  std::string out(text);
  for (std::size_t at = out.find("://"); at != std::string::npos; at = out.find("://", at + 3)) {
    const std::size_t begin = at + 3;
    const std::size_t end = std::min(out.find_first_of("/ \t\"'", begin), out.size());
    const std::size_t host = out.rfind('@', end);
    if (host == std::string::npos || host < begin || host >= end) continue;
    const std::size_t colon = out.find(':', begin);
    if (colon >= host) continue;
    std::fill(out.begin() + static_cast<std::ptrdiff_t>(colon) + 1,
              out.begin() + static_cast<std::ptrdiff_t>(host), '*');
  }
  return out;
}

std::vector<std::string> printable_characters(std::string_view line) {
  const std::string masked = with_masked_passwords(with_masked_values(line));
  std::vector<std::string> out;
  for (std::string_view rest = masked; !rest.empty();) {
    const std::size_t bytes = character_bytes(rest);
    const std::string_view character = rest.substr(0, std::max<std::size_t>(bytes, 1));
    if (character == "\t") {
      out.emplace_back(" ");
    } else if (bytes == 0 || is_unsafe(character)) {
      out.emplace_back("?");
    } else {
      out.emplace_back(character);
    }
    rest.remove_prefix(character.size());
  }
  return out;
}

Window window_around(std::size_t size, std::size_t column) {
  if (size <= window_max) return {0, size};
  const std::size_t half = window_max / 2;
  const std::size_t begin = std::min(column > half ? column - half : 0, size - window_max);
  return {begin, begin + window_max};
}

}  // namespace penstock::config
