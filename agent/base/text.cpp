#include "agent/base/text.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstring>
#include <vector>

namespace penstock {
namespace {

/// Length of the valid UTF-8 sequence at the front of `text`, 0 if there is none. `bad` receives
/// how many bytes form the maximal bad part (Unicode 15, section 3.9, "substitution of maximal
/// subparts").
std::size_t utf8_sequence(std::string_view text, std::size_t& bad) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  bad = 1;
  if (first < 0x80) return 1;
  std::size_t length = 0;
  unsigned char low = 0x80;
  unsigned char high = 0xBF;
  if (first >= 0xC2 && first <= 0xDF) {
    length = 2;
  } else if (first >= 0xE0 && first <= 0xEF) {
    length = 3;
    if (first == 0xE0) low = 0xA0;
    if (first == 0xED) high = 0x9F;
  } else if (first >= 0xF0 && first <= 0xF4) {
    length = 4;
    if (first == 0xF0) low = 0x90;
    if (first == 0xF4) high = 0x8F;
  } else {
    return 0;
  }
  for (std::size_t i = 1; i < length; ++i) {
    if (i >= text.size() || byte(i) < low || byte(i) > high) {
      bad = i;
      return 0;
    }
    low = 0x80;
    high = 0xBF;
  }
  return length;
}

/// Whether eight bytes are all ASCII, printable, and neither '"' nor '\\': the common case of a log
/// line.
bool plain_word(std::uint64_t word) {
  constexpr std::uint64_t ones = 0x0101010101010101ULL;
  constexpr std::uint64_t highs = 0x8080808080808080ULL;
  const auto has_zero = [](std::uint64_t v) { return (v - ones) & ~v & highs; };
  const std::uint64_t below_space = (word - ones * 0x20) & ~word & highs;
  return ((word & highs) | below_space | has_zero(word ^ (ones * '"')) |
          has_zero(word ^ (ones * '\\')) | has_zero(word ^ (ones * 0x7F))) == 0;
}

std::size_t plain_prefix(std::string_view text) {
  std::size_t i = 0;
  while (i + 8 <= text.size()) {
    std::uint64_t word = 0;
    std::memcpy(&word, text.data() + i, 8);
    if (!plain_word(word)) break;
    i += 8;
  }
  while (i < text.size()) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c < 0x20 || c >= 0x7F || c == '"' || c == '\\') break;
    ++i;
  }
  return i;
}

constexpr char hex_digits[] = "0123456789abcdef";

void append_control_json(std::string& out, unsigned char c) {
  switch (c) {
    case '"': out += "\\\""; return;
    case '\\': out += "\\\\"; return;
    case '\n': out += "\\n"; return;
    case '\r': out += "\\r"; return;
    case '\t': out += "\\t"; return;
    case '\b': out += "\\b"; return;
    case '\f': out += "\\f"; return;
    default: break;
  }
  if (c == 0x7F) {
    out += static_cast<char>(c);
    return;
  }
  out += "\\u00";
  out += hex_digits[c >> 4];
  out += hex_digits[c & 15];
}

void append_two(char* out, int value) {
  out[0] = static_cast<char>('0' + value / 10);
  out[1] = static_cast<char>('0' + value % 10);
}

struct Date {
  std::int64_t year;
  int month;
  int day;
};

/// Days since 1970 to a proleptic Gregorian date (era arithmetic: 400 years are 146,097 days).
Date to_date(std::int64_t days) {
  days += 719'468;  // days from 0000-03-01 to 1970-01-01
  const std::int64_t era = (days >= 0 ? days : days - 146'096) / 146'097;
  const std::int64_t day_of_era = days - era * 146'097;
  const std::int64_t year_of_era =
      (day_of_era - day_of_era / 1460 + day_of_era / 36'524 - day_of_era / 146'096) / 365;
  const std::int64_t day_of_year =
      day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const std::int64_t shifted_month = (5 * day_of_year + 2) / 153;
  const int day = static_cast<int>(day_of_year - (153 * shifted_month + 2) / 5 + 1);
  const int month = static_cast<int>(shifted_month < 10 ? shifted_month + 3 : shifted_month - 9);
  return {year_of_era + era * 400 + (month <= 2 ? 1 : 0), month, day};
}

}  // namespace

std::size_t valid_utf8_prefix(std::string_view text) {
  std::size_t i = 0;
  while (i < text.size()) {
    i += plain_prefix(text.substr(i));
    if (i >= text.size()) break;
    std::size_t bad = 0;
    const std::size_t length = utf8_sequence(text.substr(i), bad);
    if (length == 0) return i;
    i += length;
  }
  return i;
}

std::string_view cut_at_character(std::string_view text, std::size_t size_max) {
  if (text.size() <= size_max) return text;
  std::size_t end = size_max;
  // A character has at most three continuation bytes; anything longer is not UTF-8 anyway.
  for (int i = 0; i < 3 && end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80; ++i) {
    --end;
  }
  if ((static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) end = size_max;
  return text.substr(0, end);
}

void append_escaped(std::string& out, std::string_view text) {
  while (!text.empty()) {
    const std::size_t plain = plain_prefix(text);
    out.append(text.data(), plain);
    text.remove_prefix(plain);
    if (text.empty()) return;
    const auto c = static_cast<unsigned char>(text[0]);
    std::size_t bad = 0;
    const std::size_t length = utf8_sequence(text, bad);
    const bool separator = length == 3 && text[0] == '\xE2' && text[1] == '\x80' &&
                           (text[2] == '\xA8' || text[2] == '\xA9');
    const bool c1_control = length == 2 && c == 0xC2 && static_cast<unsigned char>(text[1]) < 0xA0;
    if (length > 1 && !separator && !c1_control) {
      out.append(text.data(), length);
      text.remove_prefix(length);
      continue;
    }
    const std::size_t taken = length > 1 ? length : 1;
    for (std::size_t i = 0; i < taken; ++i) {
      const auto byte = static_cast<unsigned char>(text[i]);
      if (byte == '"' || byte == '\\') {
        out += '\\';
        out += static_cast<char>(byte);
      } else if (byte == '\n') {
        out += "\\n";
      } else if (byte == '\r') {
        out += "\\r";
      } else if (byte == '\t') {
        out += "\\t";
      } else {
        out += "\\x";
        out += hex_digits[byte >> 4];
        out += hex_digits[byte & 15];
      }
    }
    text.remove_prefix(taken);
  }
}

std::string percent_encoded(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '_' || c == '-';
    if (plain) {
      out += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      constexpr char upper_digits[] = "0123456789ABCDEF";
      out += '%';
      out += upper_digits[byte >> 4];
      out += upper_digits[byte & 15];
    }
  }
  return out;
}

bool append_json_string(std::string& out, std::string_view text) {
  bool whole = true;
  out += '"';
  while (!text.empty()) {
    const std::size_t plain = plain_prefix(text);
    out.append(text.data(), plain);
    text.remove_prefix(plain);
    if (text.empty()) break;
    const auto c = static_cast<unsigned char>(text[0]);
    if (c < 0x80) {
      append_control_json(out, c);
      text.remove_prefix(1);
      continue;
    }
    std::size_t bad = 0;
    const std::size_t length = utf8_sequence(text, bad);
    if (length == 0) {
      out += "\xEF\xBF\xBD";
      whole = false;
      text.remove_prefix(bad);
    } else {
      out.append(text.data(), length);
      text.remove_prefix(length);
    }
  }
  out += '"';
  return whole;
}

void append_json_double(std::string& out, double value) {
  if (!std::isfinite(value)) {
    out += "null";
    return;
  }
  std::array<char, 32> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
  const std::string_view text(digits.data(), static_cast<std::size_t>(end - digits.data()));
  out += text;
  if (text.find_first_of(".e") == std::string_view::npos) out += ".0";
}

void append_time(std::string& out, std::int64_t time_unix_us) {
  constexpr std::int64_t year_0 = -62'167'219'200;
  constexpr std::int64_t year_10000 = 253'402'300'800;
  time_unix_us = std::clamp(time_unix_us, year_0 * 1'000'000, year_10000 * 1'000'000 - 1);
  std::int64_t seconds = time_unix_us / 1'000'000;
  std::int64_t us = time_unix_us % 1'000'000;
  if (us < 0) {
    us += 1'000'000;
    --seconds;
  }
  // Events mostly share their second with the one before, and the date is the dear part.
  thread_local std::int64_t cached_second = INT64_MIN;
  thread_local std::array<char, 20> cached_text;
  if (seconds != cached_second) {
    std::int64_t days = seconds / 86'400;
    std::int64_t in_day = seconds % 86'400;
    if (in_day < 0) {
      in_day += 86'400;
      --days;
    }
    const Date date = to_date(days);
    char* text = cached_text.data();
    append_two(text, static_cast<int>(date.year / 100));
    append_two(text + 2, static_cast<int>(date.year % 100));
    text[4] = '-';
    append_two(text + 5, date.month);
    text[7] = '-';
    append_two(text + 8, date.day);
    text[10] = 'T';
    append_two(text + 11, static_cast<int>(in_day / 3600));
    text[13] = ':';
    append_two(text + 14, static_cast<int>(in_day / 60 % 60));
    text[16] = ':';
    append_two(text + 17, static_cast<int>(in_day % 60));
    text[19] = '.';
    cached_second = seconds;
  }
  std::array<char, 27> whole;
  std::memcpy(whole.data(), cached_text.data(), 20);
  for (int i = 25; i >= 20; --i) {
    whole[static_cast<std::size_t>(i)] = static_cast<char>('0' + us % 10);
    us /= 10;
  }
  whole[26] = 'Z';
  out.append(whole.data(), whole.size());
}

std::optional<std::int64_t> parse_time(std::string_view text) {
  constexpr std::string_view shape = "0000-00-00T00:00:00.000000Z";
  if (text.size() != shape.size()) return std::nullopt;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    const bool is_digit = text[i] >= '0' && text[i] <= '9';
    if (shape[i] == '0' ? !is_digit : text[i] != shape[i]) return std::nullopt;
  }
  const auto number = [text](std::size_t at, std::size_t digits) {
    std::int64_t value = 0;
    for (std::size_t i = 0; i < digits; ++i) value = value * 10 + (text[at + i] - '0');
    return value;
  };
  const std::chrono::year_month_day date{std::chrono::year(static_cast<int>(number(0, 4))),
                                         std::chrono::month(static_cast<unsigned>(number(5, 2))),
                                         std::chrono::day(static_cast<unsigned>(number(8, 2)))};
  const std::int64_t hour = number(11, 2);
  const std::int64_t minute = number(14, 2);
  const std::int64_t second = number(17, 2);
  if (!date.ok() || hour > 23 || minute > 59 || second > 59) return std::nullopt;
  const std::int64_t days = std::chrono::sys_days(date).time_since_epoch().count();
  return (((days * 24 + hour) * 60 + minute) * 60 + second) * 1'000'000 + number(20, 6);
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t substituted = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substituted});
    }
  }
  return row[b.size()];
}

}  // namespace penstock
