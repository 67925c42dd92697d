#include "config/expand.hpp"

#include <fmt/format.h>

#include <cctype>
#include <cstdlib>

#include "agent/base/log.hpp"
#include "agent/base/text.hpp"
#include "config/codes.hpp"

namespace penstock::config {
namespace {

bool is_name(std::string_view text) {
  constexpr std::string_view letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";
  if (text.empty() || letters.find(text.front()) == std::string_view::npos) return false;
  return text.find_first_not_of(std::string(letters) + "0123456789") == std::string_view::npos;
}

class Expander {
 public:
  explicit Expander(Diagnostics& diagnostics) : diagnostics_(diagnostics) {}

  void node(Node& node, const std::string& path) {
    if (diagnostics_.is_full()) return;
    path_ = path;
    if (node.kind == Node::Kind::scalar && node.text.find('$') != std::string::npos) scalar(node);
    std::size_t index = 0;
    for (Node& child : node.children) {
      this->node(child, node.kind == Node::Kind::map ? joined_path(path, child.key)
                                                     : fmt::format("{}[{}]", path, index++));
    }
  }

 private:
  void report(const char* code, const Node& node, std::string_view written, std::string message,
              std::string help) {
    diagnostics_.add({code,
                      Severity::error,
                      diagnostics_.narrowed(node.place(), written),
                      path_,
                      std::move(message),
                      std::move(help),
                      {}});
  }

  void scalar(Node& node) {
    std::string out;
    bool has_variable = false;
    for (std::size_t i = 0; i < node.text.size();) {
      const std::string_view rest = std::string_view(node.text).substr(i);
      if (rest.substr(0, 2) == "$$") {
        out += '$';
        i += 2;
      } else if (rest.substr(0, 2) != "${") {
        out += rest.front();
        ++i;
      } else {
        const std::size_t end = rest.find('}');
        if (end == std::string_view::npos) {
          report(code::bad_variable, node, rest, "a \"${\" has no closing \"}\"",
                 "for a dollar sign write $$");
          return;
        }
        if (!variable(node, rest.substr(0, end + 1), out)) return;
        has_variable = true;
        i += end + 1;
      }
      if (out.size() > bytes_left_) {
        report(code::expansion_too_large, node, "${", "the variables expand to more than 1 MiB",
               "");
        return;
      }
    }
    bytes_left_ -= out.size();
    node.text = std::move(out);
    node.is_expanded = has_variable;
  }

  /// written: ${…} as a whole.
  bool variable(const Node& node, std::string_view written, std::string& out) {
    const std::string_view inside = written.substr(2, written.size() - 3);
    const std::size_t otherwise = inside.find(":-");
    const std::string name(inside.substr(0, otherwise));
    if (!is_name(name)) {
      report(code::bad_variable, node, written,
             fmt::format("{} is not the name of a variable", penstock::quoted(name)),
             "write ${NAME} or ${NAME:-default}; for a dollar sign write $$");
      return false;
    }
    const char* value = std::getenv(name.c_str());
    if (otherwise != std::string_view::npos && (value == nullptr || *value == '\0')) {
      out += inside.substr(otherwise + 2);
      return true;
    }
    if (value == nullptr) {
      report(code::variable_not_set, node, written,
             fmt::format("environment variable {} is not set", name),
             fmt::format("set it, or give a default: ${{{}:-…}}", name));
      return false;
    }
    if (!is_valid_utf8(value)) {
      report(code::bad_character, node, written,
             fmt::format("environment variable {} is not valid UTF-8", name), "");
      return false;
    }
    out += value;
    return true;
  }

  Diagnostics& diagnostics_;
  std::string path_;  // of the scalar at hand
  std::size_t bytes_left_ = expanded_bytes_max;
};

}  // namespace

void expand(Node& root, Diagnostics& diagnostics) { Expander(diagnostics).node(root, ""); }

}  // namespace penstock::config
