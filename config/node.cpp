// Node and what its scalars are; the reader that makes nodes is in yaml.cpp.
#include <fmt/format.h>

#include <algorithm>

#include "config/yaml.hpp"

namespace penstock::config {

const Node* Node::find(std::string_view wanted) const {
  const auto found = std::find_if(children.begin(), children.end(),
                                  [&](const Node& child) { return child.key == wanted; });
  return kind == Kind::map && found != children.end() ? &*found : nullptr;
}

Place Node::place() const { return {file ? *file : "", mark.line, mark.column, mark.end_column}; }

Place Node::key_place() const {
  if (key_mark.line == 0) return place();
  return {file ? *file : "", key_mark.line, key_mark.column, key_mark.end_column};
}

std::string joined_path(const std::string& path, std::string_view name) {
  return path.empty() ? std::string(name) : fmt::format("{}.{}", path, name);
}

ScalarKind core_kind(std::string_view plain) {
  for (const std::string_view word : {"true", "True", "TRUE", "false", "False", "FALSE"}) {
    if (plain == word) return ScalarKind::boolean;
  }
  const auto all_in = [](std::string_view text, std::string_view set) {
    return !text.empty() && text.find_first_not_of(set) == std::string_view::npos;
  };
  if (plain.substr(0, 2) == "0x" && all_in(plain.substr(2), "0123456789abcdefABCDEF")) {
    return ScalarKind::integer;
  }
  if (plain.substr(0, 2) == "0o" && all_in(plain.substr(2), "01234567")) return ScalarKind::integer;
  if (!plain.empty() && (plain.front() == '-' || plain.front() == '+')) plain.remove_prefix(1);
  if (all_in(plain, "0123456789")) return ScalarKind::integer;
  for (const std::string_view word : {".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN"}) {
    if (plain == word) return ScalarKind::number;
  }
  if (const std::size_t e = plain.find_first_of("eE"); e != std::string_view::npos) {
    std::string_view exponent = plain.substr(e + 1);
    if (!exponent.empty() && (exponent.front() == '-' || exponent.front() == '+')) {
      exponent.remove_prefix(1);
    }
    if (!all_in(exponent, "0123456789")) return ScalarKind::text;
    plain = plain.substr(0, e);
  }
  const bool has_digit = plain.find_first_of("0123456789") != std::string_view::npos;
  const bool is_number =
      has_digit && all_in(plain, "0123456789.") && std::count(plain.begin(), plain.end(), '.') <= 1;
  return is_number ? ScalarKind::number : ScalarKind::text;
}

}  // namespace penstock::config
