// Node: one value of a YAML file with its place; and the reader that makes a tree of them, with our
// rules on top of yaml-cpp.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/diagnostics.hpp"

namespace penstock::config {

inline constexpr std::size_t yaml_bytes_max = 1'048'576;
inline constexpr std::size_t yaml_nodes_max = 100'000;
inline constexpr std::size_t yaml_depth_max = 32;
/// YAML reads a key only within 1024 characters, and `show` may write six for a byte.
inline constexpr std::size_t yaml_key_bytes_max = 160;

/// A place whose file is known. Counts characters from 1; end_column is exclusive.
struct Mark {
  int line = 0;
  int column = 0;
  int end_column = 0;
};

struct Node {
  enum class Kind { null, scalar, sequence, map };

  Kind kind = Kind::null;
  bool is_plain = false;     ///< scalar without quotes: 5 is a number, true a boolean
  bool is_expanded = false;  ///< scalar with a variable: takes the type that its option wants
  std::string text;          ///< scalar
  std::string key;           ///< if the parent is a map
  Mark mark;
  Mark key_mark;
  std::shared_ptr<const std::string> file;  // shared by all nodes of one file
  std::vector<Node> children;               ///< sequence: items; map: entries with their keys

  /// The entry of a map, or nullptr.
  const Node* find(std::string_view wanted) const;
  Place place() const;
  Place key_place() const;  ///< the value's place if there is no key
};

/// "buffer.commit"; the name alone at the root.
std::string joined_path(const std::string& path, std::string_view name);

/// What a plain scalar is in the core schema of YAML 1.2 (10.3.2). `no`, `on`, 12:30 are text.
enum class ScalarKind { text, boolean, integer, number };
ScalarKind core_kind(std::string_view plain);

/// Parses one document and keeps its text in `diagnostics`. An empty one is an empty map. nullopt:
/// it was refused; the reason is in `diagnostics`. Refused are anchors, aliases, tags, a second
/// document, keys that are no scalar, control characters, invalid UTF-8, and what exceeds the
/// limits above; they bound the time and memory taken too. A key that comes twice is an error, and
/// the first one stays.
std::optional<Node> parse_yaml(const std::string& file, std::string_view text,
                               Diagnostics& diagnostics);

}  // namespace penstock::config
