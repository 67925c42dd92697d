// Fuzz target: any bytes as a configuration. What is taken must survive being shown and read again;
// what is refused must be told with a place inside the text.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "agent/base/assert.hpp"
#include "agent/base/text.hpp"
#include "config/agent_config.hpp"
#include "config/expand.hpp"
#include "config/shown.hpp"
#include "config/validator.hpp"
#include "config/yaml.hpp"

namespace {

using penstock::config::Diagnostics;
using penstock::config::Node;

void check_findings(const Diagnostics& diagnostics) {
  PENSTOCK_ASSERT(penstock::is_valid_utf8(diagnostics.to_text(/*use_color=*/true)));
  PENSTOCK_ASSERT(penstock::is_valid_utf8(diagnostics.to_json()));
}

bool is_same(const Node& a, const Node& b) {
  const auto is_empty = [](const Node& node) {
    return node.children.empty() && node.kind != Node::Kind::scalar;
  };
  if (is_empty(a) && is_empty(b)) return a.key == b.key;
  if (a.kind != b.kind || a.key != b.key || a.children.size() != b.children.size()) return false;
  if (a.text != b.text) return false;
  for (std::size_t i = 0; i < a.children.size(); ++i) {
    if (!is_same(a.children[i], b.children[i])) return false;
  }
  return true;
}

void check_shown(const Node& root) {
  const std::string shown = penstock::config::shown_text(root, penstock::config::Origin::hidden);
  static_cast<void>(penstock::config::shown_json(root));
  // Stars in place of a password are not what was written, and a longer text may exceed a limit.
  if (shown.find("://") != std::string::npos) return;
  if (shown.size() > penstock::config::yaml_bytes_max) return;
  Diagnostics findings;
  auto again = penstock::config::parse_yaml("again", shown, findings);
  PENSTOCK_ASSERT(again.has_value());
  penstock::config::expand(*again, findings);
  PENSTOCK_ASSERT(!findings.has_errors());
  PENSTOCK_ASSERT(is_same(root, *again));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  Diagnostics diagnostics;
  auto root = penstock::config::parse_yaml("fuzz.yaml", text, diagnostics);
  PENSTOCK_ASSERT(root.has_value() || diagnostics.has_errors());
  if (root) {
    penstock::config::expand(*root, diagnostics);
    const bool is_good = !diagnostics.has_errors();
    if (is_good && root->kind == Node::Kind::map) check_shown(*root);
    penstock::config::Validator(diagnostics).check_map(*root, penstock::config::root_options(), "");
  }
  check_findings(diagnostics);
  return 0;
}
