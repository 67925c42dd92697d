#include "connectors/file/names.hpp"

#include <algorithm>

namespace penstock::connectors::file {
namespace {

constexpr std::size_t date_digits_min = 6;

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_separator(char c) { return c == '.' || c == '-' || c == '_'; }

/// Digits that `text` holds, if it holds nothing else but what joins dates and times; else 0.
std::size_t date_digits(std::string_view text) {
  std::size_t digits = 0;
  for (const char c : text) {
    if (is_digit(c)) {
      ++digits;
    } else if (!is_separator(c) && c != ':' && c != 'T') {
      return 0;
    }
  }
  return digits;
}

/// The next run of digits of `text` from `at` on, without leading zeros; `at` moves behind it.
std::string_view next_number(std::string_view text, std::size_t& at) {
  while (at < text.size() && !is_digit(text[at])) ++at;
  std::size_t begin = at;
  while (at < text.size() && is_digit(text[at])) ++at;
  while (begin + 1 < at && text[begin] == '0') ++begin;
  return text.substr(begin, at - begin);
}

}  // namespace

std::string_view name_of(std::string_view path) { return path.substr(path.rfind('/') + 1); }

std::string_view directory_of(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  return slash == 0 || slash == std::string_view::npos ? "/" : path.substr(0, slash);
}

std::string join(std::string_view directory, std::string_view name) {
  std::string path(directory);
  if (path.empty() || path.back() != '/') path += '/';
  path += name;
  return path;
}

bool is_rotated_name(std::string_view base, std::string_view name) {
  if (name.size() > base.size() + 1 && name.substr(0, base.size()) == base &&
      is_separator(name[base.size()])) {
    const std::string_view rest = name.substr(base.size() + 1);
    return date_digits(rest) > 0 || rest == "old" || rest == "prev" || rest == "bak";
  }
  const std::size_t dot = base.rfind('.');
  if (dot == std::string_view::npos || dot == 0) return false;
  const std::string_view stem = base.substr(0, dot);
  const std::string_view extension = base.substr(dot);
  if (name.size() < base.size() + 1 || name.substr(0, dot) != stem || !is_separator(name[dot]) ||
      name.substr(name.size() - extension.size()) != extension) {
    return false;
  }
  // A short number here (app-2.log) may as well be another process's live file.
  const std::string_view middle = name.substr(dot + 1, name.size() - base.size() - 1);
  return date_digits(middle) >= date_digits_min;
}

std::vector<std::string> rotation_bases(std::string_view name) {
  std::vector<std::string> bases;
  const std::size_t last_dot = name.rfind('.');
  for (std::size_t i = 1; i < name.size(); ++i) {
    if (!is_separator(name[i])) continue;
    std::string base(name.substr(0, i));
    if (is_rotated_name(base, name)) bases.push_back(base);
    if (last_dot == std::string_view::npos || i >= last_dot) continue;
    base += name.substr(last_dot);
    if (is_rotated_name(base, name)) bases.push_back(std::move(base));
  }
  return bases;
}

std::string shape_of(std::string_view name) {
  std::string shape;
  for (const char c : name) {
    if (!is_digit(c)) {
      shape += c;
    } else if (shape.empty() || shape.back() != '#') {
      shape += '#';
    }
  }
  return shape;
}

bool is_older_name(std::string_view a, std::string_view b) {
  std::size_t at_a = 0;
  std::size_t at_b = 0;
  while (at_a < a.size() && at_b < b.size()) {
    const std::string_view left = next_number(a, at_a);
    const std::string_view right = next_number(b, at_b);
    if (left == right) continue;
    const bool is_less = left.size() != right.size() ? left.size() < right.size() : left < right;
    const bool is_date = std::max(left.size(), right.size()) >= date_digits_min;
    return is_date ? is_less : !is_less;
  }
  return false;
}

}  // namespace penstock::connectors::file
