// Validator: holds a tree of YAML to the option tables, and reports every difference with its
// place.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "config/diagnostics.hpp"
#include "config/option.hpp"
#include "config/section.hpp"
#include "config/yaml.hpp"

namespace penstock::config {

/// Makes sections of a validated tree.
class SectionMaker {
 public:
  /// `node` lies in `root`; nullptr: nothing was written.
  static Section make(std::shared_ptr<const Node> root, const Node* node,
                      std::span<const Option> options, std::string path, Diagnostics* diagnostics);
};

/// After it found no error in a node, every getter of a section over it succeeds. It also settles
/// what expanded scalars are: text, or a plain number or boolean. Thread: owner only.
class Validator {
 public:
  explicit Validator(Diagnostics& diagnostics) : diagnostics_(diagnostics) {}

  /// One map whose keys may come from any of the tables. A null counts as an empty map.
  /// knows_all: false if further keys may be right too (the type of a connector is unknown).
  void check_map(Node& node, std::span<const std::span<const Option>> tables,
                 const std::string& path, bool knows_all = true);
  void check_map(Node& node, std::span<const Option> table, const std::string& path) {
    check_map(node, std::span(&table, 1), path);
  }

  struct SecretUse {
    const Node* node = nullptr;
    std::string path;
  };
  /// Every well-formed secret that was met; the nodes are those of the checked tree.
  const std::vector<SecretUse>& secrets() const { return secrets_; }

 private:
  using Tables = std::span<const std::span<const Option>>;

  void check_value(Node& node, const Option& option, const std::string& path);
  void check_unknown(const Node& entry, Tables tables, const std::string& path);
  void check_missing(const Node& node, Tables tables, const std::string& path);
  bool check_scalar(Node& node, const Option& option, const std::string& path);
  void check_text(Node& node, const Option& option, const std::string& path);
  void check_choice(const Node& node, const Option& option, const std::string& path);
  void check_boolean(Node& node, const Option& option, const std::string& path);
  void check_number(Node& node, const Option& option, const std::string& path);
  void check_quantity(Node& node, const Option& option, const std::string& path);
  void check_secret(Node& node, const Option& option, const std::string& path);
  void check_list(Node& node, const Option& option, const std::string& path);
  void check_text_map(Node& node, const Option& option, const std::string& path);
  void check_bounds(const Node& node, const Option& option, const std::string& path, double value);
  void report(const char* code, const Place& place, const std::string& path, std::string message,
              std::string help = {});
  void report_type(const Node& node, const Option& option, const std::string& path,
                   std::string help = {});

  Diagnostics& diagnostics_;
  std::vector<SecretUse> secrets_;
};

}  // namespace penstock::config
